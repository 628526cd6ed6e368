"""The fast arithmetic of TSR: how much the relevance map of a clip changes when a box in one frame is replaced.

The encoder E sees one frame at a time, f_s = E(x_s), and the head turns f_1..f_T into the score S. With g_s = dS/df_s
and J_s the Jacobian of E at x_s, the chain rule gives the relevance of frame s, R_s = |J_s' g_s|. Replacing a box in
frame t changes f_t alone. This changes every g_s, but no Jacobian except J_t. So the change of the map,

    delta = sum over frames s and pixels of | |J_s' g_s after| - |J_s' g_s before| |

has three parts for each of P perturbations:

1. The deviations of all g_s, after minus before, (P, T, D). The encoder runs on the perturbed frame, then the head on
   all features, in large batches. On a CPU, the first layers compute only what the box reaches
   (model/fast/windowed.py).
2. The perturbed frame, s = t. It takes one backward pass of this frame through the encoder.
3. The other frames, s != t. Their Jacobians have not changed, so J_s' g_s is all that is needed. The deviations of g_s
   span r <= min(P, D) directions. So r vector-Jacobian products per frame and one matrix product, (P, r) @ (r, pixels),
   give the maps of all P perturbations. saliency/tsr/low_rank.py chooses r from the error allowed.

In an LSTM, most other frames hardly change. A vector-Jacobian product with one random vector per frame bounds the error
of leaving a frame out of part 3. The bound of the whole error is returned with the changes.

For T = 30 frames of 120x120 pixels and 2,016 perturbations, the literal loop takes 2,016 x 30 = 60,480 frame passes
forward and as many backward. This arithmetic takes about 2,100 forward and 2,016 + 30 r backward.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cached_property, partial
from typing import TypeVar

import torch
from torch import nn

from model.fast.folding import disowned, folded
from saliency.gradient import head_gradient, with_gradients
from saliency.tsr.low_rank import LowRankFactors
from saliency.tsr.memory import activation_bytes, is_out_of_memory
from saliency.tsr.patches import box_masks

NORM_PER_MEAN = math.sqrt(math.pi / 2)  # |row| / E |row . w| for w ~ N(0, I)
ROUNDING = 10  # machine epsilons, relative to the largest change: the error that tolerance 0 allows
FLOAT64_BELOW = 1e-4  # smaller tolerances need the head in float64; rounding would look like further directions
LEFT_OUT = 0.2  # share of the error allowed that leaving frames out may cause
CPU_BATCH, GPU_BATCH = 36, 2048  # largest batches, in frames; larger ones are not faster
MANY = 8  # minimum number of perturbations per distinct frame, row or column for windowed convolutions to pay off
CPU_COPIES = 8  # copies of a frame in one backward pass on a CPU; enough to keep a few cores busy
CPU_TILE, GPU_TILE = (1024, 1024), (4096, 65536)  # perturbations x pixels of one matrix product; fits a CPU's cache

Result = TypeVar("Result")
Progress = Callable[[int], None]  # is told how many perturbations were done since the last call


class FactoredRelevance:
    """One normalised clip (T, C, H, W) and one model, prepared to measure what perturbations change.

    tolerance: error allowed in the changes, relative to the largest change; 0 allows rounding errors only. memory:
    bytes for activations. amp: run the encoder in bfloat16, whose error the bound does not count.
    `forward_passes` and `backward_passes` count the frames that have gone through the encoder.
    """

    def __init__(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", tolerance: float = 1e-3,
                 memory: float = 2e9, amp: bool = False):
        self.model, self.target, self.score = folded(model), target, score
        self.clip, self.tolerance, self.memory, self.amp = clip, tolerance, memory, amp
        self.forward_passes = self.backward_passes = 0
        self.batch = 1  # for the first call of _encode
        largest = CPU_BATCH if clip.device.type == "cpu" else GPU_BATCH
        needed = 3 * activation_bytes(self._encode, self.model, clip[:1])  # gradients and temporary tensors included
        self.batch = max(1, min(largest, int(memory / needed)))
        with torch.no_grad():
            self.features = torch.cat([self._encode(part) for part in clip.split(self.batch)])  # (T, D)
        float64 = tolerance < FLOAT64_BELOW
        self.head_model = with_float64_head(self.model) if float64 else self.model
        self.head_type = torch.double if float64 else clip.dtype
        self.feature_gradient = self._head_gradient(self.features[None])[0].to(clip)  # (T, D), the g_s before
        self.frame_gradient, self.stretch = self._unperturbed()  # (T, C, H, W), (T,)

    @cached_property
    def full_precision(self) -> "FactoredRelevance":
        """An engine for the same clip and model that does not use bfloat16."""
        return FactoredRelevance(self.model, self.clip, self.target, self.score, self.tolerance, self.memory)

    def changes(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                progress: Progress | None = None) -> tuple[torch.Tensor, float]:
        """Replace box p of frame frames[p] by the fill, for each perturbation p by itself.

        frames (P,): indices. boxes (P, 4): top, bottom, left, right. fill (C, H, W).
        Returns the changes (P,) and the bound of their error, relative to the largest change.
        """
        deviations, delta = self._perturbed_frames(frames, boxes, fill, progress)
        deviations[torch.arange(len(frames)), frames] = 0  # delta has the changes of these frames already
        bound = self._add_other_frames(deviations, delta)
        return delta, bound

    def _encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the features of frames: (N, C, H, W) -> (N, D)."""
        count = len(frames)
        self.forward_passes += count
        if frames.is_cuda:
            frames = filled_up(frames, self.batch)
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=self.amp):
            return self.model.encode(frames[:, None])[:count, 0].to(frames.dtype)

    def _head_gradient(self, sequences: torch.Tensor) -> torch.Tensor:
        """Return dS/df of feature sequences: (n, T, D) -> (n, T, D)."""
        return head_gradient(self.head_model, sequences.to(self.head_type), self.target, self.score)

    def _unperturbed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return J_s' g_s of each frame (T, C, H, W), and the stretch of J_s', the sum of the norms of its rows (T,).

        The sum over pixels of |J_s' v| is at most the stretch times |v|. One random vector per frame estimates it.
        """
        random = torch.randn(self.features.shape, generator=torch.Generator().manual_seed(0), dtype=self.clip.dtype)
        vectors = torch.stack([self.feature_gradient, random.to(self.clip.device)])  # (2, T, D)
        frame_gradient, probe = self._pull_back_frames(torch.arange(len(self.clip)), vectors)
        return frame_gradient, NORM_PER_MEAN * probe.abs().sum((1, 2, 3))

    def _pull_back_frames(self, frames: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Return J_s' v for k vectors for each of the frames with indices (n,): (k, n, D) -> (k, n, C, H, W)."""
        size = max(1, self.batch // max(1, len(vectors)))
        parts = [self.clip.new_zeros(len(vectors), 0, *self.clip.shape[1:])]
        for first in range(0, len(frames), size):
            parts.append(self._pull_back(self.clip[frames[first:first + size]], vectors[:, first:first + size]))
        return torch.cat(parts, 1)

    def _pull_back(self, frames: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Return J_s' v for frames (b, C, H, W) and k vectors for each: (k, b, D) -> (k, b, C, H, W).

        The frames are copied a few times and encoded once. Each backward pass then handles as many vectors as copies.
        """
        return self._with_less_memory(lambda: self._pull_back_at_once(frames, vectors))

    def _pull_back_at_once(self, frames: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Do the work of `_pull_back` with the current batch size."""
        at_once = min(self.batch, CPU_COPIES) if self.clip.device.type == "cpu" else self.batch
        rounds = math.ceil(len(vectors) / max(1, at_once // len(frames)))
        copies = math.ceil(len(vectors) / rounds)  # the fewest that need no further round
        inputs = frames.repeat(copies, 1, 1, 1).requires_grad_(True)
        with with_gradients(self.model):
            encoded = self._encode(inputs).unflatten(0, (copies, len(frames)))  # (copies, b, D)
        pulled = []
        for part in vectors.split(copies):
            self.backward_passes += len(inputs)
            gradients = torch.autograd.grad(encoded[:len(part)], inputs, part, retain_graph=True)[0]
            pulled.append(gradients.unflatten(0, (copies, len(frames)))[:len(part)])
        return torch.cat(pulled)

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

    def _perturbed_frames(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                          progress: Progress | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute parts 1 and 2: the deviations of all g_s (P, T, D) and the change of each perturbed frame (P,)."""
        deviations = self.features.new_empty(len(frames), *self.features.shape)
        own_changes = self.features.new_empty(len(frames))
        for group, context in self._groups(frames, boxes):
            done = 0
            while done < len(group):
                work = partial(self._perturb_batch, group, done, context, frames, boxes, fill)
                indices, batch_deviations, batch_changes = self._with_less_memory(work)
                deviations[indices], own_changes[indices] = batch_deviations, batch_changes
                done += len(indices)
                if progress:
                    progress(len(indices))
        return deviations, own_changes

    def _groups(self, frames: torch.Tensor, boxes: torch.Tensor) -> Iterator[tuple[torch.Tensor, Callable]]:
        """Yield indices of perturbations that are encoded together, and the context to encode them in.

        If boxes repeat often enough on a CPU, a group has one frame, and its context limits convolutions to windows.
        """
        distinct = [len(part.unique(dim=0)) for part in (frames, boxes[:, :2], boxes[:, 2:])]
        if self.clip.is_cuda or self.amp or len(frames) < MANY * sum(distinct):
            yield torch.arange(len(frames), device=frames.device), nullcontext
            return
        self.model.windowed.find_reach(self._encode, self.clip[0], boxes)
        self.model.windowed.check_reach(self._encode, self.clip[0], boxes)
        for t in frames.unique():
            self.model.windowed.set_reference(self._encode, self.clip[t])
            yield (frames == t).nonzero()[:, 0], self.model.windowed.only_windows

    def _perturb_batch(self, group: torch.Tensor, done: int, context: Callable, frames: torch.Tensor,
                       boxes: torch.Tensor, fill: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Compute the next batch of a group of perturbations, the first `done` of which are computed already.

        Returns the indices (n,), the deviations of all g_s (n, T, D) and the changes of the perturbed frames (n,).
        """
        indices = group[done:done + self.batch]
        t, rows = frames[indices], torch.arange(len(indices), device=indices.device)
        replaced = torch.where(box_masks(boxes[indices], self.clip.shape[-2:]), fill, self.clip[t])
        differs = (replaced != self.clip[t]).flatten(1).any(1)  # False if the box equals the fill already
        replaced.requires_grad_(True)
        with with_gradients(self.model), context(indices):
            encoded = self._encode(replaced)  # (n, D)
        sequences = self.features.repeat(len(t) + 1, 1, 1)  # (n + 1, T, D), the last one unperturbed
        sequences[rows, t] = encoded.detach()
        gradients = self._head_gradient(sequences)
        deviations = without_rounding(gradients[:-1] - gradients[-1], gradients[-1]) * differs[:, None, None]
        maps = torch.autograd.grad(encoded, replaced, gradients[rows, t].to(encoded))[0]  # (n, C, H, W)
        self.backward_passes += len(t)
        change = torch.linalg.vector_norm(maps.abs_().sub_(self.frame_gradient[t].abs()), 1, dim=(1, 2, 3))
        return indices, deviations.to(encoded), change * differs

    def _add_other_frames(self, deviations: torch.Tensor, delta: torch.Tensor) -> float:
        """Compute part 3 and add it to delta (P,) in place. Return the bound of the error, relative to the largest.

        deviations (P, T, D): of all g_s, 0 for the perturbed frame itself.
        """
        largest, tiny = float(delta.max()), torch.finfo(delta.dtype).tiny
        budget = max(self.tolerance, ROUNDING * torch.finfo(delta.dtype).eps) * largest
        if_left_out = (self.stretch * deviations.norm(dim=2).amax(0)).double().cpu()  # (T,) errors
        ordered, order = if_left_out.sort()
        needed = order[ordered.cumsum(0) > LEFT_OUT * budget].sort().values  # (n,) the frames that are not left out
        error = float(if_left_out.sum() - if_left_out[needed].sum())
        if len(needed):
            factors = LowRankFactors(deviations[:, needed])
            pulled = self._pull_back_frames(needed, factors.probe_vectors()).flatten(2)  # (2 * PROBES, n, pixels)
            ranks, errors = factors.choose_ranks(pulled, budget - error)
            error += float(errors.sum())
            self._add_low_rank(needed, ranks, factors, delta)
        return error / max(float(delta.max()), tiny)

    def _add_low_rank(self, frames: torch.Tensor, ranks: torch.Tensor, factors: LowRankFactors,
                      delta: torch.Tensor) -> None:
        """Pull the first ranks[i] directions of frame frames[i] back and add the changes of its map to delta (P,)."""
        for rank in sorted(set(ranks.tolist()) - {0}):
            for block in (ranks == rank).nonzero()[:, 0].split(max(1, self.batch // rank)):
                vectors = factors.directions[block, :, :rank].permute(2, 0, 1)  # (r, b, D)
                pulled = self._pull_back(self.clip[frames[block]], vectors).flatten(2)  # (r, b, pixels)
                for place, i in enumerate(block.tolist()):
                    before = self.frame_gradient[frames[i]].flatten()
                    add_changes(delta, before, pulled[:, place], factors.coefficients[:, i, :rank])


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


def without_rounding(difference: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Set differences (n, T, D) of gradients to 0 if they are no larger than the rounding of the gradient (T, D)."""
    noise = 4 * torch.finfo(gradient.dtype).eps * gradient.abs().amax(-1, keepdim=True)  # (T, 1)
    return torch.where(difference.abs() > noise, difference, 0)


def add_changes(delta: torch.Tensor, before: torch.Tensor, basis: torch.Tensor, coefficients: torch.Tensor) -> None:
    """Add the sum over pixels of | |before + coefficients[p] @ basis| - |before| | to each delta[p], tile by tile.

    delta (P,) is changed in place. before (pixels,), basis (r, pixels), coefficients (P, r).
    """
    rows, columns = CPU_TILE if delta.device.type == "cpu" else GPU_TILE
    for low in range(0, len(before), columns):
        here = before[low:low + columns]
        magnitude, directions = here.abs(), basis[:, low:low + columns].contiguous()
        for part in range(0, len(delta), rows):
            maps = torch.addmm(here, coefficients[part:part + rows], directions)
            delta[part:part + rows] += torch.linalg.vector_norm(maps.abs_().sub_(magnitude), 1, dim=1)
