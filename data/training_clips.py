"""Clips for training: the passages and empty clips of an annotation, and clips as a data set with their true lengths.

    dataset = ClipDataset(clips, classes, size=150, duration=30, prepare=normalise)
    frames, label = dataset[0]                    # (L, ...), L = dataset.true_lengths[0] <= 30
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.annotation import read_annotation
from data.clips import Clip, find_clips, frame_count, load_frames
from data.datasets.extra import EMPTY, passage_folder
from runtime.errors import UserError


def find_training_extra(annotation_path: str | Path, video_path: str | Path) -> list[Clip]:
    """Return the passages and the empty clips for training that are on disk; an empty clip has no label.

    Returns an empty list if the annotation lists none.
    """
    annotation, folder = read_annotation(annotation_path), Path(video_path)
    passages = [Clip(name, label, subset, folder / passage_folder(label) / name, visible=visible)
                for name, (subset, label, visible) in annotation.passages.items()]
    return _on_disk(clip for clip in passages if clip.subset == "training") + (
        find_empty(annotation_path, video_path, "training") if passages else [])


def find_empty(annotation_path: str | Path, video_path: str | Path, subset: str) -> list[Clip]:
    """Return the clips of a subset without anybody that are on disk; they have no label."""
    empty = read_annotation(annotation_path).empty
    return _on_disk(Clip(name, None, part, Path(video_path) / EMPTY / name) for name, part in empty.items()
                    if part == subset)


def _on_disk(clips: Iterable[Clip]) -> list[Clip]:
    return [clip for clip in clips if any(clip.path.glob("image_*.jpg"))]


def training_frames(annotation_path: str | Path, video_path: str | Path, number: int, duration: int,
                    size: int) -> Iterator[np.ndarray]:
    """Yield the frames of about `number` clips, spread evenly over the training subset; form as in `load_frames`.

    Yields nothing if there is no training subset. Warns of a clip that cannot be read.
    """
    try:
        _, clips, _ = find_clips(annotation_path, video_path, "training")
    except UserError:
        return
    step = max(1, len(clips) // number)
    for clip in clips[::step]:
        try:
            yield load_frames(clip, duration, size)
        except (UserError, OSError) as error:
            warnings.warn(f"training clip {clip.name} is left out of the centre map: {error}", stacklevel=2)


class ClipDataset(torch.utils.data.Dataset):
    """A data set of pairs (prepare(frames), index of the class, -1 for a clip without a label).

    frames: (L, size, size, 3) uint8 RGB with L <= duration; with a duration of None, all frames of the clip. pad_to: a
    clip with fewer frames repeats its last one, as runs of earlier versions did; 0 for the true frames only.
    """

    def __init__(self, clips: Sequence[Clip], classes: Sequence[str], size: int, duration: int | None,
                 prepare: Callable[[np.ndarray], Any], pad_to: int = 0) -> None:
        self.clips = clips
        self.labels = [-1 if clip.label is None else classes.index(clip.label) for clip in clips]
        self.size, self.duration, self.prepare, self.pad_to = size, duration, prepare, pad_to

    def __len__(self) -> int:
        return len(self.clips)

    @cached_property
    def true_lengths(self) -> list[int]:
        """The number of frames L of each clip."""
        counts = [frame_count(clip) for clip in self.clips]
        return [max(min(count, self.duration or count), self.pad_to) for count in counts]

    def key(self, index: int) -> str:
        """Return a text that changes with the clip, the size or time of any of its images, and how they are read.

        Earlier versions repeated the last frame of a short clip; the word "unpadded" tells such clips apart.
        """
        path = self.clips[index].path
        files = [(image.name, image.stat().st_size, image.stat().st_mtime_ns)
                 for image in sorted(path.glob("image_*.jpg"))]
        text = f"{path.absolute()} {files} {self.size} {self.duration}"
        return text if self.true_lengths[index] >= (self.duration or 0) else f"{text} unpadded"

    def __getitem__(self, index: int) -> tuple[Any, int]:
        frames = load_frames(self.clips[index], self.duration, self.size, self.pad_to)
        return self.prepare(frames), self.labels[index]
