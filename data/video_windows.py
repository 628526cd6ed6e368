"""The windows of a video: found from motion, and read in one pass, so that the time grows with the video's length.

    windows = find_windows("walk.avi", 30)                        # [(first, length), ...], frames counted from 0
    reader = WindowReader()
    for first, length in windows:
        frames = reader.read("walk.avi", first, length)           # (length, H, W, 3)

Memory does not grow with the length of a video.
"""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from data.video import iterate_video, stack
from data.windows import find_motion, find_ranges, place_windows
from runtime.isolated import IsolatedCalls

MOTION_SIZE = (80, 60)  # width and height of the frames in which motion is searched
TIME_LIMIT = 300  # seconds that a decoder may take for one frame


def find_windows(path: str | Path, duration: int | None) -> list[tuple[int, int]]:
    """Return [(index of the first frame, length)] of the windows of one video, placed as in utils/trim_videos.py.

    The windows lie in the middle of each range with motion, and a long range has several. In a video without such a
    range they follow each other, and the last one ends with the video. A video shorter than a window is one window, and
    so is every video if the duration is None.
    """
    frames = iterate_video(path, MOTION_SIZE)
    if duration is None:
        return [(0, sum(1 for _ in frames))]
    moving = find_motion(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)  # (N,)
    last_start = len(moving) - duration
    if last_start <= 0:
        return [(0, len(moving))]
    starts = set()
    for first, last in find_ranges(moving):
        n_windows = max(1, (last - first + 1) // duration)
        starts.update(place_windows(first, last, moving, duration, n_windows))
    if not starts:
        starts = {*range(0, last_start, duration), last_start}
    return [(start, duration) for start in sorted(starts)]


class ForwardReader:
    """Reads windows of one video. It decodes forwards, and starts again only for a window before the one read last."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._frames, self._size = None, None  # what iterate_video yields, and its size
        self._first, self._kept = 0, []  # the frames that were decoded last, and the index of the first of them

    def __call__(self, first: int, length: int, size: int | None = None) -> np.ndarray:
        """Return the frames of a window, (length, H, W, 3) uint8 RGB, or resized (length, size, size, 3).

        Fewer frames are returned if the video ends before. Raises ValueError or OSError if there is none.
        """
        if self._frames is None or first < self._first or size != self._size:
            self._frames, self._size = iterate_video(self.path, size and (size, size)), size
            self._first, self._kept = 0, []
        before = max(0, first - self._first - len(self._kept))  # frames that are decoded for nothing
        next(islice(self._frames, before, before), None)
        self._kept = self._kept[first - self._first:]
        self._first = first
        return stack(self._window(length), self.path)

    def _window(self, length: int) -> Iterator[np.ndarray]:
        """Yield the first `length` frames from self._first on. Those that overlapping windows need are kept."""
        yield from self._kept[:length]
        for frame in islice(self._frames, max(0, length - len(self._kept))):
            self._kept.append(frame)
            yield frame


class WindowReader:
    """Reads windows of videos, each video in a process of its own, of which at most one is open."""

    def __init__(self) -> None:
        self._path, self._read = None, None

    def read(self, path: str | Path, first: int, length: int, size: int | None = None) -> np.ndarray:
        """Return what ForwardReader returns. Windows of a video that are asked for in order are read in one pass.

        Raises ValueError with the reason if the window cannot be read, or if its decoder dies or hangs.
        """
        if path != self._path:
            self._path, self._read = path, IsolatedCalls(partial(ForwardReader, path), TIME_LIMIT)
        return self._read(first, length, size)

    def close(self) -> None:
        """Close the video that is open, if any. The next window opens its video again."""
        self._path = self._read = None

    def __reduce__(self) -> tuple:
        """Give another process a reader of its own."""
        return WindowReader, ()
