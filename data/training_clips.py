"""Clips for training: the passages and empty clips of an annotation, and clips as a data set with their true lengths.

    dataset = ClipDataset(clips, classes, size=150, duration=30, prepare=normalise)
    frames, label = dataset[0]                    # (L, ...), L = dataset.true_lengths[0] <= 30
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.annotation import read_annotation
from data.clips import Clip, find_clips, frame_count, load_frames, on_disk
from data.datasets.extra import EMPTY, passage_folder
from runtime.errors import UserError


def find_training_extra(annotation_path: str | Path, video_path: str | Path) -> list[Clip]:
    """Return the passages and the empty clips for training that are on disk; an empty clip has no label.

    Returns an empty list if the annotation lists none.
    """
    annotation, folder = read_annotation(annotation_path), Path(video_path)
    passages = [Clip(name, label, subset, folder / passage_folder(label) / name, visible=visible)
                for name, (subset, label, visible) in annotation.passages.items() if subset == "training"]
    return on_disk(passages) + (find_empty(annotation_path, video_path, "training") if annotation.passages else [])


def find_empty(annotation_path: str | Path, video_path: str | Path, subset: str) -> list[Clip]:
    """Return the clips of a subset without anybody that are on disk; they have no label."""
    return on_disk([Clip(name, None, part, Path(video_path) / EMPTY / name)
                    for name, part in read_annotation(annotation_path).empty.items() if part == subset])


def training_frames(annotation_path: str | Path, video_path: str | Path, number: int, duration: int,
                    size: int) -> Iterator[np.ndarray]:
    """Yield the frames of about `number` clips, spread evenly over the training subset; form as in `load_frames`.

    Yields nothing if there is no training subset. Warns of a clip that cannot be read.
    """
    try:
        _, clips, _ = find_clips(annotation_path, video_path, "training")
    except UserError:
        return
    for clip in clips[::max(1, len(clips) // number)]:
        try:
            yield load_frames(clip, duration, size)
        except (UserError, OSError) as error:
            warnings.warn(f"training clip {clip.name} is left out of the centre map: {error}", stacklevel=2)


class ClipDataset(torch.utils.data.Dataset):
    """A data set of pairs (prepare(frames), index of the class, -1 for a clip without a label).

    frames: (L, size, size, 3) uint8 RGB with L <= duration; with a duration of None, all frames of the clip.
    """

    def __init__(self, clips: Sequence[Clip], classes: Sequence[str], size: int, duration: int | None,
                 prepare: Callable[[np.ndarray], Any]) -> None:
        self.clips = clips
        self.labels = [-1 if clip.label is None else classes.index(clip.label) for clip in clips]
        self.size, self.duration, self.prepare = size, duration, prepare

    def __len__(self) -> int:
        return len(self.clips)

    @cached_property
    def true_lengths(self) -> list[int]:
        """The number of frames L of each clip."""
        counts = [frame_count(clip) for clip in self.clips]
        return [min(count, self.duration or count) for count in counts]

    def key(self, index: int) -> str:
        """Return a text that changes with the clip, the size or time of any of its images, and how they are read."""
        path = self.clips[index].path
        files = [(image.name, image.stat().st_size, image.stat().st_mtime_ns)
                 for image in sorted(path.glob("image_*.jpg"))]
        return f"{path.absolute()} {files} {self.size} {self.duration}"

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.prepare(load_frames(self.clips[index], self.duration, self.size)), self.labels[index]
