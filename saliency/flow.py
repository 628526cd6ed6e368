"""Motion in a clip: dense optical flow (the yardstick of a saliency map) and frame difference (a baseline map).

    speed = optical_flow(frames)       # frames (T, H, W) or (T, H, W, 3) uint8 -> (T-1, H, W), pixels per frame
"""

import cv2
import numpy as np

# Farneback (2003), chosen for 120x120 KTH. OpenCV stops its pyramid at 32 pixels, so the usual scale 0.5 leaves two
# levels and loses motion above 5 pixels per frame; 0.55 leaves three, enough for the legs of a runner. The Gaussian
# window keeps the moving region close to the body.
FARNEBACK = {"pyr_scale": 0.55, "levels": 3, "winsize": 13, "iterations": 3, "poly_n": 7, "poly_sigma": 1.5,
             "flags": cv2.OPTFLOW_FARNEBACK_GAUSSIAN}


def grey(frames):
    """Grey frames (T, H, W) uint8 of (T, H, W, 3) RGB ones; grey ones are returned as they are."""
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or not (frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 3)):
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; give uint8 of shape (T, H, W) or (T, H, W, 3)")
    if frames.ndim == 3 or not frames.size:
        return frames if frames.ndim == 3 else frames[..., 0]
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])


def optical_flow(frames):
    """Speed of every pixel, (T-1, H, W) float32 in pixels per frame, of (T, H, W[, 3]) uint8 frames.

    flow[t] is the motion from frame t to t+1 and lies on the pixels of frame t, so it belongs to frame t; the last
    frame has none. One frame gives (0, H, W). Source: Farneback, Two-frame motion estimation based on polynomial
    expansion, SCIA 2003.
    """
    frames = grey(frames)
    speed = np.zeros((max(len(frames) - 1, 0), *frames.shape[1:]), np.float32)
    for t in range(len(speed)):
        motion = cv2.calcOpticalFlowFarneback(frames[t], frames[t + 1], None, **FARNEBACK)  # (H, W, 2)
        speed[t] = np.hypot(motion[..., 0], motion[..., 1])
    return speed


def mean_flow(clips):
    """Speed per pixel, mean over time and over clips of frames (T, H, W[, 3]) uint8: (H, W); None without a clip."""
    flows = [optical_flow(frames).sum(0) / len(frames) for frames in clips]
    return np.mean(flows, axis=0) if flows else None


def frame_difference(frames):
    """Baseline map |x_t - x_{t+1}|, (T, H, W) float32 in grey levels; the last frame against the one before it.

    One frame gives zeros.
    """
    frames = grey(frames).astype(np.float32)
    if len(frames) < 2:
        return np.zeros_like(frames)
    difference = np.abs(np.diff(frames, axis=0))
    return np.concatenate([difference, difference[-1:]])
