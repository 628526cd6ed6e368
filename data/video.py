"""The one place where videos and their masks are read and written.

Frames are (N, H, W, 3) uint8 RGB in memory, whatever OpenCV calls BGR on disk. The frame count in a video's header
is never trusted (it overstates on KTH): what decodes is what there is.
"""

import os
from pathlib import Path

import numpy as np

from data.files import whole_file

os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # a broken file is reported once, by us, in one line
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
import cv2

VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg", ".mpeg")
KTH_FPS = 25.0
CODECS = {".avi": (cv2.CAP_OPENCV_MJPEG, "MJPG"), ".mp4": (cv2.CAP_FFMPEG, "vp09")}  # VP9: plays in browsers


def read_video(path, max_frames=None):
    """All frames of a video (the first `max_frames` of it) and its frame rate.

    Returns (frames (N, H, W, 3) uint8 RGB, fps). FileNotFoundError where there is no file, ValueError where nothing
    in it decodes.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no video at {path}")
    capture = cv2.VideoCapture(str(path))
    try:
        frames = []
        while max_frames is None or len(frames) < max_frames:
            decoded, frame = capture.read()
            if not decoded:
                break
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        fps = capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    if not frames:
        raise ValueError(f"{path} ({Path(path).stat().st_size} bytes) holds no frame that OpenCV can decode")
    return np.stack(frames), fps if fps > 0 else KTH_FPS


def write_video(path, frames, fps=KTH_FPS, quality=95):
    """Write (N, H, W, 3) or (N, H, W) uint8 frames as .avi (motion JPEG) or .mp4 (VP9), whole or not at all."""
    path = Path(path)
    backend, codec = CODECS[path.suffix]
    height, width = frames[0].shape[:2]
    with whole_file(path) as temporary:
        writer = cv2.VideoWriter(str(temporary), backend, cv2.VideoWriter_fourcc(*codec), fps, (width, height))
        if not writer.isOpened():
            raise OSError(f"OpenCV cannot write {codec} video to {path}")
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, quality)
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR if frame.ndim == 2 else cv2.COLOR_RGB2BGR))
        writer.release()


def masks_path(video_path):
    """Where the ground truth of a video lies: beside it, `walk.avi` -> `walk.masks.npz`."""
    return Path(video_path).with_suffix(".masks.npz")


def read_masks(path):
    """The person masks (N, H, W) bool of a synthetic video or clip, or None where there is no such file."""
    if not Path(path).is_file():
        return None
    with np.load(path, allow_pickle=False) as archive:
        return archive["masks"]


def write_masks(path, masks):
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, masks=np.asarray(masks, dtype=bool))
