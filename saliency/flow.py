"""Optical flow: the motion in a clip, against which saliency maps are measured.

    speed = optical_flow(frames)       # frames (T, H, W) or (T, H, W, 3) uint8 -> (T-1, H, W), pixels per frame
    moving = speed > moving_threshold(frames.shape[1])

The same clip has the same moving pixels at every size, because the flow is computed at one height. Farneback,
"Two-frame motion estimation based on polynomial expansion", SCIA 2003.
"""

from collections.abc import Iterable
from itertools import pairwise

import cv2
import numpy as np

from runtime.errors import UserError

HEIGHT = 120  # pixels, that of KTH's videos; the flow is computed at this height
# These values were chosen for KTH at 120x120. OpenCV builds no pyramid level below 32 pixels. With the usual scale of
# 0.5 that leaves two levels, which miss motion above 5 pixels per frame; 0.55 leaves three, enough for the legs of a
# runner. The Gaussian window keeps the flow close to the body.
FARNEBACK = {"pyr_scale": 0.55, "levels": 3, "winsize": 13, "iterations": 3, "poly_n": 7, "poly_sigma": 1.5,
             "flags": cv2.OPTFLOW_FARNEBACK_GAUSSIAN}
REACH = FARNEBACK["winsize"] // 2 + FARNEBACK["poly_n"] // 2  # pixels from a pixel to the edge of its window


def moving_threshold(height: int) -> float:
    """Return the pixels per frame above which a pixel moves: 1/120 of the height (pixels), so 1 in KTH's videos."""
    return height / HEIGHT


def grey(frames: np.ndarray) -> np.ndarray:
    """Convert RGB frames (T, H, W, 3) uint8 to grey frames (T, H, W) uint8; return grey frames unchanged.

    ValueError if the frames have another type or shape.
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or not (frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 3)):
        raise UserError(f"frames are {frames.dtype} {frames.shape}; give uint8 of shape (T, H, W) or (T, H, W, 3)")
    if frames.ndim == 3:
        return frames
    if not frames.size:
        return frames[..., 0]
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])


def optical_flow(frames: np.ndarray) -> np.ndarray:
    """Return the speed of every pixel: (T, H, W) or (T, H, W, 3) uint8 -> (T-1, H, W) float32, pixels per frame.

    flow[t] is the motion from frame t to frame t+1, at the pixels of frame t. It is 0 where the two frames are equal
    in the whole window around a pixel: Farneback's method invents motion there. The last frame has no flow, and a clip
    of one frame gives (0, H, W).
    """
    frames = grey(frames)
    height, width = frames.shape[1:]
    speed = np.zeros((max(len(frames) - 1, 0), height, width), np.float32)
    scaled = (cv2.resize(frame, (max(1, round(width * HEIGHT / height)), HEIGHT),
                         interpolation=cv2.INTER_AREA if height > HEIGHT else cv2.INTER_LINEAR) for frame in frames)
    window = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
    for t, (frame, following) in enumerate(pairwise(scaled)):
        motion = cv2.calcOpticalFlowFarneback(frame, following, None, **FARNEBACK)  # (HEIGHT, W', 2)
        changes = cv2.dilate(np.uint8(frame != following), window)
        found = np.hypot(motion[..., 0], motion[..., 1]) * changes
        speed[t] = cv2.resize(found, (width, height)) * height / HEIGHT
    return speed


def mean_flow(clips: Iterable[np.ndarray]) -> np.ndarray | None:
    """Return the speed of each pixel averaged over time and over clips, (H, W) in pixels per frame.

    Each clip has shape (T, H, W) or (T, H, W, 3), uint8. Returns None if there are no clips.
    """
    flows = [optical_flow(frames).sum(0) / len(frames) for frames in clips]
    return np.mean(flows, axis=0) if flows else None
