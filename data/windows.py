"""Where to cut a video: frames with motion, ranges of such frames, and windows of a fixed length inside a range.

    moving = find_motion(grey)                                          # (N, H, W) uint8 -> (N,) bool
    starts = place_windows(95, 130, moving, n_frames=30, n_windows=1)   # [96]
"""

from collections.abc import Iterable

import cv2
import numpy as np

from runtime.errors import UserError

PIXEL_CHANGE = 20  # grey levels; coding noise and drifting daylight change a pixel by less
LEAST_MOTION = 8  # frames; shorter motion is nobody crossing the picture
SMALLEST = 0.15  # of a picture 60 pixels high, 9 pixels; the least area of something small that moves, in columns
QUIET, CLEARLY = 0.03, 12.5  # the largest mean area of the frames around it, and how many times it must be larger
LONG_RUN = 30  # frames; so long a run that differs from the video, but hardly in itself, is another light
STATIC = 0.25  # times the least area of the run; what differs in itself must be less
WINDOW_SHIFT = 5  # frames; the least distance between the windows of a short range
LEAST_GAP = 6  # frames; a shorter time without anybody is not used
MEDIAN_FRAMES = 200  # the median of a part of a video is computed from at most this many of its frames
PART = 2500  # frames; a video of twice as many or more is searched in parts, so that memory does not grow with it


def find_motion(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Return in which frames something moves inside the picture: frames (H, W[, 3]) uint8 one by one -> (N,) bool.

    Counts the pixels of a frame that differ from the median of the video, in any colour. Pixels near the left and right
    border count less, because a person there may be half outside. Otsu's threshold (IEEE Trans. SMC 9, 1979) divides
    the counts. A video of 2 * PART frames or more has a median for each part of it, and at most 2 * PART frames are
    kept in memory.
    Raises ValueError if there is no frame.
    """
    areas, kept = [], []
    for frame in frames:
        kept.append(frame)
        if len(kept) == 2 * PART:  # the last part is then never shorter than the others
            areas.append(_moving_area(np.stack(kept[:PART])))
            del kept[:PART]
    if not kept:
        raise UserError("there is no frame in which something could move")
    area = np.concatenate([*areas, _moving_area(np.stack(kept))])  # (N,)
    area = np.convolve(np.pad(area, 2, mode="edge"), np.full(5, 0.2), mode="valid")  # mean of 5 frames
    moving = _above_otsu(area)
    for start, stop in _runs(~moving):
        moving[start:stop] = _small_motion(area, start, stop)
    return moving


def _above_otsu(area: np.ndarray) -> np.ndarray:
    """Return where an area (N,) is above Otsu's threshold, (N,) bool."""
    levels = np.uint8(255 * area / max(area.max(), 1e-9))
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    return levels.ravel() > threshold


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return the runs of True in (N,) bool, (start, stop) from 0."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))  # start, stop, start, stop ...
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _small_motion(area: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return where something small moves in a part of a video in which nothing as large as elsewhere moves.

    area (N,): of the whole video. The ends of the part belong to the motion beside it while the area falls.
    """
    first, last = start, stop - 1
    while start > 0 and first < last and area[first + 1] <= area[first]:
        first += 1
    while stop < len(area) and first < last and area[last - 1] <= area[last]:
        last -= 1
    part, moving = area[first:last + 1], np.zeros(stop - start, bool)
    above = _above_otsu(part)
    around = part[~above].mean() if not above.all() else part.max()
    if part.max() >= SMALLEST and around <= min(QUIET, part.max() / CLEARLY):
        moving[first - start:last + 1 - start] = above
    return moving


def _moving_area(frames: np.ndarray) -> np.ndarray:
    """Return how much of each frame differs from the median of all: (N, H, W[, 3]) uint8 -> (N,).

    If the light changes, or something stays that was not there, a whole run of frames differs from the median although
    nothing moves in it. Such a run is compared with its own median.
    """
    area = _area_beside_median(frames)
    for start, stop in _runs(_above_otsu(area)):
        own = _area_beside_median(frames[start:stop]) if stop - start >= LONG_RUN else area[start:stop]
        if own.max() < STATIC * area[start:stop].min():
            area[start:stop] = own
    return area


def shows_motion(frames: np.ndarray) -> bool:
    """Return whether something moves in frames (N, H, W[, 3]) uint8, be it as small as SMALLEST."""
    return bool(_area_beside_median(frames).max() >= SMALLEST)


def _area_beside_median(frames: np.ndarray) -> np.ndarray:
    """Return the area of each frame (N, H, W[, 3]) that differs from the median of all, in pixels of a column (N,)."""
    frames = frames.reshape(*frames.shape[:3], -1)  # (N, H, W, 1 or 3)
    background = np.median(frames[::len(frames) // MEDIAN_FRAMES + 1], axis=0)  # (H, W, 1 or 3)
    width = frames.shape[2]
    weight = np.sin(np.pi * (np.arange(width) + 0.5) / width)  # (W,) 0 at the borders, 1 in the middle
    return np.array([(np.abs(frame - background) > PIXEL_CHANGE).any(2).mean(axis=0) @ weight for frame in frames])


def find_ranges(moving: np.ndarray) -> list[tuple[int, int]]:
    """Return the ranges of frames with motion: (N,) bool -> [(first, last)], 1-based and inclusive as in KTH's file."""
    return [(start + 1, stop) for start, stop in _runs(moving) if stop - start >= LEAST_MOTION]


def passage_with_context(first: int, last: int, total: int, context: int) -> tuple[int, int]:
    """Return (first, last) of a range widened by `context` frames on both sides, within a video of `total` frames.

    All numbers are 1-based and inclusive.
    """
    return max(1, first - context), min(total, last + context)


def find_gaps(ranges: list[tuple[int, int]], total: int, margin: int) -> list[tuple[int, int]]:
    """Return the parts of a video without anybody: (first, last) between the ranges, 1-based and inclusive.

    margin: frames beside each range that are left out. Gaps shorter than LEAST_GAP frames are left out.
    """
    covered = np.zeros(total + 2, bool)
    covered[[0, -1]] = True
    for first, last in ranges:
        covered[max(0, first - margin):last + 1 + margin] = True
    return [(start, stop - 1) for start, stop in _runs(~covered) if stop - start >= LEAST_GAP]


def loop_frames(first: int, last: int, length: int) -> np.ndarray:
    """Return the indices, from 0, of at least `length` frames: first to last, then backwards and forwards again."""
    forwards = np.arange(first - 1, last)
    period = np.concatenate([forwards, forwards[-2:0:-1]])
    return np.resize(period, max(length, len(forwards)))


def place_windows(first: int, last: int, moving: np.ndarray, n_frames: int, n_windows: int) -> list[int]:
    """Return the starts, 0-based and in order, of `n_windows` windows of `n_frames` frames in one range.

    first, last: the range, 1-based and inclusive. moving (N,) bool: the frames with motion; N is at least n_frames. The
    windows are spread evenly over the moving frames of the range; a single window lies in their middle. A range that is
    too short for the windows is widened on both sides, within the video.
    """
    start, stop, total = first - 1, last, len(moving)
    moving_frames = start + np.flatnonzero(moving[start:stop])
    if not len(moving_frames):
        moving_frames = np.arange(start, stop)
    needed = min(total, n_frames + WINDOW_SHIFT * (n_windows - 1))
    lacking = max(0, needed - (stop - start))
    start = min(max(0, start - lacking // 2), total - needed)
    stop = max(start + needed, stop)
    # All windows together cover `span` frames, centred on the median of the moving frames.
    span = min(max(needed, len(moving_frames)), stop - start) if n_windows > 1 else n_frames
    start = min(max(start, round(np.median(moving_frames) + 0.5 - span / 2)), stop - span)
    return [int(begin) for begin in np.unique(np.linspace(start, start + span - n_frames, n_windows).round())]
