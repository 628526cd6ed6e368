"""Optical flow: the motion in a clip, against which saliency maps are measured.

    speed = optical_flow(frames)       # frames (T, H, W) or (T, H, W, 3) uint8 -> (T-1, H, W), pixels per frame

Farneback, "Two-frame motion estimation based on polynomial expansion", SCIA 2003.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from runtime.errors import UserError

# These values were chosen for KTH at 120x120. OpenCV builds no pyramid level below 32 pixels. With the usual scale of
# 0.5 that leaves two levels, which miss motion above 5 pixels per frame; 0.55 leaves three, enough for the legs of a
# runner. The Gaussian window keeps the flow close to the body.
FARNEBACK = {"pyr_scale": 0.55, "levels": 3, "winsize": 13, "iterations": 3, "poly_n": 7, "poly_sigma": 1.5,
             "flags": cv2.OPTFLOW_FARNEBACK_GAUSSIAN}


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

    flow[t] is the motion from frame t to frame t+1, at the pixels of frame t. The last frame has no flow, and a clip of
    one frame gives (0, H, W).
    """
    frames = grey(frames)
    speed = np.zeros((max(len(frames) - 1, 0), *frames.shape[1:]), np.float32)
    for t in range(len(speed)):
        motion = cv2.calcOpticalFlowFarneback(frames[t], frames[t + 1], None, **FARNEBACK)  # (H, W, 2)
        speed[t] = np.hypot(motion[..., 0], motion[..., 1])
    return speed


def mean_flow(clips: Iterable[np.ndarray]) -> np.ndarray | None:
    """Return the speed of each pixel averaged over time and over clips, (H, W) in pixels per frame.

    Each clip has shape (T, H, W) or (T, H, W, 3), uint8. Returns None if there are no clips.
    """
    flows = [optical_flow(frames).sum(0) / len(frames) for frames in clips]
    return np.mean(flows, axis=0) if flows else None
