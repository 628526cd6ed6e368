"""Changed frames of a clip and the encoder that reads them: the part that all fast arithmetic of TSR has in common."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TypeVar

import torch
from torch import nn

from model.fast.folding import disowned, folded
from saliency.gradient import score_of
from saliency.patches import box_masks
from saliency.tsr.bases import Base, GradientBase
from saliency.tsr.memory import activation_bytes, is_out_of_memory

FLOAT64_BELOW = 1e-4  # smaller tolerances need the head in float64; rounding would look like further directions
CPU_BATCH, GPU_BATCH = 36, 2048  # largest batches, in frames; larger ones are not faster
MANY = 8  # minimum number of perturbations per distinct frame, row or column for windowed convolutions to pay off
BATCHES_PER_GROUP = 4  # limits the memory for the maps of the perturbed frames

Result = TypeVar("Result")
Group = tuple[torch.Tensor, int | None]  # perturbations that are encoded together, and their frame if windows serve it


class PerturbedFrames:
    """One normalised clip (T, C, H, W), one model and one base, prepared to encode frames in which a box was replaced.

    base: the map that is rescaled (saliency/tsr/bases.py); it says which n variants of each frame the encoder reads.
    tolerance: error allowed in the changes, relative to the largest change; 0 allows rounding errors only. memory:
    bytes for activations. amp: run the encoder in bfloat16, whose error the bound does not count.
    `features` (T, n, D) are those of the unperturbed variants. `forward_passes` and `backward_passes` count the frames
    that have gone through the encoder.
    """

    def __init__(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", tolerance: float = 1e-3,
                 memory: float = 2e9, amp: bool = False, base: Base | None = None):
        self.model, self.target, self.score, self.base = folded(model), target, score, base or GradientBase()
        self.clip, self.tolerance, self.memory, self.amp = clip, tolerance, memory, amp
        self.forward_passes = self.backward_passes = 0
        self.batch = 1  # for the first call of _encode
        largest = CPU_BATCH if clip.device.type == "cpu" else GPU_BATCH
        needed = 3 * activation_bytes(self._encode, self.model, clip[:1])  # gradients and temporary tensors included
        self.batch = max(1, min(largest, int(memory / needed)))
        with torch.no_grad():
            self.features = torch.stack([self._features(self._variants(place)) for place in range(self.base.count)], 1)
        float64 = tolerance < FLOAT64_BELOW
        self.head_model = with_float64_head(self.model) if float64 else self.model
        self.head_type = torch.double if float64 else clip.dtype

    @cached_property
    def full_precision(self) -> "PerturbedFrames":
        """An engine for the same clip, model and base that does not use bfloat16."""
        return type(self)(self.model, self.clip, self.target, self.score, self.tolerance, self.memory, base=self.base)

    def _variants(self, place: int) -> torch.Tensor:
        """Return one variant of each frame of the unperturbed clip, (T, C, H, W)."""
        return self.base.variant(self.clip, torch.arange(len(self.clip), device=self.clip.device), place)

    def _encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the features of frames: (N, C, H, W) -> (N, D)."""
        count = len(frames)
        self.forward_passes += count
        if frames.is_cuda:
            frames = filled_up(frames, self.batch)
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=self.amp):
            return self.model.encode(frames[:, None])[:count, 0].to(frames.dtype)

    def _features(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the features of frames, a batch at a time: (N, C, H, W) -> (N, D)."""
        return torch.cat([self._encode(part) for part in frames.split(self.batch)])

    def _scores(self, sequences: torch.Tensor) -> torch.Tensor:
        """Return the score of each feature sequence: (N, T, D) -> (N,)."""
        return score_of(self.head_model, sequences.to(self.head_type), self.target, self.score)

    def _with_less_memory(self, work: Callable[[], Result]) -> Result:
        """Return work(). If memory runs out, halve the batch and try again."""
        while True:
            try:
                return work()
            except RuntimeError as error:
                if self.batch == 1 or not is_out_of_memory(error):
                    raise
                self.batch //= 2
                torch.cuda.empty_cache()

    def _groups(self, frames: torch.Tensor, boxes: torch.Tensor) -> Iterator[Group]:
        """Yield the indices (n,) of perturbations that are encoded together, and the one frame that they perturb.

        The frame is None if windowed convolutions do not serve the group. They do on a CPU if boxes repeat often.
        """
        distinct = [len(part.unique(dim=0)) for part in (frames, boxes[:, :2], boxes[:, 2:])]
        if self.clip.is_cuda or self.amp or len(frames) < MANY * sum(distinct):
            for group in torch.arange(len(frames), device=frames.device).split(self.batch):
                yield group, None
            return
        self.model.windowed.find_reach(self._encode, self.clip[0], boxes)
        self.model.windowed.check_reach(self._encode, self.clip[0], boxes)
        for t in frames.unique().tolist():
            for group in (frames == t).nonzero()[:, 0].split(BATCHES_PER_GROUP * self.batch):
                yield group, t

    def _context(self, t: int | None, place: int) -> Callable[[torch.Tensor], AbstractContextManager]:
        """Return the context in which variant `place` of perturbations (their indices) of a group is encoded.

        t: the frame that `_groups` gave. The convolutions copy what the boxes do not reach from its variant.
        """
        if t is None:
            return nullcontext
        self.model.windowed.set_reference(self._encode, self.base.variant(self.clip[t:t + 1], [t], place)[0])
        return self.model.windowed.only_windows

    def _masked(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
        """Return the frames with indices (n,), with the fill (C, H, W) in their boxes (n, 4): (n, C, H, W)."""
        return torch.where(box_masks(boxes, self.clip.shape[-2:]), fill, self.clip[frames])


def filled_up(frames: torch.Tensor, most: int) -> torch.Tensor:
    """Append zeros to frames (N, C, H, W) up to a power of two, but to no more than `most` frames unless N is more.

    cuDNN plans every layer anew for each number of frames, which takes seconds, so there must be few numbers.
    """
    count = max(len(frames), min(most, 1 << (len(frames) - 1).bit_length()))
    return torch.cat([frames, frames.new_zeros(count - len(frames), *frames.shape[1:])])


def with_float64_head(model: nn.Module) -> nn.Module:
    """Return a copy of the model with its head in float64, because deviations are small differences of gradients.

    If the model does not list the modules of its head, all of the copy is in float64. Only its head is used.
    """
    twin = disowned(copy.deepcopy(model))
    for part in [module for _, module in twin.head_modules()] if hasattr(twin, "head_modules") else [twin]:
        part.double()
    return twin
