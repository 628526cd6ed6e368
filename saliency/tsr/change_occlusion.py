"""TSR of the occlusion of features through the head `change`, from pairs of masks.

    pairs = OcclusionPairs(relevance, features)
    changes = pairs.changes(frames, parts, fill, progress)       # as saliency.tsr.features.feature_changes

For each mask p of TSR, the map holds the score without p and q for each occluded feature q of each frame: T D scores
for each mask. With the head `change` and a linear classifier, the score is N / Z, two sums over the frames
(saliency/tsr/change_head.py). A mask changes the terms of the few frames that read its frame. If p and q share none of
these frames, their changes of N and Z add up; only the frames that they share are computed for each pair. In such a
frame, most units stay on one side of the ReLU for all pairs, so that their changes add up too; only the other units are
computed for each pair. The sums over frames are taken in double precision, because a map changes by differences of
differences of scores.
"""

from collections.abc import Callable

import torch

from saliency.methods.occlusion import Occlusion
from saliency.tsr.change_head import frames_read
from saliency.tsr.masks import Masks, frame_masked

ROWS = 3072  # states that are computed at a time, few enough for the cache of a processor


class OcclusionPairs(Masks):
    """The terms of the score of the features (T, D) of one clip, and their changes by the occlusion of each feature."""

    @torch.no_grad()
    def __init__(self, relevance: Occlusion, features: torch.Tensor):
        super().__init__(features)
        head, classifier = relevance.model.head, relevance.model.classifier[-1]
        self.relevance = relevance
        kernel, first, last = head.convolutions[0].weight.permute(2, 0, 1), head.gate[0], head.gate[2]
        # With tanh(z) = 2 sigmoid(2 z) - 1, which takes PyTorch less time, the gate is one of sigmoids.
        self.last, self.offset = 2 * last.weight[0], last.bias - last.weight.sum()
        v = (classifier.weight - classifier.weight.mean(0))[relevance.target]  # (H,)
        self.readers, self.bias = torch.cat([2 * first.weight, v[None]]).T, torch.cat([2 * first.bias, v.new_zeros(1)])
        reads = frames_read(len(features)).to(features)  # (T, KERNEL, T)
        self.near = [reads[:, :, t].any(1).nonzero()[:, 0].tolist() for t in range(len(features))]
        self.columns = [torch.einsum("uk,khd->duh", reads[near][:, :, t], kernel) for t, near in enumerate(self.near)]
        taps = torch.einsum("ukt,td->ukd", reads, features)
        self.sums = torch.einsum("ukd,khd->uh", taps, kernel) + head.convolutions[0].bias  # (T, H), before the ReLU
        self.shift = 0.0
        self.shift = self._terms(self.sums)[1].max()
        self.terms = self._terms(self.sums)[0]  # (T, 2)
        self.occluded = [self._single(t, relevance.empty - features[t]) for t in range(len(features))]
        self.before = self._drops(self.terms.sum(0), torch.stack([found.sum(1) for found in self.occluded]))

    def _terms(self, sums: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return E_s and E_s y_s (..., 2), float64, and the gate (...), of states before the ReLU (..., H)."""
        read = torch.addmm(self.bias, sums.relu().flatten(0, -2), self.readers)
        return self._gated(read.unflatten(0, sums.shape[:-1]))

    def _gated(self, read: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the results of _terms, given what the gate and the classifier read of states, (..., GATE_SIZE + 1)."""
        value = read[..., -1].double()
        gate = read[..., :-1].sigmoid() @ self.last + self.offset
        weight = (gate - self.shift).exp().double()
        return torch.stack([weight, weight * value], -1), gate

    def _single(self, t: int, steps: torch.Tensor, parts: slice | torch.Tensor = slice(None)) -> torch.Tensor:
        """Return the changes (P, u, 2) of the terms of the frames near frame t, if its parts change by steps (P,)."""
        near = self.near[t]
        return self._terms(self.sums[near] + steps[:, None, None] * self.columns[t][parts])[0] - self.terms[near]

    def _drops(self, whole: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
        """Return the drops of the score (...) if the sums (..., 2) of all terms change by (..., 2)."""
        less = whole + changes
        return whole[..., 1] / whole[..., 0] - less[..., 1] / less[..., 0]

    def frame_changes(self, frames: torch.Tensor, fill: torch.Tensor,
                      progress: Callable[[int], None]) -> torch.Tensor:
        delta = self.features.new_empty(len(frames))
        for p, t in enumerate(frames.tolist()):
            masked = OcclusionPairs(self.relevance, frame_masked(self.features, t, fill))
            delta[p] = self._change(masked.before)
            progress(1)
        return delta

    def part_changes(self, t: int, parts: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        return self._change(self._masked_drops(t, parts, masked[t] - self.features[t])).to(self.features)

    def _change(self, drops: torch.Tensor) -> torch.Tensor:
        """Return the summed changes (...) of the map in drops (..., T, D)."""
        return (drops.abs() - self.before.abs()).abs().sum((-2, -1))

    def _masked_drops(self, t: int, parts: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Return the drops (P, T, D) of each occlusion in the clip with a part of frame t masked.

        steps (D,): the changes of all parts of frame t by a mask.
        """
        steps = steps[parts]
        masked = self._single(t, steps, parts)  # (P, u, 2)
        whole = self.terms.sum(0) + masked.sum(1)  # (P, 2)
        added = torch.stack([found.sum(1) for found in self.occluded]).repeat(len(parts), 1, 1, 1)  # (P, T, D, 2)
        for s, other in enumerate(self.near):
            shared = [u for u in self.near[t] if u in other]
            if shared:
                added[:, s] += self._shared(t, s, shared, steps, parts, masked)
        # The occlusion of the masked feature itself ends where its occlusion in the unmasked clip ends.
        added[torch.arange(len(parts)), t, parts] = self.occluded[t].sum(1)[parts] - masked.sum(1)
        return self._drops(whole[:, None, None], added)

    def _shared(self, t: int, s: int, shared: list[int], steps: torch.Tensor, parts: torch.Tensor,
                masked: torch.Tensor) -> torch.Tensor:
        """Return by how much the change of a mask and an occlusion together exceeds the sum of both, (P, D, 2).

        shared: the frames that read both frame t, of the mask, and frame s, of the occlusion.
        """
        in_t, in_s = ([near.index(u) for u in shared] for near in (self.near[t], self.near[s]))
        apart = self.occluded[s][:, in_s].sum(1) + self.terms[shared].sum(0)  # (D, 2)
        together = -masked[:, None, in_t].sum(2) - apart  # (P, D, 2)
        for u, of_t, of_s in zip(shared, in_t, in_s, strict=True):
            by_mask = steps[:, None] * self.columns[t][parts, of_t]  # (P, H)
            by_occlusion = (self.relevance.empty - self.features[s])[:, None] * self.columns[s][:, of_s]  # (D, H)
            self._add_pairs(together, self.sums[u] + by_mask, by_occlusion)
        return together

    def _add_pairs(self, together: torch.Tensor, sums: torch.Tensor, changes: torch.Tensor) -> None:
        """Add the terms of a frame with sums (P, H) before the ReLU, each changed by changes (D, H), to (P, D, 2)."""
        low, high = sums.amin(0) + changes.amin(0), sums.amax(0) + changes.amax(0)  # (H,), over all pairs
        on, bent = low >= 0, (low < 0) & (high > 0)
        readers = self.readers[on]
        by_sum, by_change = self.bias + sums[:, on] @ readers, changes[:, on] @ readers  # (P, G), (D, G)
        sums, changes, readers = sums[:, bent], changes[:, bent], self.readers[bent]
        for some in torch.arange(len(sums), device=sums.device).split(max(1, ROWS // len(changes))):
            states = (sums[some, None] + changes).relu_().flatten(0, 1)  # (p D, units that bend)
            read = (by_sum[some, None] + by_change).flatten(0, 1).addmm_(states, readers)  # (p D, G)
            together[some] += self._gated(read)[0].unflatten(0, (len(some), -1))
