"""Clips as the scripts use them: found in the annotation or cut from a video, read from disk, turned into tensors.

    labels, clips, problems = find_clips("data/kth/annotation/kth1.json", "data/kth/image_data", "testing")
    frames = read_frames(clips[0])                                   # (T, H, W, 3) uint8 RGB
    tensor = normalise(resize(fit(frames, 30), 150), mean, std)      # (30, 3, 150, 150)
"""

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from data.annotation import SUBSETS, read_annotation
from data.video import MAX_BYTES, cv2, iterate_video, read_image, read_masks

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]


@dataclass(frozen=True)
class Clip:
    """One clip: a folder of numbered JPEG frames, or a range of frames of a video file (then label is None)."""

    name: str
    label: str | None
    subset: str | None
    path: Path
    first: int = 0  # of a video: index of the clip's first frame
    length: int | None = None  # of a video: frames in the clip


def find_clips(annotation_path, video_path, subset="all", names=None, limit=None):
    """The clips of a subset that are on disk, in the order of the annotation.

    Returns (labels, clips, problems): problems are sentences about clips that the annotation lists and that cannot be
    used. ValueError where nothing is left.
    """
    annotation = read_annotation(annotation_path)
    if not Path(video_path).is_dir():
        raise FileNotFoundError(f"no folder of extracted frames at {video_path}; make it with utils/generate_data.sh")
    listed = [
        Clip(name, label, part, Path(video_path) / label / name)
        for name, (part, label) in annotation.clips.items()
        if subset in ("all", part)
    ]
    if names:
        unknown = sorted(set(names) - {clip.name for clip in listed})
        if unknown:
            raise ValueError(
                f"--clips {' '.join(unknown)}: not among the {len(listed)} clips of subset {subset} in "
                f"{annotation_path}"
            )
        listed = [clip for clip in listed if clip.name in names]
    if not listed:
        held = ", ".join(f"{part} {sum(s == part for s, _ in annotation.clips.values())}" for part in SUBSETS)
        raise ValueError(
            f"{annotation_path} lists no clip in subset {subset!r} (it holds: {held}); choose another --subset"
        )
    clips = [clip for clip in listed if any(clip.path.glob("image_*.jpg"))]
    problems = []
    if len(clips) < len(listed):
        absent = [clip.name for clip in listed if clip not in clips]
        problems.append(
            f"{len(absent)} of {len(listed)} listed clips have no frames on disk and are left out: {_some(absent)}"
        )
    uncounted = [clip.name for clip in clips if not (clip.path / "n_frames").is_file()]
    if uncounted:
        problems.append(f"{len(uncounted)} clips have no n_frames file, their images were counted: {_some(uncounted)}")
    if not clips:
        raise ValueError(
            f"none of the {len(listed)} clips of subset {subset!r} in {annotation_path} has frames under {video_path}; "
            "extract them with utils/generate_data.sh, or give the right --video_path"
        )
    return annotation.labels, clips[:limit], problems


def has_subset(annotation_path, subset):
    return any(part == subset for part, _ in read_annotation(annotation_path).clips.values())


def clips_of_videos(paths, duration, limit=None):
    """Cut video files into consecutive windows of `duration` frames; a video shorter than that is one clip."""
    clips, seen = [], {}
    for path in map(Path, paths):
        if path.stem in seen:
            raise ValueError(f"{seen[path.stem]} and {path} have one name, as their results would; give one at a time")
        seen[path.stem] = path
        count = sum(1 for _ in iterate_video(path))
        for first in range(0, max(count - duration, 0) + 1, duration):
            clips.append(Clip(f"{path.stem}_{first + 1:05d}", None, None, path, first, min(duration, count)))
    return clips[:limit]


def check_size(duration, size):
    """ValueError where a clip of that many square frames of that side would not fit into memory."""
    n_bytes = duration * size * size * 3 * 4
    if n_bytes > MAX_BYTES:
        raise ValueError(
            f"a clip of {duration} frames of {size} x {size} pixels fills {n_bytes >> 20} MiB, more than "
            f"{MAX_BYTES >> 20}; give fewer or smaller frames"
        )


def read_frames(clip):
    """The frames of a clip, (T, H, W, 3) uint8 RGB. ValueError or FileNotFoundError where one cannot be read."""
    if clip.length is not None:
        return np.stack(list(islice(iterate_video(clip.path), clip.first, clip.first + clip.length)))
    images = sorted(clip.path.glob("image_*.jpg"))
    count = clip.path / "n_frames"
    if count.is_file():
        text = count.read_text(errors="replace").strip()
        if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
            raise ValueError(f"{count} holds {text[:20]!r}, not a number of frames; extract the clip again")
        if len(images) < int(text):
            raise ValueError(f"{clip.path} holds {len(images)} images, n_frames says {text}; extract the clip again")
        images = images[:int(text)]
    frames = [read_image(path) for path in images]
    if len({frame.shape for frame in frames}) > 1:
        raise ValueError(f"{clip.path} holds images of different sizes; extract the clip again")
    return np.stack(frames)


def read_clip_masks(clip):
    """The person masks (T, H, W) bool of a synthetic clip, None where there are none."""
    return None if clip.length is not None else read_masks(clip.path / "masks.npz")


def fit(frames, duration):
    """Exactly `duration` frames: the middle ones of a longer clip, the last one repeated in a shorter one."""
    first = max(len(frames) - duration, 0) // 2
    frames = frames[first:first + duration]
    return np.concatenate([frames, np.repeat(frames[-1:], duration - len(frames), axis=0)])


def resize(frames, size, interpolation=cv2.INTER_AREA):
    """(T, H, W, ...) uint8 or bool -> (T, size, size, ...)."""
    if frames.shape[1:3] == (size, size):
        return frames
    if frames.shape[1] < size or frames.shape[2] < size:
        interpolation = cv2.INTER_LINEAR if interpolation == cv2.INTER_AREA else interpolation
    return np.stack([cv2.resize(frame, (size, size), interpolation=interpolation) for frame in frames])


def resize_masks(masks, size):
    return resize(masks.astype(np.uint8), size, cv2.INTER_NEAREST).astype(bool)


def normalise(frames, mean, std):
    """(T, H, W, 3) uint8 RGB -> (T, 3, H, W) float32, (pixel / 255 - mean) / std per channel."""
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255  # (T, 3, H, W)
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


class ClipDataset(torch.utils.data.Dataset):
    """Items are (clip (T, 3, size, size) float32, class index)."""

    def __init__(self, clips, classes, size, duration, mean, std):
        self.clips = clips
        self.labels = [classes.index(clip.label) for clip in clips]
        self.size, self.duration, self.mean, self.std = size, duration, mean, std

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        frames = resize(fit(read_frames(self.clips[index]), self.duration), self.size)
        return normalise(frames, self.mean, self.std), self.labels[index]


def _some(names, shown=3):
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
