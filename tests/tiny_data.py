"""A tiny data set in the layout of KTH: a bright block walks or runs through frames of 32 x 32 pixels."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np

from data.annotation import write_annotation
from data.video import write_masks, write_video

SIZE, DURATION = 32, 6
PERSONS = {11: "training", 12: "training", 19: "validation", 22: "testing"}
CLIP = "person22_walking_d1_1"  # the first clip of the testing subset


def moving_block(speed, seed, length=DURATION, size=SIZE):
    """Return frames (T, size, size, 3) uint8 of a bright block that moves, and its masks (T, size, size) bool."""
    noise = np.random.default_rng(seed)
    ground = noise.integers(60, 100, (size, size, 1)).repeat(3, 2).astype(np.uint8)
    masks = np.zeros((length, size, size), dtype=bool)
    for t in range(length):
        left = 2 + seed % 3 + speed * t
        masks[t, 8:24, left % size:left % size + 5] = True
    return np.where(masks[..., None], np.uint8(230), ground), masks


def numbered(length, side=8):
    """Return frames (length, side, side, 3), of which the t-th is t everywhere."""
    return np.arange(length, dtype=np.uint8)[:, None, None, None].repeat(side, 1).repeat(side, 2).repeat(3, 3)


def write_clip(folder, frames, masks=None, n_frames=True):
    """Write the folder of one clip."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        cv2.imwrite(str(folder / f"image_{number:05d}.jpg"), frame[..., ::-1])
    if n_frames:
        (folder / "n_frames").write_text(str(len(frames)))
    if masks is not None:
        write_masks(folder / "masks.npz", masks)


def subsets_of(read):
    """Return {subset: its clips} of an Annotation."""
    parts = {part for part, _ in read.clips.values()}
    return {part: {clip for clip, (own, _) in read.clips.items() if own == part} for part in parts}


def places_in(root):
    """Return the paths of a data set below `root`: of its annotation, its images, and a video of two windows."""
    root = Path(root)
    return SimpleNamespace(root=root, annotation=root / "annotation" / "kth1.json", images=root / "image_data",
                           video=root / "walk.avi")


def make_data_set(root):
    """Write two clips per person and class, and a video of two windows. Return their paths."""
    clips, seed, places = {}, 0, places_in(root)
    for person, subset in PERSONS.items():
        for label, speed in (("walking", 1), ("running", 4)):
            for take in (1, 2):
                name, seed = f"person{person}_{label}_d1_{take}", seed + 1
                write_clip(places.images / label / name, *moving_block(speed, seed))
                clips[name] = (subset, label)
    write_annotation(places.annotation, ["running", "walking"], clips)
    write_video(places.video, moving_block(1, 99, 2 * DURATION)[0])
    return places
