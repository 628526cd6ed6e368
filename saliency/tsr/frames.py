"""Changed frames of a clip and the encoder that reads them, the first half of TSR's fast arithmetic."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from model.fast.folding import disowned, folded
from saliency.gradient import with_gradients
from saliency.mean_gradient import PLAIN, Variant
from saliency.patches import box_masks

FLOAT64_BELOW = 1e-4  # smaller tolerances need the head in float64; rounding would look like further directions
CPU_BATCH, GPU_BATCH = 36, 2048  # largest batches, in frames; larger ones are not faster
MANY = 8  # minimum number of perturbations per distinct frame, row or column for windowed convolutions to pay off
BATCHES_PER_GROUP = 4  # limits the memory for the maps of the perturbed frames

Group = tuple[torch.Tensor, int | None]  # perturbations that are encoded together, and their frame if windows serve it


class PerturbedFrames:
    """One normalised clip (T, C, H, W) and one model, prepared to encode frames in which a box was replaced.

    variants: those of the map that is rescaled (saliency/mean_gradient.py); the encoder reads all n of each frame.
    tolerance: error allowed in the changes, relative to the largest change; 0 allows rounding errors only. memory:
    bytes for activations. `features` (T, n, D) are those of the unperturbed variants. `forward_passes` and
    `backward_passes` count the frames that have gone through the encoder.
    """

    def __init__(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", tolerance: float = 1e-3,
                 memory: float = 2e9, variants: Sequence[Variant] = PLAIN):
        self.model, self.target, self.score, self.variants = folded(model), target, score, variants
        self.clip, self.tolerance, self.memory = clip, tolerance, memory
        self.windows = not clip.is_cuda  # whether convolutions may compute what the boxes reach alone
        self.forward_passes = self.backward_passes = 0
        self.batch = 1  # for the first call of _encode
        largest = GPU_BATCH if clip.is_cuda else CPU_BATCH
        needed = 3 * activation_bytes(self._encode, self.model, clip[:1])  # gradients and temporary tensors included
        self.batch = max(1, min(largest, int(memory / needed)))
        with torch.no_grad():
            self.features = torch.stack([self._features(variant.point(clip)) for variant in variants], 1)
        float64 = tolerance < FLOAT64_BELOW
        self.head_model = with_float64_head(self.model) if float64 else self.model
        self.head_type = torch.double if float64 else clip.dtype

    def _encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the features of frames: (N, C, H, W) -> (N, D)."""
        count = len(frames)
        self.forward_passes += count
        if frames.is_cuda:
            frames = filled_up(frames, self.batch)
        return self.model.encode(frames[:, None])[:count, 0]

    def _features(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the features of frames, a batch at a time: (N, C, H, W) -> (N, D)."""
        return torch.cat([self._encode(part) for part in frames.split(self.batch)])

    def _groups(self, frames: torch.Tensor, boxes: torch.Tensor) -> Iterator[Group]:
        """Yield the indices (n,) of perturbations that are encoded together, and the one frame that they perturb.

        The frame is None if windowed convolutions do not serve the group. They do on a CPU if boxes repeat often.
        """
        if not self.windows or len(frames) < MANY * sum(len(part.unique(dim=0)) for part in
                                                        (frames, boxes[:, :2], boxes[:, 2:])):
            for group in torch.arange(len(frames), device=frames.device).split(self.batch):
                yield group, None
            return
        self.model.windowed.find_reach(self._encode, self.clip[0], boxes)
        self.model.windowed.check_reach(self._encode, self.clip[0], boxes)
        for t in frames.unique().tolist():
            for group in (frames == t).nonzero()[:, 0].split(BATCHES_PER_GROUP * self.batch):
                yield group, t

    def _context(self, t: int | None, variant: Variant) -> Callable[[torch.Tensor], AbstractContextManager]:
        """Return the context in which a variant of perturbations (their indices) of a group is encoded.

        t: the frame that `_groups` gave. The convolutions copy what the boxes do not reach from its variant.
        """
        if t is None:
            return nullcontext
        self.model.windowed.set_reference(self._encode, variant.point(self.clip[t:t + 1], slice(t, t + 1))[0])
        return self.model.windowed.only_windows

    def _masked(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
        """Return the frames with indices (n,), with the fill (C, H, W) in their boxes (n, 4): (n, C, H, W)."""
        return torch.where(box_masks(boxes, self.clip.shape[-2:]), fill, self.clip[frames])


def activation_bytes(encode: Callable[[torch.Tensor], torch.Tensor], model: nn.Module, frame: torch.Tensor) -> int:
    """Return the bytes that autograd keeps when `encode` encodes a frame (1, C, H, W), the model's weights left out."""
    weights = {weight.data_ptr() for weight in model.parameters()}
    kept = frame[0].numel() * frame.element_size()

    def count(tensor):
        nonlocal kept
        if tensor.data_ptr() not in weights:
            kept += tensor.numel() * tensor.element_size()
        # Returning None keeps nothing. A hook that returned an output would let the graph hold itself for ever.

    with with_gradients(model), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        encode(frame.detach().clone().requires_grad_(True))
    return kept


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
