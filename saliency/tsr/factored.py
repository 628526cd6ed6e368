"""The fast arithmetic of TSR: how much the relevance map of a clip changes when a box in one frame is replaced.

The encoder E sees one frame at a time, f_s = E(x_s), and the head turns f_1..f_T into the score S. With g_s = dS/df_s
and J_s the Jacobian of E at x_s, the chain rule gives the relevance of frame s, R_s = |J_s' g_s|. Other mean gradients
(saliency/mean_gradient.py) use n variants a of each frame and factors w_s,

    R_s = | mean over a of w_s(a) J_s(a)' g_s(a) |

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

In an LSTM, most other frames hardly change. A vector-Jacobian product with one random vector per frame estimates the
error of leaving a frame out of part 3. The estimate of the whole error is returned with the changes. The host waits for
the device only a few times per step, and once for each frame of part 3, whose rank depends on the changes so far.

For the gradient (n = 1), T = 30 frames of 120x120 pixels and 2,016 perturbations, the literal loop takes 2,016 x 30 =
60,480 frame passes forward and as many backward. This arithmetic takes about 2,100 forward and 2,016 + 30 r backward.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import nn

from saliency.gradient import head_gradient, with_gradients
from saliency.mean_gradient import PLAIN, Variant
from saliency.tsr.frames import PerturbedFrames
from saliency.tsr.low_rank import LowRankFactors, factorised, share_out

NORM_PER_MEAN = math.sqrt(math.pi / 2)  # |row| / E |row . w| for w ~ N(0, I)
ROUNDING = 10  # machine epsilons, relative to the largest change: the error that tolerance 0 allows
LEFT_OUT = 0.2  # share of the error allowed that leaving frames out may cause
DROPPED = 0.1  # share of the rest that may be dropped before the directions of a wide stack are looked at
LARGE = 64  # directions of a frame and variant, from which on a second probe saves more passes than it takes
CPU_COPIES = 8  # copies of a frame in one backward pass on a CPU; enough to keep a few cores busy
CPU_TILE, GPU_TILE = (1024, 1024), (4096, 65536)  # perturbations x pixels of one matrix product; fits a CPU's cache
FACTORS = 32  # bytes per number of a Gram matrix that the factors of a frame need for a moment

Progress = Callable[[float], None]  # is told how many perturbations are done since the last call


class FactoredRelevance(PerturbedFrames):
    """One normalised clip (T, C, H, W) and one model, prepared to measure what perturbations change.

    The map of a frame is signed below, (C, H, W). The other arguments are those of PerturbedFrames.
    """

    def __init__(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", tolerance: float = 1e-3,
                 memory: float = 2e9, variants: Sequence[Variant] = PLAIN):
        super().__init__(model, clip, target, score, tolerance, memory, variants)
        gradients = [self._head_gradient(features[None])[0].to(clip) for features in self.features.unbind(1)]
        self.feature_gradient = torch.stack(gradients, 1).flatten(1)  # (T, n * D), the g_s before
        self.signed_map, self.gain = self._unperturbed()  # (T, C, H, W), (T,)

    @property
    def passes(self) -> tuple[int, int]:
        """The numbers of frames that went through the encoder, forward and backward."""
        return self.forward_passes, self.backward_passes

    def changes(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                progress: Progress = lambda done: None) -> tuple[torch.Tensor, float]:
        """Replace box p of frame frames[p] by the fill, for each perturbation p by itself.

        frames (P,): indices. boxes (P, 4): top, bottom, left, right. fill (C, H, W).
        Returns the changes (P,) and the estimate of their error, relative to the largest change.
        """
        size = self.feature_gradient.numel() * self.feature_gradient.element_size()
        at_once = max(1, int(self.memory / size))  # perturbations whose deviations fit into memory
        deltas, errors = [], []
        while (done := sum(map(len, deltas))) < len(frames):
            part = slice(done, done + at_once)
            try:
                delta, error = self._changes(frames[part], boxes[part], fill, progress)
            except torch.OutOfMemoryError:  # of a GPU, on which others compute, too
                if self.batch == 1:
                    raise
                self.batch //= 2
                torch.cuda.empty_cache()
            else:
                deltas.append(delta)
                errors.append(error)
        delta = torch.cat(deltas)
        return delta, max(errors) / max(float(delta.max()), torch.finfo(delta.dtype).tiny)

    def _changes(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                 progress: Progress) -> tuple[torch.Tensor, float]:
        """Return the changes (P,) of perturbations whose deviations fit into memory, and the estimate of their error.

        Half of the progress is that of the perturbed frames, half that of the others.
        """
        deviations = self.features.new_empty(len(frames), *self.feature_gradient.shape)  # (P, T, n * D)
        delta = self.features.new_empty(len(frames))
        for group, t in self._groups(frames, boxes):
            delta[group] = self._perturb(group, t, frames, boxes, fill, deviations)
            progress(len(group) / 2)
        deviations[torch.arange(len(frames), device=frames.device), frames] = 0  # delta has these changes already
        return delta, self._add_other_frames(deviations, delta, progress)

    def _head_gradient(self, sequences: torch.Tensor) -> torch.Tensor:
        """Return dS/df of feature sequences: (n, T, D) -> (n, T, D)."""
        return head_gradient(self.head_model, sequences.to(self.head_type), self.target, self.score)

    def _unperturbed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the signed map of each frame (T, C, H, W), and its gain (T,), the sum of the norms of its rows.

        A row holds the factors of the n * D gradients in one pixel. The sum over pixels of the map of gradients v is at
        most the gain times |v|. One random vector per frame estimates the gain.
        """
        generator = torch.Generator().manual_seed(0)
        random = torch.randn(self.feature_gradient.shape, generator=generator, dtype=self.clip.dtype)
        vectors = torch.stack([self.feature_gradient, random.to(self.clip.device)])  # (2, T, n * D)
        signed_map, probe = self._products(torch.arange(len(self.clip), device=self.clip.device), vectors)
        return signed_map, NORM_PER_MEAN * probe.abs().sum((1, 2, 3))

    def _products(self, frames: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Return the maps of k gradient vectors of each of the frames (b,): (k, b, n * D) -> (k, b, C, H, W).

        They are the sums over the variants of weighted vector-Jacobian products, divided by n.
        """
        size = max(1, self.batch // max(1, len(vectors)))
        split, found = vectors.unflatten(2, (len(self.variants), -1)), []  # (k, b, n, D)
        for part, own in zip(frames.split(size), split.split(size, 1), strict=True):
            found.append(sum(self._product(variant, part, own[:, :, place])
                             for place, variant in enumerate(self.variants)))
        return torch.cat(found, 1) / len(self.variants)

    def _product(self, variant: Variant, frames: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Return the weighted vector-Jacobian products of one variant: (k, b, D) -> (k, b, C, H, W).

        The frames are copied a few times and encoded once. Each backward pass then handles as many vectors as copies.
        """
        at_once = self.batch if self.clip.is_cuda else min(self.batch, CPU_COPIES)
        rounds = math.ceil(len(vectors) / max(1, at_once // len(frames)))
        copies = math.ceil(len(vectors) / rounds)  # the fewest that need no further round
        inputs = variant.point(self.clip[frames], frames).repeat(copies, 1, 1, 1).requires_grad_(True)
        with with_gradients(self.model):
            encoded = self._encode(inputs).unflatten(0, (copies, len(frames)))  # (copies, b, D)
        products = []
        for part in vectors.split(copies):
            self.backward_passes += len(inputs)
            maps = torch.autograd.grad(encoded[:len(part)], inputs, part, retain_graph=True)[0]
            products.append(maps.unflatten(0, (copies, len(frames)))[:len(part)])
        return variant.weighted(torch.cat(products), self.clip[frames])

    def _perturb(self, group: torch.Tensor, t: int | None, frames: torch.Tensor, boxes: torch.Tensor,
                 fill: torch.Tensor, deviations: torch.Tensor) -> torch.Tensor:
        """Compute parts 1 and 2 for the perturbations `group` (m,), which `_groups` gave together with t.

        Fills their rows of deviations (P, T, n * D) and returns the changes of the perturbed frames (m,).
        """
        own, boxes = frames[group], boxes[group]
        total = None
        for place, variant in enumerate(self.variants):
            context, maps = self._context(t, variant), []
            for part in torch.arange(len(group), device=group.device).split(self.batch):
                maps.append(self._perturb_batch(place, context, group[part], own[part], boxes[part], fill, deviations))
            total = torch.cat(maps) if total is None else total.add_(torch.cat(maps))
        differs = (self._masked(own, boxes, fill) != self.clip[own]).flatten(1).any(1)
        return self._change(total.div_(len(self.variants)), self.signed_map[own]) * differs

    def _perturb_batch(self, place: int, context: Callable[[torch.Tensor], AbstractContextManager], part: torch.Tensor,
                       frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                       deviations: torch.Tensor) -> torch.Tensor:
        """Encode perturbations `part` (b,) of the frames (b,) in boxes (b, 4), in the variant at a place.

        Fills the columns of the variant in their rows of `deviations` and returns the weighted maps (b, C, H, W).
        """
        variant, rows, size = self.variants[place], torch.arange(len(part), device=part.device), self.features.shape[-1]
        masked = self._masked(frames, boxes, fill)
        differs = (masked != self.clip[frames]).flatten(1).any(1)  # False if the box equals the fill already
        inputs = variant.point(masked, frames).detach().requires_grad_(True)
        with with_gradients(self.model), context(part):
            encoded = self._encode(inputs)
        sequences = self.features[:, place].repeat(len(part) + 1, 1, 1)  # (b + 1, T, D), the last one unperturbed
        sequences[rows, frames] = encoded.detach()
        gradients = self._head_gradient(sequences)
        changed = without_rounding(gradients[:-1] - gradients[-1], gradients[-1]) * differs[:, None, None]
        deviations[part, :, place * size:(place + 1) * size] = changed.to(deviations)
        self.backward_passes += len(part)
        own = gradients[rows, frames].to(encoded)
        return variant.weighted(torch.autograd.grad(encoded, inputs, own)[0], masked)

    def _add_other_frames(self, deviations: torch.Tensor, delta: torch.Tensor, progress: Progress) -> float:
        """Compute part 3 and add it to delta (P,) in place. Return the estimate of the error of each delta.

        deviations (P, T, n * D): of all g_s, 0 for the perturbed frame itself. They are overwritten.
        """
        allowed = max(self.tolerance, ROUNDING * torch.finfo(delta.dtype).eps)
        if_left_out = (self.gain * deviations.norm(dim=2).amax(0)).double()  # (T,) errors
        if_left_out, gain, largest = torch.stack([  # the host waits once for all three
            if_left_out, self.gain.double(), delta.max().double().expand(len(self.gain))]).cpu()
        budget = allowed * float(largest[0])
        ordered, order = if_left_out.sort()
        needed = order[ordered.cumsum(0) > LEFT_OUT * budget].tolist()  # the frames that are not left out
        error = float(ordered.sum() - if_left_out[needed].sum())
        enough = [DROPPED * (budget - error) / len(needed) / max(float(gain[t]), torch.finfo(delta.dtype).tiny)
                  for t in needed]
        waiting = self._factors(needed, deviations, enough)  # by frames
        self._probe_deeper(waiting, share_out(waiting.values(), budget - error)[0])
        while waiting:
            ranks, errors = share_out(waiting.values(), allowed * float(delta.max()) - error)
            t, factors = waiting.popitem()
            if ranks[-1]:
                self._add_low_rank(t, factors, ranks[-1], delta)
            error += errors[-1]
            progress(len(delta) / 2 / len(needed))
        return error

    def _factors(self, frames: list[int], deviations: torch.Tensor, enough: list[float]) -> dict[int, LowRankFactors]:
        """Return the factors of the deviations (P, T, n * D) of some frames, those with the largest effect last.

        enough: for each frame, a residual that directions need not be kept for.
        """
        generator, found = torch.Generator().manual_seed(0), {}
        size, count = self.features.shape[-1], len(self.variants)
        at_once = max(1, int(self.memory / (FACTORS * count * size ** 2)))  # frames
        for first in range(0, len(frames), at_once):
            part = slice(first, first + at_once)
            own = [deviations[:, t].unflatten(1, (count, size)) for t in frames[part]]
            found |= zip(frames[part], factorised(own, enough[part], generator), strict=True)
        if found:
            probes = torch.stack([factors.probes.flatten(1) for factors in found.values()], 1)  # (2, frames, n * D)
            maps = self._products(torch.tensor(frames, device=probes.device), probes).flatten(2)  # (2, frames, pixels)
            sums = torch.stack([maps.sum(0).abs().sum(1), maps[1].abs().sum(1)], 1).double()  # (frames, 2)
            norms = torch.stack([factors.norms for factors in found.values()])  # (frames, 2)
            for factors, own in zip(found.values(), torch.stack([sums, norms], 1).tolist(), strict=True):
                factors.set_gain(*own)
        return dict(sorted(found.items(), key=lambda item: item[1].effect))

    def _probe_deeper(self, waiting: dict[int, LowRankFactors], ranks: list[int]) -> None:
        """Estimate the gain beyond half of the rank anew, for the factors of frames with large ranks."""
        halves = {t: rank // 2 for t, rank in zip(waiting, ranks, strict=True) if rank >= LARGE * len(self.variants)}
        if halves:
            probes = torch.stack([waiting[t].probe(rank).flatten() for t, rank in halves.items()])[None]
            maps = self._products(torch.tensor(list(halves), device=probes.device), probes)[0]
            numbers = torch.stack([maps.flatten(1).abs().sum(1).double(), probes[0].double().norm(dim=1)], 1)
            for (t, rank), own in zip(halves.items(), numbers.tolist(), strict=True):
                waiting[t].set_gain_beyond(rank, *own)

    def _add_low_rank(self, t: int, factors: LowRankFactors, rank: int, delta: torch.Tensor) -> None:
        """Take the products of the first `rank` directions of frame t and add the changes of its map to delta (P,)."""
        frame = torch.tensor([t], device=delta.device)
        basis = self.signed_map.new_empty(rank, *self.signed_map.shape[1:])
        owners = factors.owners[:rank]  # the places of their variants
        for place in sorted(set(owners)):
            chosen = [number for number, owner in enumerate(owners) if owner == place]
            products = self._product(self.variants[place], frame, factors.directions[chosen][:, None])
            basis[chosen] = products[:, 0] / len(self.variants)
        add_changes(delta, self.signed_map[t], basis, factors.coefficients(rank))

    def _change(self, after: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Return the summed change of |map| from one signed map to another, (m, C, H, W) both -> (m,)."""
        return torch.cat([summed_change(*part) for part in
                          zip(after.split(self.batch), before.split(self.batch), strict=True)])


def without_rounding(difference: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Set differences (n, T, D) of gradients to 0 if they are no larger than the rounding of the gradient (T, D)."""
    noise = 4 * torch.finfo(gradient.dtype).eps * gradient.abs().amax(-1, keepdim=True)  # (T, 1)
    return torch.where(difference.abs() > noise, difference, 0)


def summed_change(after: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Return the sum of | |after| - |before| |, (n, ...) and (n or 1, ...) -> (n,). `after` is overwritten."""
    return torch.linalg.vector_norm(after.abs_().sub_(before.abs()), 1, dim=tuple(range(1, after.ndim)))


def add_changes(delta: torch.Tensor, before: torch.Tensor, basis: torch.Tensor, coefficients: torch.Tensor) -> None:
    """Add the change of |map| from `before` to before + coefficients[p] @ basis to each delta[p], by tiles.

    delta (P,) is changed in place. before (C, H, W), basis (r, C, H, W), coefficients (P, r).
    """
    before, basis = before.flatten(), basis.flatten(1)
    rows, columns = GPU_TILE if delta.is_cuda else CPU_TILE
    for low in range(0, len(before), columns):
        here, directions = before[low:low + columns], basis[:, low:low + columns].contiguous()
        for part in range(0, len(delta), rows):
            maps = torch.addmm(here, coefficients[part:part + rows], directions)
            delta[part:part + rows] += summed_change(maps, here[None])
