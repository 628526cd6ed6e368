"""Reading and writing of videos and person masks, and reading of images.

    for frame in iterate_video("walk.avi"): ...              # (H, W, 3) uint8 RGB
    for time, frame in timed_frames("walk.avi"): ...         # the time in seconds since the first frame
    for number, frame in at_rate(timed_frames("walk.avi"), 25): ...      # the index of the frame in the file
    write_video("overlay.mp4", frames, fps=8)

Videos are decoded and encoded by PyAV (FFmpeg). The frame count in the header of a video is never used, because KTH's
headers overstate it. The frames that decode are counted instead.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

# isort: off
from runtime.errors import UserError
from runtime.files import whole_file  # before cv2, because the package runtime sets how much OpenCV prints
import cv2
import numpy as np
# isort: on

import av
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from runtime.arrays import read_npz

VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".3gp", ".ts",
                  ".ogv", ".gif")
KTH_FPS = 25.0
QUALITY = 95  # JPEG quality of images and of frames in .avi files, 0 to 100
H264 = {"crf": "18", "preset": "veryfast"}  # hardly any visible loss
MAX_BYTES = 4 << 30  # the most memory that the frames of a video, or its masks, may take
TIME_LIMIT = 300  # seconds in which a file must yield its next frame
LONGEST_GAP = 60  # seconds; frames whose times differ by more, or go backwards, count as neighbours


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file for reading. Raises FileNotFoundError, or UserError if it has no video stream."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no video at {path}; check the path")
    try:
        container = av.open(os.fspath(path), timeout=TIME_LIMIT, options={"protocol_whitelist": "file"})
    except (av.FFmpegError, MemoryError) as error:
        raise _no_frame(path) from error
    with container:
        stream = container.streams.best("video")
        if stream is None:
            raise _no_frame(path)
        stream.thread_type = "AUTO"
        yield container, stream


def _no_frame(path: str | Path) -> UserError:
    return UserError(f"{path} ({Path(path).stat().st_size} bytes) holds no frame that FFmpeg can decode; check the "
                     "file, or convert it to another format")


def timed_frames(path: str | Path, size: tuple[int, int] | None = None,
                 report: Callable[[str], None] = warnings.warn) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (seconds since the first frame, frame (H, W, 3) uint8 RGB) as players show the file: rotated, mirrored.

    size: as in `read_video`. Damaged packets cost their frames; they are counted, and at the end of the file report()
    is called with a sentence. Raises FileNotFoundError if there is no such file, and UserError if no frame decodes or
    if the next frame does not come within TIME_LIMIT seconds.
    """
    count, damaged, elapsed, before, waiting_since = 0, 0, 0.0, None, time.monotonic()
    with _opened(path) as (container, stream):
        usual_step = 1 / float(stream.guessed_rate or KTH_FPS)
        for packet in _packets(container, stream):
            try:
                frames = [] if packet is None else packet.decode()
            except av.FFmpegError:
                frames, packet = [], None
            damaged += packet is None
            for frame in frames:
                damaged += frame.is_corrupt
                step = usual_step if None in (frame.time, before) else frame.time - before
                elapsed += (step if 0 < step <= LONGEST_GAP else usual_step) if count else 0
                yield elapsed, _as_shown(frame, size)
                count, before, waiting_since = count + 1, frame.time, time.monotonic()
            if time.monotonic() - waiting_since > TIME_LIMIT:
                raise UserError(f"{path} yields no further frame for {TIME_LIMIT} seconds after {count} frames; check "
                                "the file, or convert it to another format")
    if not count:
        raise _no_frame(path)
    if damaged:
        report(f"{path} is damaged in {damaged} places; the {count} frames that FFmpeg can decode are used")


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet | None]:
    """Yield the packets of a stream, and None where the file itself is damaged, which ends it.

    The last packet is empty; it makes the decoder give the frames that it still holds.
    """
    try:
        yield from container.demux(stream)
    except av.FFmpegError:
        yield None
        empty = av.Packet()
        empty.stream = stream
        yield empty


def _as_shown(frame: av.VideoFrame, size: tuple[int, int] | None) -> np.ndarray:
    """Return a frame as players show it, (H, W, 3) uint8 RGB, resized to `size` (width, height).

    The display matrix maps the column x and the row y of a stored pixel to the column a x + c y and the row b x + d y.
    """
    pixels = frame.to_ndarray(format="rgb24", interpolation="BICUBIC", threads=1)  # as OpenCV does
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5]
        if abs(int(b)) > abs(int(a)):  # columns become rows
            pixels, a, d = pixels.transpose(1, 0, 2), c, b
        pixels = np.ascontiguousarray(pixels[::-1 if d < 0 else 1, ::-1 if a < 0 else 1])
    return pixels if size is None else resize_frame(pixels, size)


def iterate_video(path: str | Path, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
    """Yield the frames of a video one by one, (H, W, 3) uint8 RGB; `size` and errors as in `timed_frames`."""
    return (frame for _, frame in timed_frames(path, size))


def at_rate(frames: Iterable[tuple[float, np.ndarray]], rate: float | None,
            stride: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index in the file, frame) at another frame rate: the frame nearest to each of the times k stride / rate.

    frames: what `timed_frames` yields. rate: frames per second; without it, every stride-th frame is yielded.
    """
    if not rate:
        yield from islice(enumerate(frame for _, frame in frames), 0, None, stride)
        return
    step, number, before = stride / rate, 0, None
    for index, (seconds, frame) in enumerate(frames):
        while before and number * step <= (before[0] + seconds) / 2 + 1e-9:
            yield before[1:]
            number += 1
        interval = seconds - before[0] if before else 1 / rate
        before = seconds, index, frame
    while before and number * step < before[0] + interval - step / 4:  # a quarter, as times are often rounded
        yield before[1:]
        number += 1


def frame_rate(path: str | Path) -> float:
    """Return the frame rate of a video, frames per second; that of KTH if the file does not say."""
    with _opened(path) as (_, stream):
        fps = float(stream.guessed_rate or 0)
    return fps if 1 <= fps < 1000 else KTH_FPS


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
    return stack(islice(iterate_video(path, size), max_frames), path), frame_rate(path)



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


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float = KTH_FPS) -> None:
    """Write a video, completely or not at all: motion JPEG for .avi, H.264 for .mp4, whose sides become even.

    frames: one or more RGB (H, W, 3) or grey (H, W) frames of type uint8. Equal frames give equal files.
    Raises OSError if not all frames can be written.
    """
    frames, rate = iter(frames), Fraction(fps).limit_denominator(1_000_000)
    frames = chain([first := next(frames)], frames)
    write = _write_h264 if Path(path).suffix == ".mp4" else _write_jpegs
    with whole_file(path) as temporary, av.open(os.fspath(temporary), "w") as container:
        write(container, frames, rate, first.shape[:2])


def _write_jpegs(container: OutputContainer, frames: Iterable[np.ndarray], rate: Fraction,
                 shape: tuple[int, int]) -> None:
    """Write each frame as the JPEG that OpenCV makes of it."""
    stream = container.add_mux_stream("mjpeg", rate, height=shape[0], width=shape[1])
    stream.time_base = 1 / rate
    for number, frame in enumerate(frames):
        packet = av.Packet(encode_jpeg(frame))
        packet.stream, packet.time_base, packet.is_keyframe = stream, 1 / rate, True
        packet.pts, packet.dts, packet.duration = number, number, 1
        container.mux(packet)


def _write_h264(container: OutputContainer, frames: Iterable[np.ndarray], rate: Fraction,
                shape: tuple[int, int]) -> None:
    """Write H.264 as browsers play it, with half the resolution for colour, so odd sides get a further pixel."""
    stream = container.add_stream("libx264", rate, options=H264)
    stream.height, stream.width = (side + side % 2 for side in shape)
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1  # another number gives another file
    for frame in frames:
        colour = np.repeat(frame[..., None], 3, 2) if frame.ndim == 2 else frame
        even = np.pad(colour, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), mode="edge")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(even)))
    container.mux(stream.encode(None))


def encode_jpeg(frame: np.ndarray) -> bytes:
    """Return an RGB (H, W, 3) or grey (H, W) frame of type uint8 as a JPEG file."""
    pixels = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


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
