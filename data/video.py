"""Reading and writing of videos and person masks, and reading of images.

Frames are (N, H, W, 3) uint8 RGB in memory; the conversion from and to OpenCV's BGR takes place here. The frame count
in the header of a video is never used, because KTH's headers overstate it. The frames that decode are counted instead.
"""

import os
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

# isort: off
from runtime.errors import UserError
from runtime.files import whole_file  # before cv2, because the package runtime sets how much OpenCV prints
import cv2
import numpy as np
# isort: on

from data.opencv_files import open_capture, open_writer
from runtime.arrays import read_npz
from runtime.isolated import show_progress

VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".3gp", ".ts",
                  ".ogv", ".gif")
KTH_FPS = 25.0
QUALITY = 95  # JPEG quality of images and of frames in videos, 0 to 100
MAX_BYTES = 4 << 30  # the most memory that the frames of a video, or its masks, may take
# Browsers play VP8 and VP9. OpenCV cannot hurry its encoder of VP9, which takes several times as long.
CODECS = {".avi": (cv2.CAP_OPENCV_MJPEG, "MJPG"), ".webm": (cv2.CAP_FFMPEG, "VP80"), ".mp4": (cv2.CAP_FFMPEG, "vp09")}


def _upside_down_size(path: str | Path) -> tuple[int, int] | None:
    """Return (width, height) of an AVI of uncompressed 24-bit frames stored bottom row first, or None for other files.

    This is the usual form of uncompressed AVI. OpenCV up to 5.0 writes beyond its memory when it converts such frames.
    """
    with Path(path).open("rb") as file:
        head = file.read(4096)
    stream = re.match(b"RIFF.*?vids.*?strf.{8}(.{16})", head, re.DOTALL)  # the start of its BITMAPINFOHEADER
    if stream is None:
        return None
    width, height, _, bits, compression = struct.unpack("<iiHHI", stream[1])
    return (width, height) if compression == 0 and bits == 24 and width > 0 and height > 0 else None


def _upright(content: np.ndarray, width: int, height: int) -> np.ndarray | None:
    """Return the BGR frame (H, W, 3) from the bytes of one stored bottom row first, or None if bytes are missing."""
    stride = (3 * width + 3) // 4 * 4  # bytes of a row, padded to a multiple of four
    if content.size < stride * height:
        return None
    rows = content.ravel()[:stride * height].reshape(height, stride)[::-1]
    return rows[:, :3 * width].reshape(height, width, 3)


def iterate_video(path: str | Path, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
    """Yield the frames of a video one by one, (H, W, 3) uint8 RGB; `size` and errors as in `read_video`."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no video at {path}; check the path")
    upside_down, count = _upside_down_size(path), 0
    capture = open_capture(path, [cv2.CAP_PROP_FORMAT, -1] if upside_down else [])
    while True:
        try:
            _, frame = capture.read()
        except cv2.error as error:
            raise UserError(f"OpenCV cannot decode {path} ({error}); check the file") from error
        if upside_down and frame is not None:
            frame = _upright(frame, *upside_down)
        if frame is None:
            break
        show_progress()
        yield cv2.cvtColor(frame if size is None else resize_frame(frame, size), cv2.COLOR_BGR2RGB)
        count += 1
    if not count:
        raise UserError(f"{path} ({Path(path).stat().st_size} bytes) holds no frame that OpenCV can decode; "
                        "check the file, or convert it to another format")


def resize_frame(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a frame (H, W, ...) at `size` (width, height): by area averaging if smaller, otherwise interpolated."""
    smaller = size[0] <= frame.shape[1] and size[1] <= frame.shape[0]
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a mask (H, W) bool at `size` (width, height), by nearest neighbour."""
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)


def read_video(path: str | Path, max_frames: int | None = None,
               size: tuple[int, int] | None = None) -> tuple[np.ndarray, float]:
    """Return the frames of a video, (N, H, W, 3) uint8 RGB, and its frame rate in frames per second.

    max_frames: read only the first frames. size: resize the frames to (width, height).
    Raises FileNotFoundError if there is no such file, and ValueError if no frame decodes or the frames take more than
    MAX_BYTES of memory.
    """
    frames = stack(islice(iterate_video(path, size), max_frames), path)
    fps = open_capture(path).get(cv2.CAP_PROP_FPS)
    return frames, fps if 1 <= fps < 1000 else KTH_FPS


def stack(frames: Iterable[np.ndarray], path: str | Path) -> np.ndarray:
    """Return frames (H, W, 3) as one array (N, H, W, 3); path: their source, for error messages.

    Raises ValueError if there is no frame, if sizes differ, or if the frames take more than MAX_BYTES.
    """
    kept, n_bytes = [], 0
    for frame in frames:
        n_bytes += frame.nbytes
        if n_bytes > MAX_BYTES:
            raise UserError(f"{path}: {len(kept)} frames fill {MAX_BYTES >> 30} GiB and more follow; cut it into "
                            "shorter pieces")
        kept.append(frame)
    if len({frame.shape for frame in kept}) != 1:
        raise UserError(f"{path} holds {'frames of different sizes' if kept else 'no frame'}; create it again")
    return np.stack(kept)


def _count_frames(path: Path) -> int:
    """Return the number of frames that OpenCV can read from a video."""
    capture, count = open_capture(path), 0
    while capture.grab():
        count += 1
    return count


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float = KTH_FPS) -> None:
    """Write a video, completely or not at all: motion JPEG for .avi, VP8 for .webm, VP9 for .mp4.

    frames: one or more RGB (H, W, 3) or grey (H, W) frames of type uint8.
    Raises OSError if OpenCV lacks the codec or if not all frames can be written.
    """
    path, frames, count = Path(path), iter(frames), 0
    backend, codec = CODECS[path.suffix]
    first = next(frames)
    height, width = first.shape[:2]
    with whole_file(path) as temporary:
        writer = open_writer(temporary, backend, codec, fps, (width, height))
        if not writer.isOpened():
            raise OSError(f"OpenCV cannot write {codec} video to {path}; install the opencv-python-headless of "
                          "requirements.txt, which has the codec")
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, QUALITY)
        for frame in chain([first], frames):
            count += 1
            writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR if frame.ndim == 2 else cv2.COLOR_RGB2BGR))
        writer.release()
        if path.suffix == ".webm":
            _fix_track_uid(temporary)
        n_written = _count_frames(temporary)
        if n_written < count:  # OpenCV gives no error if the disk is full
            raise OSError(f"only {n_written} of {count} frames of {path} could be written; make sure that the disk has "
                          "room")


def _fix_track_uid(path: Path) -> None:
    """Give the track of a WebM file that FFmpeg has written the UID 1 instead of a random one.

    Equal frames then give equal files. The UID stands after its element's name and length, and again in the tags.
    """
    with path.open("r+b") as file:
        head = file.read(4096)
        uid = head.partition(b"\x73\xc5\x88")[2][:8]
        file.seek(0)
        file.write(head.replace(uid, (1).to_bytes(8, "big")) if len(uid) == 8 else head)


def masks_path(video_path: str | Path) -> Path:
    """Return the path of the person masks of a video, which lie beside it: `walk.avi` -> `walk.masks.npz`."""
    return Path(video_path).with_suffix(".masks.npz")


def read_masks(path: str | Path, n_frames: int | None = None) -> np.ndarray | None:
    """Return the person masks (N, H, W) bool of a synthetic video or clip, or None if there is no such file.

    Raises ValueError if the file holds something else, or if N is not `n_frames`.
    """
    if not Path(path).is_file():
        return None
    try:
        masks = read_npz(path, ["masks"], MAX_BYTES)["masks"]
        if masks.ndim != 3 or masks.dtype != bool or not masks.size or n_frames not in (None, len(masks)):
            raise UserError(f"shape {masks.shape}, type {masks.dtype}")
    except UserError as error:
        wanted = f"({n_frames or 'N'}, H, W) of type bool"
        raise UserError(f"{path} holds no masks {wanted} ({error}); remove the file or make it again") from error
    return masks


def write_masks(path: str | Path, masks: np.ndarray | list[np.ndarray]) -> None:
    """Write person masks (N, H, W) as a compressed .npz file, completely or not at all."""
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, masks=np.asarray(masks, dtype=bool))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep C libraries, such as the JPEG decoder, from writing to stderr during the block."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def read_image(path: str | Path) -> np.ndarray:
    """Return an image as (H, W, 3) uint8 RGB. Raises ValueError if it is damaged or a JPEG file lacks its end."""
    content = Path(path).read_bytes()
    try:
        with _quiet():
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except cv2.error as error:  # its header claims a larger size than OpenCV accepts
        raise UserError(f"the header of {path} ({len(content)} bytes) claims too large a size; extract its clip "
                        "again") from error
    cut_short = content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content[-32:]  # a JPEG without its end marker
    if pixels is None or cut_short:
        raise UserError(f"{path} ({len(content)} bytes) is not a complete image; extract its clip again")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
