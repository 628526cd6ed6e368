"""Clips for training: those from which windows are cut, and clips as a data set with their true lengths.

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

from data.annotation import Annotation
from data.clips import Clip, find_clips, frame_count, listed_clips, load_frames, on_disk
from data.images import digest
from runtime.errors import UserError


def find_training_extra(annotation: Annotation, video_path: str | Path) -> list[Clip]:
    """Return the clips on disk from which training cuts windows: passages, other clips, and empty clips without label.

    The other clips are those of videos that have no passage. Returns an empty list if there is no passage.
    """
    clips = on_disk([clip for clip in listed_clips(annotation, video_path) if clip.subset == "training"])
    with_passage = {annotation.source_of(clip.name) for clip in clips if clip.visible}
    return [clip for clip in clips if clip.visible or clip.label is None
            or annotation.source_of(clip.name) not in with_passage] if with_passage else []


def find_empty(annotation: Annotation, video_path: str | Path, subset: str) -> list[Clip]:
    """Return the clips of a subset without anybody that are on disk; they have no label."""
    return on_disk([clip for clip in listed_clips(annotation, video_path)
                    if clip.label is None and clip.subset == subset])


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
        """Return a text that changes with the content of any image of a clip, and with how they are read."""
        return f"{digest(self.clips[index].path)} {self.size} {self.duration}"

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.prepare(load_frames(self.clips[index], self.duration, self.size)), self.labels[index]
