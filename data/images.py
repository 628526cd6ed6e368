"""The folder of a clip: numbered images, perhaps `n_frames` and `masks.npz`, and what does not belong there.

    numbered_images(folder)         # [.../image_00001.jpg, ...], in the order of their numbers
    whole_images(folder)            # the same, or UserError if one is missing
    digest(folder)                  # 16 hexadecimal digits that change with any of the images
"""

import hashlib
import re
from itertools import pairwise
from pathlib import Path

from runtime.errors import UserError

IMAGE = re.compile(r"image_(\d{1,9})\.(?:jpg|jpeg|png)", re.IGNORECASE)
BESIDE = {"n_frames", "masks.npz"}  # files that belong to a clip and are no images


def numbered_images(folder: Path) -> list[Path]:
    """Return the images of a clip in the order of their numbers, whatever the number of digits. [] without a folder."""
    if not folder.is_dir():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := IMAGE.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def written_count(folder: Path) -> int | None:
    """Return the number in the n_frames file of a clip, or None if there is no such file."""
    path = folder / "n_frames"
    if not path.is_file():
        return None
    text = path.read_text(errors="replace").strip()
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise UserError(f"{path} holds {text[:20]!r}, not a number of frames; extract the clip again")
    return int(text)


def whole_images(folder: Path) -> list[Path]:
    """Return the images of a clip that count, in their order: the first n_frames. UserError if one is missing."""
    images, written = numbered_images(folder), written_count(folder)
    if written is not None and len(images) < written:
        raise UserError(f"{folder} holds {len(images)} images, but its n_frames file says {written}; extract the clip "
                        "again")
    numbers = [int(IMAGE.fullmatch(path.name)[1]) for path in images[:written]]
    for before, after in pairwise(numbers):
        if after != before + 1:
            fault = f"two images have the number {after}" if after == before else f"image {before + 1} is missing"
            raise UserError(f"{folder}: {fault}; extract the clip again")
    return images[:written]


def ignored_files(folder: Path) -> list[str]:
    """Return the names of the files of a clip that are not read: images beyond n_frames, and strangers."""
    read = {path.name for path in whole_images(folder)} | BESIDE
    return sorted(path.name for path in folder.iterdir() if path.name not in read and not path.name.startswith("."))


def digest(folder: Path) -> str:
    """Return a digest of the images of a clip that are read: 16 hexadecimal digits."""
    found = hashlib.sha256()
    for path in whole_images(folder):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]
