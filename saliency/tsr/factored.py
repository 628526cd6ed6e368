"""The fast arithmetic of TSR: how much the relevance map of a clip changes when a box in one frame is replaced.

The encoder E sees one frame at a time, f_s = E(x_s), and the head turns f_1..f_T into the score S. With g_s = dS/df_s
and J_s the Jacobian of E at x_s, the chain rule gives the relevance of frame s, R_s = |J_s' g_s|. Other bases
(saliency/tsr/bases.py) use n variants a of each frame and a factor w_s,

    R_s = | w_s * mean over a of J_s(a)' g_s(a) |

Replacing a box in frame t changes its features alone. This changes every g_s(a), but no Jacobian except those of frame
t, and no w_s except w_t. So the change of the map, the sum over frames and pixels of |R_s after - R_s before|, has
three parts for each of P perturbations:

1. The deviations of all g_s(a), after minus before, (P, T, n * D). The encoder runs on the variants of the perturbed
   frame, then the head on all features, in large batches. On a CPU, the first layers compute only what the box reaches
   (model/fast/windowed.py). If the deviations would need too much memory, the perturbations are treated in parts.
2. The perturbed frame, s = t. It takes one backward pass of each of its variants through the encoder.
3. The other frames, s != t. Their Jacobians have not changed, so J_s(a)' g_s(a) is all that is needed. The deviations
   of each variant span at most min(P, D) directions, and those of frame s r <= n * min(P, D). So r vector-Jacobian
   products per frame and one matrix product, (P, r) @ (r, pixels), give the maps of all P perturbations.
   saliency/tsr/low_rank.py chooses r from the error allowed. The frames with the largest effect come first. They make
   the largest change larger, and so the error that is allowed in the other frames.

In an LSTM, most other frames hardly change. A vector-Jacobian product with one random vector per frame bounds the error
of leaving a frame out of part 3. The bound of the whole error is returned with the changes.

For the gradient (n = 1), T = 30 frames of 120x120 pixels and 2,016 perturbations, the literal loop takes 2,016 x 30 =
60,480 frame passes forward and as many backward. This arithmetic takes about 2,100 forward and 2,016 + 30 r backward.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import nn

from saliency.gradient import head_gradient, with_gradients
from saliency.tsr.bases import Base
from saliency.tsr.frames import PerturbedFrames
from saliency.tsr.low_rank import LowRankFactors, share_out
from saliency.tsr.progress import SILENT, Progress

NORM_PER_MEAN = math.sqrt(math.pi / 2)  # |row| / E |row . w| for w ~ N(0, I)
ROUNDING = 10  # machine epsilons, relative to the largest change: the error that tolerance 0 allows
LEFT_OUT = 0.2  # share of the error allowed that leaving frames out may cause
DROPPED = 0.1  # share of the rest that may be dropped before the directions of a wide stack are looked at
LARGE = 64  # directions of a frame and variant, from which on a second probe saves more passes than it takes
CPU_COPIES = 8  # copies of a frame in one backward pass on a CPU; enough to keep a few cores busy
CPU_TILE, GPU_TILE = (1024, 1024), (4096, 65536)  # perturbations x pixels of one matrix product; fits a CPU's cache


class FactoredRelevance(PerturbedFrames):
    """One normalised clip (T, C, H, W) and one model, prepared to measure what perturbations change.

    The base is the gradient, another GradientBase or a GradCamBase. Below, a map has the shape (*shape) of the base's
    signed map of one frame. The other arguments are those of PerturbedFrames.
    """

    def __init__(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", tolerance: float = 1e-3,
                 memory: float = 2e9, amp: bool = False, base: Base | None = None):
        super().__init__(model, clip, target, score, tolerance, memory, amp, base)
        slopes = [self._head_gradient(features[None])[0].to(clip) for features in self.features.unbind(1)]
        self.feature_gradient = torch.stack(slopes, 1).flatten(1)  # (T, n * D), the g_s before
        self.signed_map, self.stretch = self._unperturbed()  # (T, *shape), (T,)

    def changes(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                progress: Progress = SILENT) -> tuple[torch.Tensor, float]:
        """Replace box p of frame frames[p] by the fill, for each perturbation p by itself.

        frames (P,): indices. boxes (P, 4): top, bottom, left, right. fill (C, H, W).
        Returns the changes (P,) and the bound of their error, relative to the largest change.
        """
        size = self.feature_gradient.numel() * self.feature_gradient.element_size()
        at_once = max(1, int(self.memory / size))  # perturbations whose deviations fit into memory
        parts = zip(frames.split(at_once), boxes.split(at_once), strict=True)
        deltas, errors = zip(*(self._changes(*part, fill, progress) for part in parts), strict=True)
        delta = torch.cat(deltas)
        return delta, max(errors) / max(float(delta.max()), torch.finfo(delta.dtype).tiny)

    def _changes(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                 progress: Progress) -> tuple[torch.Tensor, float]:
        """Return the changes (P,) of perturbations whose deviations fit into memory, and the bound of their error."""
        deviations = self.features.new_empty(len(frames), *self.feature_gradient.shape)  # (P, T, n * D)
        delta = self.features.new_empty(len(frames))
        for group, t in self._groups(frames, boxes):
            delta[group] = self._perturb(group, t, frames, boxes, fill, deviations, progress)
        deviations[torch.arange(len(frames)), frames] = 0  # delta has the changes of these frames already
        return delta, self._add_other_frames(deviations, delta, progress)

    def _head_gradient(self, sequences: torch.Tensor) -> torch.Tensor:
        """Return dS/df of feature sequences: (n, T, D) -> (n, T, D)."""
        return head_gradient(self.head_model, sequences.to(self.head_type), self.target, self.score)

    def _unperturbed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the signed map of each frame (T, *shape), and its stretch (T,), the sum of the norms of its rows.

        A row holds the factors of the n * D slopes in one pixel. The sum over pixels of the map of slopes v is at most
        the stretch times |v|. One random vector per frame estimates the stretch.
        """
        generator = torch.Generator().manual_seed(0)
        random = torch.randn(self.feature_gradient.shape, generator=generator, dtype=self.clip.dtype)
        vectors = torch.stack([self.feature_gradient, random.to(self.clip.device)])  # (2, T, n * D)
        signed_map, probe = self._pull_back_frames(torch.arange(len(self.clip)), vectors)
        return signed_map, NORM_PER_MEAN * probe.abs().sum(tuple(range(1, probe.ndim)))

    def _pull_back_frames(self, frames: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Return the maps of k slope vectors of each of the frames (b,): (k, b, n * D) -> (k, b, *shape)."""
        size = max(1, self.batch // max(1, len(vectors)))
        parts = [self._pull_back(frames[first:first + size], vectors[:, first:first + size])
                 for first in range(0, len(frames), size)]
        return torch.cat(parts, 1)

    def _pull_back(self, frames: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Do the work of `_pull_back_frames` in one batch. Variants pass one after the other, and their maps add up."""
        split = vectors.unflatten(2, (self.base.count, -1))  # (k, b, n, D)
        total = None
        for place in range(self.base.count):
            pulled = self._with_less_memory(partial(self._pull_back_variant, frames, split[:, :, place], place))
            total = pulled if total is None else total.add_(pulled)
        return self.base.weighted(total, self.clip[frames])

    def _pull_back_variant(self, frames: torch.Tensor, vectors: torch.Tensor, place: int) -> torch.Tensor:
        """Return the maps of one variant, before they are weighted: (k, b, D) -> (k, b, *shape).

        The frames are copied a few times and encoded once. Each backward pass then handles as many vectors as copies.
        """
        at_once = min(self.batch, CPU_COPIES) if self.clip.device.type == "cpu" else self.batch
        rounds = math.ceil(len(vectors) / max(1, at_once // len(frames)))
        copies = math.ceil(len(vectors) / rounds)  # the fewest that need no further round
        inputs = self.base.variant(self.clip[frames], frames, place).repeat(copies, 1, 1, 1)
        with with_gradients(self.model):
            features, source, to_map = self.base.record(self.model, self._encode, inputs)
        encoded = features.unflatten(0, (copies, len(frames)))  # (copies, b, D)
        pulled = []
        for part in vectors.split(copies):
            self.backward_passes += len(inputs)
            maps = to_map(torch.autograd.grad(encoded[:len(part)], source, part, retain_graph=True)[0])
            pulled.append(maps.unflatten(0, (copies, len(frames)))[:len(part)])
        return torch.cat(pulled)

    def _perturb(self, group: torch.Tensor, t: int | None, frames: torch.Tensor, boxes: torch.Tensor,
                 fill: torch.Tensor, deviations: torch.Tensor, progress: Progress) -> torch.Tensor:
        """Compute parts 1 and 2 for the perturbations `group` (m,), which `_groups` gave together with t.

        Fills their rows of deviations (P, T, n * D) and returns the changes of the perturbed frames (m,).
        """
        own, boxes = frames[group], boxes[group]
        total = None
        for place in range(self.base.count):
            context, maps = self._context(t, place), []
            while (done := sum(map(len, maps))) < len(group):
                work = partial(self._perturb_batch, place, context, done, group, own, boxes, fill, deviations)
                maps.append(self._with_less_memory(work))
                progress(len(maps[-1]) / self.base.count)
            total = torch.cat(maps) if total is None else total.add_(torch.cat(maps))
        masked = self._masked(own, boxes, fill)
        differs = (masked != self.clip[own]).flatten(1).any(1)
        change = torch.cat([
            self.base.change(self.base.weighted(after, inside), self.signed_map[times])
            for after, inside, times in zip(*(each.split(self.batch) for each in (total, masked, own)), strict=True)])
        return change * differs

    def _perturb_batch(self, place: int, context: Callable[[torch.Tensor], AbstractContextManager], done: int,
                       group: torch.Tensor, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                       deviations: torch.Tensor) -> torch.Tensor:
        """Compute the next batch of a group in one variant, the first `done` of which are computed already.

        frames (m,), boxes (m, 4): of the group. Fills the columns of the variant in the rows of `deviations` and
        returns the maps of the perturbed frames (b, *shape), which are not weighted yet.
        """
        part = slice(done, done + self.batch)
        t, rows, size = frames[part], torch.arange(len(frames[part])), self.features.shape[-1]
        masked = self._masked(t, boxes[part], fill)
        differs = (masked != self.clip[t]).flatten(1).any(1)  # False if the box equals the fill already
        with with_gradients(self.model), context(group[part]):
            recorded = self.base.record(self.model, self._encode, self.base.variant(masked, t, place))
        sequences = self.features[:, place].repeat(len(t) + 1, 1, 1)  # (b + 1, T, D), the last one unperturbed
        sequences[rows, t] = recorded.features.detach()
        slopes = self._head_gradient(sequences)
        changed = without_rounding(slopes[:-1] - slopes[-1], slopes[-1]) * differs[:, None, None]
        deviations[group[part], :, place * size:(place + 1) * size] = changed.to(deviations)
        self.backward_passes += len(t)
        own = slopes[rows, t].to(recorded.features)
        return recorded.to_map(torch.autograd.grad(recorded.features, recorded.source, own)[0])

    def _add_other_frames(self, deviations: torch.Tensor, delta: torch.Tensor, progress: Progress) -> float:
        """Compute part 3 and add it to delta (P,) in place. Return the bound of the error of each delta.

        deviations (P, T, n * D): of all g_s, 0 for the perturbed frame itself. They are overwritten.
        """
        allowed = max(self.tolerance, ROUNDING * torch.finfo(delta.dtype).eps)
        budget = allowed * float(delta.max())
        if_left_out = (self.stretch * deviations.norm(dim=2).amax(0)).double().cpu()  # (T,) errors
        ordered, order = if_left_out.sort()
        needed = order[ordered.cumsum(0) > LEFT_OUT * budget].tolist()  # the frames that are not left out
        error = float(ordered.sum() - if_left_out[needed].sum())
        waiting = self._factors(needed, deviations, DROPPED * (budget - error))  # by frames
        self._probe_deeper(waiting, share_out(waiting.values(), budget - error)[0])
        planned = 0
        while waiting:
            ranks, errors = share_out(waiting.values(), allowed * float(delta.max()) - error)
            progress.more((sum(ranks) - planned) / self.base.count)
            t, factors = waiting.popitem()
            if ranks[-1]:
                self._add_low_rank(t, factors, ranks[-1], delta, progress)
            planned, error = sum(ranks[:-1]), error + errors[-1]
        return error

    def _factors(self, frames: list[int], deviations: torch.Tensor, unimportant: float) -> dict[int, LowRankFactors]:
        """Return the factors of the deviations (P, T, n * D) of some frames, those with the largest effect last.

        unimportant: the sum over the frames of the errors that directions need not be kept for.
        """
        generator, tiny = torch.Generator().manual_seed(0), torch.finfo(deviations.dtype).tiny
        found = {}
        for t in frames:
            enough = unimportant / len(frames) / max(float(self.stretch[t]), tiny)
            found[t] = LowRankFactors(deviations[:, t].unflatten(1, (self.base.count, -1)), enough, generator)
        if found:
            probes = torch.stack([factors.probes.flatten(1) for factors in found.values()], 1)  # (2, frames, n * D)
            pulled = self._pull_back_frames(torch.tensor(frames, device=probes.device), probes)
            for factors, maps in zip(found.values(), pulled.unbind(1), strict=True):
                factors.set_stretch(maps.flatten(1))
        return dict(sorted(found.items(), key=lambda item: item[1].effect))

    def _probe_deeper(self, waiting: dict[int, LowRankFactors], ranks: list[int]) -> None:
        """Estimate the stretch beyond half of the rank anew, for the factors of frames with large ranks."""
        halves = {t: rank // 2 for t, rank in zip(waiting, ranks, strict=True) if rank >= LARGE * self.base.count}
        if halves:
            probes = torch.stack([waiting[t].probe(rank).flatten() for t, rank in halves.items()])[None]
            pulled = self._pull_back_frames(torch.tensor(list(halves), device=probes.device), probes)[0]
            for (t, rank), maps in zip(halves.items(), pulled, strict=True):
                waiting[t].set_stretch_beyond(rank, maps)

    def _add_low_rank(self, t: int, factors: LowRankFactors, rank: int, delta: torch.Tensor,
                      progress: Progress) -> None:
        """Pull the first `rank` directions of frame t back and add the changes of its map to delta (P,)."""
        frame = torch.tensor([t], device=delta.device)
        basis = self.signed_map.new_empty(rank, *self.signed_map.shape[1:])
        for place in factors.variants[:rank].unique().tolist():
            chosen = (factors.variants[:rank] == place).nonzero()[:, 0]
            vectors = factors.directions[chosen][:, None]  # (r, 1, D)
            pulled = self._with_less_memory(partial(self._pull_back_variant, frame, vectors, place))
            basis[chosen] = self.base.weighted(pulled, self.clip[frame])[:, 0]
            progress(len(chosen) / self.base.count)
        add_changes(delta, self.signed_map[t], basis, factors.coefficients(rank), self.base)


def without_rounding(difference: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Set differences (n, T, D) of gradients to 0 if they are no larger than the rounding of the gradient (T, D)."""
    noise = 4 * torch.finfo(gradient.dtype).eps * gradient.abs().amax(-1, keepdim=True)  # (T, 1)
    return torch.where(difference.abs() > noise, difference, 0)


def add_changes(delta: torch.Tensor, before: torch.Tensor, basis: torch.Tensor, coefficients: torch.Tensor,
                base: Base) -> None:
    """Add the change of the base's map from `before` to before + coefficients[p] @ basis to each delta[p], by tiles.

    delta (P,) is changed in place. before (*shape), basis (r, *shape), coefficients (P, r).
    """
    shape, before, basis = before.shape, before.flatten(), basis.flatten(1)
    rows, columns = CPU_TILE if delta.device.type == "cpu" else GPU_TILE
    columns = len(before) if base.whole_maps else columns
    for low in range(0, len(before), columns):
        here, directions = before[low:low + columns], basis[:, low:low + columns].contiguous()
        for part in range(0, len(delta), rows):
            maps, old = torch.addmm(here, coefficients[part:part + rows], directions), here[None]
            if base.whole_maps:
                maps, old = maps.unflatten(1, shape), old.unflatten(1, shape)
            delta[part:part + rows] += base.change(maps, old)
