"""The windows of a video: found from motion, and read in one pass, so that the time grows with the video's length.

    windows = find_windows("walk.avi", 30)                        # [(first, length), ...], frames counted from 0
    reader = WindowReader()
    for first, length in windows:
        frames = reader.read("walk.avi", first, length)           # (length, H, W, 3)

Memory does not grow with the length of a video.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from data.video import iterate_video, stack, timed_frames
from data.windows import find_motion, find_ranges, place_windows

MOTION_SIZE = (80, 60)  # width and height of the frames in which motion is searched


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


class WindowReader:
    """Reads windows of videos, of which one is open. It decodes forwards, and starts again only for earlier windows."""

    def __init__(self) -> None:
        self._open, self._frames = None, iter(())  # path and size of the open video, and what it still yields
        self._first, self._kept = 0, []  # the frames that were decoded last, and the index of the first of them

    def read(self, path: str | Path, first: int, length: int, size: int | None = None) -> np.ndarray:
        """Return the frames of a window, (length, H, W, 3) uint8 RGB, or resized (length, size, size, 3).

        Fewer frames are returned if the video ends before. Raises UserError or OSError if there is none. What is
        damaged in a video is not told, because `find_windows` does.
        """
        if (path, size) != self._open or first < self._first:
            self._open, self._first, self._kept = (path, size), 0, []
            self._frames = (frame for _, frame in timed_frames(path, size and (size, size), report=lambda text: None))
        before = max(0, first - self._first - len(self._kept))  # frames that are decoded for nothing
        try:
            next(islice(self._frames, before, before), None)
            self._kept = self._kept[first - self._first:]
            self._first = first
            return stack(self._window(length), path)
        except BaseException:  # such as Ctrl-C: what has been decoded may be no window
            self._open = None
            raise

    def _window(self, length: int) -> Iterator[np.ndarray]:
        """Yield the first `length` frames from self._first on. Those that overlapping windows need are kept."""
        yield from self._kept[:length]
        for frame in islice(self._frames, max(0, length - len(self._kept))):
            self._kept.append(frame)
            yield frame

    def __reduce__(self) -> tuple:
        """Give another process a reader of its own."""
        return WindowReader, ()
