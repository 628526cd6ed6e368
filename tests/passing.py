"""Videos in which somebody passes through the picture, and the scripts that prepare them."""

import numpy as np

from data.video import masks_path, write_masks, write_video
from utils import extract_frames, trim_videos

PASSES = ((15, 35), (55, 75))  # frames in which somebody passes through the picture, [start, stop)


def passing(n_frames=90, passes=PASSES, seed=0):
    """Return frames (N, 30, 40) uint8 and masks (N, 30, 40) bool of a bright block that passes."""
    ground = np.random.default_rng(seed).integers(60, 90, (30, 40))
    masks = np.zeros((n_frames, 30, 40), dtype=bool)
    for start, stop in passes:
        for t in range(start, stop):
            left = round((t - start + 0.5) / (stop - start) * 40) - 3
            masks[t, 8:24, max(0, left) : left + 6] = True
    return np.where(masks, 230, ground).astype(np.uint8), masks


def make_videos(raw, persons=(11, 1, 2), classes=("walking", "running"), ranges=True):
    """Write one video per person and class, with masks and perhaps a file of ranges. Return the folder."""
    frames, masks = passing()
    lines = []
    for label in classes:
        (raw / label).mkdir(parents=True)
        for person in persons:
            name = f"person{person:02d}_{label}_d1"
            write_video(raw / label / f"{name}_uncomp.avi", frames)
            write_masks(masks_path(raw / label / f"{name}_uncomp.avi"), masks)
            lines.append(f"{name}\t\tframes\t11-40, 51-80")
    if ranges:
        (raw / "00sequences.txt").write_text("\r\n".join(lines))
    return raw


def trim(raw, trimmed, *more):
    """Call utils/trim_videos.py for clips of classes alone, unless `more` gives a --context."""
    trim_videos.main([f"--raw_path={raw}", f"--trimmed_path={trimmed}", "--n_frames=10", "--size", "40", "30",
                      "--context=0", *more])


def extract(trimmed, images, *more):
    """Call utils/extract_frames.py."""
    extract_frames.main([f"--trimmed_path={trimmed}", f"--image_path={images}", *more])


def times_of(folder):
    """Return when the clips or images in a folder were written: {path: nanoseconds}."""
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*.*") if p.is_file() and p.suffix in (".avi", ".jpg")}
