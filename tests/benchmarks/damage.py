"""Ways to damage a file, for the fuzzer: bytes of any format, values inside JSON, arrays, checkpoints, zip members.

Each function of the form (rng, path) changes the file and returns a few words on what it did.
"""

import io
import json
import os
import re
import stat
import struct
import zipfile

import cv2
import numpy as np
import torch

from tests.test_video_files import CODECS, write_as

ODD = [None, True, False, 0, -1, 1, 2**31, 10**9, 10**30, -10**400, 0.5, 1e308, float("nan"), float("inf"), "", ".",
       "..", "../../outside", "/tmp/outside", "C:\\x", "a\0b", "a\nb", "\ud800", "<script>", "x" * 5000, [], {}, [[]],
       {"a": []}, [1, "b"], {"label": 3}]
NAMES = ["caf\udce9", "\udcff\udcfe", "två löpare", "走る", "a b", "'q\"", "$HOME", "%s", "*", "[a]", "{}", "a.b", ".x",
         "#1", "a\tb", "a\nb", "\u202e", "e\u0301", "x" * 200]
INTEGERS = [0, 1, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 10**9]


class Evil:
    """Unpickled, it leaves a trace above the case's folder."""

    def __reduce__(self):
        return os.mkdir, ("../trace",)


def place(rng, size, head=False):
    """An offset, in the first bytes with `head`."""
    return int(rng.integers(0, max(1, min(size, 400) if head else size)))


def harmed(rng, content):
    """(damaged bytes, what was done)."""
    content, told = bytearray(content), []
    for _ in range(rng.integers(1, 4)):
        head, size = rng.random() < 0.6, len(content)
        a, b = sorted((place(rng, size), place(rng, size)))
        at, how = place(rng, size, head), rng.choice(["flip", "cut", "insert", "double", "drop", "integer", "empty"],
                                                      p=[0.3, 0.15, 0.15, 0.1, 0.1, 0.18, 0.02])
        if how == "flip":
            for _ in range(rng.integers(1, 20)):
                if content:
                    content[place(rng, size, head)] ^= 1 << int(rng.integers(8))
        elif how == "cut":
            del content[at:]
        elif how == "insert":
            content[at:at] = rng.bytes(rng.integers(1, 300))
        elif how == "double":
            content[b:b] = content[a:b]
        elif how == "drop":
            del content[a:b]
        elif how == "integer":
            content[at : at + 4] = struct.pack("<I", int(rng.choice(INTEGERS)))
        else:
            content.clear()
        told.append(str(how))
    return bytes(content), "bytes " + ", ".join(told)


def video(rng, path):
    content, told = harmed(rng, path.read_bytes())
    path.write_bytes(content)
    return told


def write_films(folder, frames):
    """The frames (N, H, W) uint8 as a video of each format that can be written here, in a new folder."""
    folder.mkdir()
    for suffix in (*CODECS, ".gif"):
        write_as(folder / f"film{suffix}", frames)


def renamed(rng, path):
    """Give a file an odd name with the same suffix, and return its new path."""
    return path.rename(path.with_name(NAMES[rng.integers(len(NAMES))] + path.suffix))


def image(rng, path):
    """Bytes, or another picture under the same name: sizes, depths and formats that no camera makes."""
    if rng.random() < 0.7:
        return video(rng, path)
    shape = tuple(int(rng.choice([1, 2, 31, 700])) for _ in "hw") + ((), (3,), (4,))[rng.integers(3)]
    depth, suffix = (np.uint8, np.uint16)[rng.integers(2)], str(rng.choice([".png", ".tiff", ".jpg", ".bmp", ".webp"]))
    try:
        _, content = cv2.imencode(suffix, rng.integers(0, 255, shape).astype(depth))
    except cv2.error:
        return video(rng, path)
    path.write_bytes(content.tobytes())
    return f"{suffix} {shape} {depth.__name__}"


def text(rng, path):
    content = path.read_bytes()
    how = rng.choice(["bytes", "number", "sign", "long"], p=[0.4, 0.3, 0.2, 0.1])
    if how == "bytes":
        content, how = harmed(rng, content)
    elif how == "number":
        number = str(rng.choice([0, 2**63, 10**9, 7, 1])) * int(rng.choice([1, 1, 1000]))
        spots = list(re.finditer(rb"\d+", content))
        spot = spots[rng.integers(len(spots))]
        content = content[: spot.start()] + number.encode() + content[spot.end() :]
    elif how == "sign":
        spot = place(rng, len(content) + 1)
        sign = str(rng.choice(["-", "\0", "\u0663", " ", "frames", "\n", "\u2028", "../"])).encode()
        content = content[:spot] + sign + content[spot:]
    else:
        content += b" \t"[rng.integers(2)].to_bytes(1, "big") * 200_000 + b"frames 1-"
    path.write_bytes(content)
    return str(how)


def replaced(rng, value, odd):
    """`value` with one of its parts, at any depth, exchanged for odd(rng, part), dropped, doubled or renamed."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    if not len(keys) or rng.random() < 0.15:
        return odd(rng, value)
    key, copy = keys[rng.integers(len(keys))], value.copy()
    how = rng.random()
    if how < 0.8:
        copy[key] = replaced(rng, value[key], odd)
    elif how < 0.9:
        del copy[key]
    elif isinstance(copy, dict):
        copy[str(ODD[rng.integers(len(ODD))])] = copy.pop(key)
    else:
        copy += copy
    return copy


def json_file(rng, path):
    how = rng.random()
    if how < 0.25:
        content, told = harmed(rng, path.read_bytes())
        path.write_bytes(content)
        return told
    if how < 0.28:
        path.write_text("[" * 100_000)
        return "deep"
    if how < 0.31:
        path.write_bytes(json.dumps(json.loads(path.read_text())).encode("utf-16"))
        return "utf-16"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(replaced(rng, content, lambda rng, value: ODD[rng.integers(len(ODD))])))
    return "value"


def odd_array(rng, value):
    shapes = [(), (0,), (1,), (3, 0, 4), (2, 2, 2), value.shape[::-1], value.shape[1:]]
    kinds = [np.float64, np.complex64, np.uint8, bool, "U5", "datetime64[s]", np.float16, np.int64]
    array = np.ones(shapes[rng.integers(len(shapes))], kinds[rng.integers(len(kinds))])
    return [array, np.full(value.shape, np.nan), np.full(value.shape, np.inf, np.float32), np.full(3, Evil(), object),
            value[:-1] if value.ndim else 5, np.zeros(value.shape, np.uint16)][rng.integers(6)]


def npz(rng, path):
    how = rng.random()
    if how < 0.4:
        return video(rng, path)
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = list(arrays)[rng.integers(len(arrays))]
    if how < 0.75:
        arrays[name] = odd_array(rng, arrays[name])
    elif how < 0.8:
        arrays[str(ODD[rng.integers(14, len(ODD))]).replace("\0", "").encode(errors="replace").decode()[:99] or "x"] = (
            arrays.pop(name))
    np.savez_compressed(path, **{key: value for key, value in arrays.items() if how < 0.8 or key != name})
    if how > 0.8:  # a member whose header claims more than there is
        header, kind = io.BytesIO(), str(rng.choice(["|b1", "|u1", "<f4", "<f8"]))
        shape = [(10**9,), (10**6, 10**6), (1000, 1000, 1000), (2**62, 4), (10**9, 0)][rng.integers(5)]
        np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name + ".npy", header.getvalue() + bytes(int(rng.choice([0, 100, 10**7]))))
    return f"array {name}"


def odd_tensor(rng, value):
    """For a part of a checkpoint."""
    if not isinstance(value, torch.Tensor) or rng.random() < 0.2:
        return [*ODD, torch.zeros(2, 3), Evil(), torch.tensor(7)][rng.integers(len(ODD) + 3)]
    return [value[..., None], value.double(), value.to(torch.complex64), value.bool(), value.flatten()[:1],
            torch.full_like(value.float(), torch.nan), torch.full_like(value.float(), 1e38), value.half(),
            torch.zeros(1).expand(10**9), torch.zeros(()).expand(value.shape), torch.zeros(0), value.to_sparse(),
            torch.empty(10**9, 10**9, device="meta")][rng.integers(13)]


def checkpoint(rng, path):
    how = rng.random()
    if how < 0.3:
        return video(rng, path)
    content = torch.load(path, weights_only=True)
    if how < 0.5:  # the sizes that it claims
        part = [content, content["config"]][rng.integers(2)]
        key = [key for key, value in part.items() if isinstance(value, int | float)]
        key = key[rng.integers(len(key))]
        part[key] = [10**9, 30_000, 2**40, 0, -1, 1e9, 10**30, True, "9", 4096, None][rng.integers(11)]
        torch.save(content, path)
        return f"{key} {part[key]}"
    torch.save(replaced(rng, content, odd_tensor), path)
    if how > 0.9:
        with zipfile.ZipFile(path) as archive:
            members = [(item.filename, archive.read(item)) for item in archive.infolist()]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, (name, data) in enumerate(members):
                archive.writestr(name, data + bytes(10**8 * (number == 3)))
                if rng.random() < 0.2:
                    archive.writestr(f"../{name}", data)
        return "a zip of another kind"
    return "value"


def archive(rng, path):
    """Bytes, or members that lie outside, are links, claim sizes, come twice."""
    if rng.random() < 0.4:
        return video(rng, path)
    name = "person11_walking_d1_uncomp.avi"
    names = [f"../{name}", f"/tmp/{name}", f"..\\{name}", f"C:{name}", f"a/../../{name}", name, name.upper(), "a" * 300,
             ""]
    member = zipfile.ZipInfo(names[rng.integers(len(names))])
    kind = [stat.S_IFLNK, stat.S_IFREG, stat.S_IFDIR, stat.S_IFIFO, 0][rng.integers(5)]
    member.external_attr = (kind | 0o777) << 16
    member.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(member, b"../../outside" if kind == stat.S_IFLNK else bytes(int(rng.choice([0, 10, 10**8]))))
    return f"member {member.filename[:40]} {kind:o}"


def write_uncompressed(path, frames, upside_down=True):
    """An AVI of raw 24-bit frames: (N, H, W, 3) uint8 RGB, as other programs write them (bottom row first)."""
    def chunk(name, *parts):
        return name + struct.pack("<I", sum(map(len, parts))) + b"".join(parts)

    _, height, width, _ = frames.shape
    rows = np.pad(frames[..., ::-1].reshape(len(frames), height, -1), [(0, 0), (0, 0), (0, -3 * width % 4)])
    stored = [np.ascontiguousarray(frame[::-1] if upside_down else frame).tobytes() for frame in rows]
    shape = struct.pack("<IiiHHI20x", 40, width, height if upside_down else -height, 1, 24, 0)
    stream = b"vids" + struct.pack("<4sIIIIIIIIII8x", b"DIB ", 0, 0, 0, 1, 25, 0, len(frames), len(stored[0]), 0, 0)
    main = struct.pack("<10I16x", 40000, 0, 0, 16, len(frames), 0, 1, len(stored[0]), width, height)
    strl = chunk(b"LIST", b"strl", chunk(b"strh", stream), chunk(b"strf", shape))
    movi = chunk(b"LIST", b"movi", *(chunk(b"00db", frame) for frame in stored))
    path.write_bytes(chunk(b"RIFF", b"AVI ", chunk(b"LIST", b"hdrl", chunk(b"avih", main), strl), movi))
