"""The windows of a video: found from motion, and read in one pass, so that the time grows with the video's length.

    windows = find_windows("walk.avi", 30, rate=25)               # frames counted from 0
    reader = WindowReader(rate=25)
    for first, length, _ in windows:
        frames = reader.read("walk.avi", first, length)           # (length, H, W, 3)

Memory does not grow with the length of a video.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.video import at_rate, frame_rate, stack, timed_frames
from data.windows import find_motion, find_ranges, place_windows

MOTION_SIZE = (80, 60)  # width and height of the frames in which motion is searched


class Window(NamedTuple):
    """A window of a video. A window at another frame rate is counted in the frames that are read, as `first` is."""

    first: int  # the index of its first frame
    length: int
    shown: tuple[int, int]  # its first and last frame in the file, 1-based


def find_windows(path: str | Path, duration: int | None, rate: float | None = None, stride: int = 1) -> list[Window]:
    """Return the windows of one video, placed as in utils/trim_videos.py, of the frames that `at_rate` yields.

    The windows lie in the middle of each range with motion, and a long range has several. In a video without such a
    range they follow each other, and the last one ends with the video. A video shorter than a window is one window, and
    so is every video if the duration is None.
    """
    places = []  # the index in the file of each frame that is read

    def frames() -> Iterator[np.ndarray]:
        for place, frame in at_rate(timed_frames(path, MOTION_SIZE), rate, stride):
            places.append(place)
            yield frame

    def window(first: int, length: int) -> Window:
        return Window(first, length, (places[first] + 1, places[first + length - 1] + 1))

    if duration is None:
        return [window(0, sum(1 for _ in frames()))]
    moving = find_motion(frames())  # (N,)
    last_start = len(moving) - duration
    if last_start <= 0:
        return [window(0, len(moving))]
    starts = set()
    for first, last in find_ranges(moving):
        n_windows = max(1, (last - first + 1) // duration)
        starts.update(place_windows(first, last, moving, duration, n_windows))
    if not starts:
        starts = {*range(0, last_start, duration), last_start}
    by_name = {places[start]: start for start in sorted(starts, reverse=True)}  # a frame may be read several times
    return [window(start, duration) for start in sorted(by_name.values())]


class WindowReader:
    """Reads windows of videos, of which one is open. It decodes forwards, and starts again only for earlier windows.

    rate, stride: as in `find_windows`.
    """

    def __init__(self, rate: float | None = None, stride: int = 1) -> None:
        self.rate, self.stride = rate, stride
        self._open, self._frames = None, iter(())  # path and size of the open video, and what it still yields
        self._first, self._kept = 0, []  # the frames that were decoded last, and the index of the first of them

    def read(self, path: str | Path, first: int, length: int, size: int | None = None) -> np.ndarray:
        """Return the frames of a window, (length, H, W, 3) uint8 RGB, or resized (length, size, size, 3).

        Fewer frames are returned if the video ends before. Raises UserError or OSError if there is none. What is
        damaged in a video is not told, because `find_windows` does.
        """
        if (path, size) != self._open or first < self._first:
            self._open, self._first, self._kept = (path, size), 0, []
            decoded = timed_frames(path, size and (size, size), report=lambda text: None)
            self._frames = (frame for _, frame in at_rate(decoded, self.rate, self.stride))
        before = max(0, first - self._first - len(self._kept))  # frames that are decoded for nothing
        try:
            next(islice(self._frames, before, before), None)
            self._kept = self._kept[first - self._first:]
            self._first = first
            return stack(self._window(length), path)
        except BaseException:  # such as Ctrl-C: what has been decoded may be no window
            self._open = None
            raise

    def frame_rate(self, path: str | Path) -> float:
        """Return how many of the frames that are read from a video belong to a second of it."""
        return (self.rate or frame_rate(path)) / self.stride

    def _window(self, length: int) -> Iterator[np.ndarray]:
        """Yield the first `length` frames from self._first on. Those that overlapping windows need are kept."""
        yield from self._kept[:length]
        for frame in islice(self._frames, max(0, length - len(self._kept))):
            self._kept.append(frame)
            yield frame

    def __reduce__(self) -> tuple:
        """Give another process a reader of its own."""
        return WindowReader, (self.rate, self.stride)
