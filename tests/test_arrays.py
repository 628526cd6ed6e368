"""runtime/arrays.py: .npz files whose bytes are damaged, for each kind of exception that they cause underneath."""

import io
import struct
import zipfile

import numpy as np
import pytest

from data.video import read_masks
from runtime.arrays import read_npz
from saliency.results.clip import ClipResult

CENTRAL = b"PK\x01\x02"  # begins the entry of a member in the directory at the end of a zip file
HEADER = "{'descr': '|b1', 'fortran_order': False, 'shape': (%s), }"


def damaged_entry(content, offset, value):
    """The bytes of a zip file in whose first directory entry a field of two bytes has another value."""
    content, start = bytearray(content), content.index(CENTRAL) + offset
    content[start:start + 2] = struct.pack("<H", value)
    return bytes(content)


def with_header(header):
    """An .npz file whose array "masks" has this header and no data."""
    content, text = io.BytesIO(), header.encode()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("masks.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
    return content.getvalue()


def damage(kind):
    content = io.BytesIO()
    np.savez_compressed(content, masks=np.ones((3, 4, 4), bool))
    content = content.getvalue()
    return {
        "encrypted": lambda: damaged_entry(content, 8, 1),  # RuntimeError
        "no end of header": lambda: with_header(HEADER.removesuffix("), }") % "3,"),  # tokenize.TokenError
        "too large": lambda: with_header(HEADER % f"{2**45}, 4, 4"),  # MemoryError
        "stream": lambda: content[:60] + bytes(10) + content[70:],  # zlib.error
        "no zip": lambda: b"PK\x03\x04",  # BadZipFile
        "empty": lambda: b"",  # EOFError
    }[kind]()


KINDS = ("encrypted", "no end of header", "too large", "stream", "no zip", "empty")


def read(path):
    return read_npz(path, ["masks"])["masks"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_ends_in_one_kind_of_error(kind, tmp_path):
    path = tmp_path / "saliency.npz"
    path.write_bytes(damage(kind))
    with pytest.raises(ValueError):
        read(path)
    with pytest.raises(ValueError, match=r"holds no masks \(N, H, W\) of type bool \(.+\); remove the file"):
        read_masks(path)
    with pytest.raises(ValueError, match=r"saliency\.npz cannot be read \(.+\); compute it again"):
        ClipResult.read(path)


def test_a_good_file_is_read(tmp_path):
    np.savez(tmp_path / "a.npz", masks=np.arange(3))
    assert read(tmp_path / "a.npz").tolist() == [0, 1, 2]


def test_the_reason_is_told(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(ValueError, match=r"it is one array and no \.npz file"):
        read(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="No such file"):
        read(tmp_path / "b.npz")
