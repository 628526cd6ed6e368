"""Where to cut a video: frames with motion, ranges of them, windows of a fixed length in a range.

    moving = find_motion(grey)                                          # (N, H, W) uint8 -> (N,) bool
    starts = place_windows(95, 130, moving, n_frames=30, n_windows=1)   # [96]
"""

import cv2
import numpy as np

PIXEL_CHANGE = 20  # grey levels; noise of the coding and drifting daylight stay below it
LEAST_MOTION = 8  # frames; a shorter stir is nobody passing through the picture
WINDOW_SHIFT = 5  # frames that windows of a short range are apart at least


def find_motion(frames):
    """In which frames something moves inside the picture: (N, H, W) uint8 -> (N,) bool.

    What differs from the per-pixel median of the video is counted, less towards the left and right border (somebody
    half out of the picture is to count less); Otsu's threshold (IEEE Trans. SMC 9, 1979) parts the counts in two.
    """
    background = np.median(frames[:: len(frames) // 200 + 1], axis=0)  # (H, W)
    width = frames.shape[2]
    inside = np.sin(np.pi * (np.arange(width) + 0.5) / width)  # (W,)
    area = np.array([(np.abs(frame - background) > PIXEL_CHANGE).mean(axis=0) @ inside for frame in frames])  # (N,)
    area = np.convolve(np.pad(area, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    levels = np.uint8(255 * area / max(area.max(), 1e-9))
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    return levels > threshold


def find_ranges(moving):
    """The runs of frames with motion, as in the range file: (N,) bool -> [(first, last)], 1-based and inclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], moving.astype(int), [0]])))  # start, stop, start, stop ...
    return [(int(start) + 1, int(stop)) for start, stop in edges.reshape(-1, 2) if stop - start >= LEAST_MOTION]


def place_windows(first, last, moving, n_frames, n_windows):
    """Where the windows of one range start, 0-based: [start], in order.

    They are spread evenly over the frames of the range with motion, one window lies in their middle. A range too short
    for the windows is widened on both sides, within the video; (N,) bool `moving` must have at least n_frames frames.
    """
    start, stop, total = first - 1, last, len(moving)
    seen = start + np.flatnonzero(moving[start:stop])
    seen = seen if len(seen) else np.arange(start, stop)
    length = min(total, n_frames + WINDOW_SHIFT * (n_windows - 1))
    lacking = max(0, length - (stop - start))
    start = min(max(0, start - lacking // 2), total - length)
    stop = max(start + length, stop)
    spread = min(max(length, len(seen)), stop - start) if n_windows > 1 else n_frames
    start = min(max(start, round(np.median(seen) + 0.5 - spread / 2)), stop - spread)
    return [int(place) for place in np.unique(np.linspace(start, start + spread - n_frames, n_windows).round())]
