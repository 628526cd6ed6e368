"""The one place where videos and their masks are read and written.

Frames are (N, H, W, 3) uint8 RGB in memory, whatever OpenCV calls BGR on disk. The frame count in a video's header
is never trusted (it overstates on KTH): what decodes is what there is.
"""

import os
import re
import struct
import zlib
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from zipfile import BadZipFile

# isort: off
from runtime.files import whole_file  # before OpenCV: importing runtime sets how much OpenCV prints
import cv2
import numpy as np
# isort: on

VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg", ".mpeg")
KTH_FPS = 25.0
QUALITY = 95  # of JPEG, as pictures and in videos
MAX_BYTES = 4 << 30  # no video or mask file is read that takes more memory than this
CODECS = {".avi": (cv2.CAP_OPENCV_MJPEG, "MJPG"), ".mp4": (cv2.CAP_FFMPEG, "vp09")}  # VP9: plays in browsers


def _upside_down_size(path):
    """(width, height) of an AVI of uncompressed 24-bit frames stored bottom row first; None for any other file.

    OpenCV up to 5.0 writes beyond its memory when it converts these, the usual form of uncompressed AVI.
    """
    with Path(path).open("rb") as file:
        head = file.read(4096)
    stream = re.match(b"RIFF.*?vids.*?strf.{8}(.{16})", head, re.DOTALL)  # its format, a BITMAPINFOHEADER
    if stream is None:
        return None
    width, height, _, bits, compression = struct.unpack("<iiHHI", stream[1])
    return (width, height) if compression == 0 and bits == 24 and width > 0 and height > 0 else None


def _upright(content, width, height):
    """The frame (H, W, 3) in BGR from the bytes of one that is stored upside down, None where bytes are lacking."""
    stride = -(-3 * width // 4) * 4  # bytes of a row, padded to whole words
    if content.size < stride * height:
        return None
    rows = content.ravel()[: stride * height].reshape(height, stride)[::-1]
    return rows[:, : 3 * width].reshape(height, width, 3)


def iterate_video(path, size=None):
    """Yield the frames of a video one by one, (H, W, 3) uint8 RGB; errors and `size` as in `read_video`."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no video at {path}")
    upside_down, count = _upside_down_size(path), 0
    capture = cv2.VideoCapture(str(path), cv2.CAP_ANY, [cv2.CAP_PROP_FORMAT, -1] if upside_down else [])
    while True:
        _, frame = capture.read()
        if upside_down and frame is not None:
            frame = _upright(frame, *upside_down)
        if frame is None:
            break
        yield cv2.cvtColor(frame if size is None else resize_frame(frame, size), cv2.COLOR_BGR2RGB)
        count += 1
    if not count:
        raise ValueError(f"{path} ({Path(path).stat().st_size} bytes) holds no frame that OpenCV can decode")


def resize_frame(frame, size):
    """Pixels (H, W, ...) at `size` (width, height): the mean of those that fall together, linear where it is larger."""
    smaller = size[0] <= frame.shape[1] and size[1] <= frame.shape[0]
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def resize_mask(mask, size):
    """A mask (H, W) bool at `size` (width, height)."""
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)


def read_video(path, max_frames=None, size=None):
    """All frames of a video (the first `max_frames` of it), resized to `size` (width, height), and its frame rate.

    Returns (frames (N, H, W, 3) uint8 RGB, fps). FileNotFoundError where there is no file, ValueError where nothing
    in it decodes or where the frames would take more than `MAX_BYTES` of memory.
    """
    frames = stack(islice(iterate_video(path, size), max_frames), path)
    fps = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS)
    return frames, fps if 1 <= fps < 1000 else KTH_FPS


def stack(frames, path):
    """An iterable of frames (H, W, 3) as one array. ValueError for none, several sizes, or more than `MAX_BYTES`."""
    kept, n_bytes = [], 0
    for frame in frames:
        n_bytes += frame.nbytes
        if n_bytes > MAX_BYTES:
            raise ValueError(f"{path}: {len(kept)} frames fill {MAX_BYTES >> 30} GiB and more follow; cut it")
        kept.append(frame)
    if len({frame.shape for frame in kept}) != 1:
        raise ValueError(f"{path} holds {'frames of different sizes' if kept else 'no frame'}; make it again")
    return np.stack(kept)


def write_video(path, frames, fps=KTH_FPS):
    """Write one or more frames, (H, W, 3) or (H, W) uint8, as .avi (motion JPEG) or .mp4 (VP9), whole or not at all."""
    path, frames, count = Path(path), iter(frames), 0
    backend, codec = CODECS[path.suffix]
    first = next(frames)
    height, width = first.shape[:2]
    with whole_file(path) as temporary:
        writer = cv2.VideoWriter(str(temporary), backend, cv2.VideoWriter_fourcc(*codec), fps, (width, height))
        if not writer.isOpened():
            raise OSError(f"OpenCV cannot write {codec} video to {path}")
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, QUALITY)
        for frame in chain([first], frames):
            count += 1
            writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR if frame.ndim == 2 else cv2.COLOR_RGB2BGR))
        writer.release()
        n_written = sum(iter(cv2.VideoCapture(str(temporary)).grab, False))
        if n_written < count:  # OpenCV does not tell when the disk is full
            raise OSError(f"only {n_written} of {count} frames of {path} could be written; is the disk full?")


def masks_path(video_path):
    """Where the ground truth of a video lies: beside it, `walk.avi` -> `walk.masks.npz`."""
    return Path(video_path).with_suffix(".masks.npz")


def read_masks(path, n_frames=None):
    """The person masks (N, H, W) bool of a synthetic video or clip, or None where there is no such file.

    ValueError where it holds something else, or masks of another number of frames than `n_frames`.
    """
    if not Path(path).is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            if archive.zip.getinfo("masks.npy").file_size > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES >> 30} GiB")
            masks = archive["masks"]
        if masks.ndim != 3 or masks.dtype != bool or not masks.size or n_frames not in (None, len(masks)):
            raise ValueError(f"shape {masks.shape}, type {masks.dtype}")
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, BadZipFile, zlib.error) as error:
        wanted = f"({n_frames or 'N'}, H, W) of type bool"
        raise ValueError(f"{path} holds no masks {wanted} ({error}); make them again") from error
    return masks


def write_masks(path, masks):
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, masks=np.asarray(masks, dtype=bool))


@contextmanager
def _quiet():
    """Keep C libraries, such as the one that reads JPEG, from writing to stderr during the block."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def read_image(path):
    """One picture, (H, W, 3) uint8 RGB. ValueError where it is broken, also where a JPEG ends before its end mark."""
    content = Path(path).read_bytes()
    try:
        with _quiet():
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except cv2.error as error:  # its header claims a size beyond all bounds
        raise ValueError(f"{path} ({len(content)} bytes) claims to be too large a picture; remove it") from error
    cut_short = content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content[-32:]
    if pixels is None or cut_short:
        raise ValueError(f"{path} ({len(content)} bytes) is not a whole picture; extract its clip again")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
