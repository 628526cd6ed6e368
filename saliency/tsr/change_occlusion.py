"""TSR of the occlusion of features through the head `change`, from pairs of masks.

    pairs = OcclusionPairs(relevance, features)
    changes = pairs.changes(frames, parts, fill, progress)       # as saliency.tsr.features.feature_changes

For each mask p of TSR, the map holds the score without p and q for each occluded feature q of each frame: T D scores
for each mask. With the head `change` and a linear classifier, the score is N / Z, two sums over the frames
(saliency/tsr/change_head.py). A mask changes the terms of the few frames that read its frame. If p and q share none of
these frames, their changes of N and Z add up; only the frames that they share are computed for each pair. The sums are
taken in double precision, because a map changes by differences of differences of scores.
"""

from collections.abc import Callable

import torch

from saliency.methods.occlusion import Occlusion
from saliency.tsr.change_head import frames_read

ROWS = 3072  # states that are computed at a time, few enough for the cache of a processor


class OcclusionPairs:
    """The terms of the score of the features (T, D) of one clip, and their changes by the occlusion of each feature."""

    @torch.no_grad()
    def __init__(self, relevance: Occlusion, features: torch.Tensor):
        head, classifier = relevance.model.head, relevance.model.classifier[-1]
        self.relevance, self.features = relevance, features
        kernel, first, last = head.convolutions[0].weight.permute(2, 0, 1), head.gate[0], head.gate[2]
        self.last, v = last, (classifier.weight - classifier.weight.mean(0))[relevance.target]  # v (H,)
        self.readers, self.bias = torch.cat([first.weight, v[None]]), torch.cat([first.bias, v.new_zeros(1)])
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
        read = torch.addmm(self.bias, sums.relu().flatten(0, -2), self.readers.T).unflatten(0, sums.shape[:-1])
        gate = read[..., :-1].tanh() @ self.last.weight[0] + self.last.bias
        weight = (gate - self.shift).exp().double()
        return torch.stack([weight, weight * read[..., -1]], -1), gate

    def _single(self, t: int, steps: torch.Tensor, parts: slice | torch.Tensor = slice(None)) -> torch.Tensor:
        """Return the changes (P, u, 2) of the terms of the frames near frame t, if its parts change by steps (P,)."""
        near = self.near[t]
        return self._terms(self.sums[near] + steps[:, None, None] * self.columns[t][parts])[0] - self.terms[near]

    def _drops(self, whole: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
        """Return the drops of the score (...) if the sums (..., 2) of all terms change by (..., 2)."""
        less = whole + changes
        return whole[..., 1] / whole[..., 0] - less[..., 1] / less[..., 0]

    @torch.no_grad()
    def changes(self, frames: torch.Tensor, parts: torch.Tensor | None, fill: torch.Tensor,
                progress: Callable[[int], None] | None = None) -> torch.Tensor:
        """Return the changes (P,) of the map for each mask, as feature_changes."""
        delta = self.features.new_empty(len(frames))
        for t in frames.unique().tolist():
            chosen = (frames == t).nonzero()[:, 0]
            if parts is None:
                masked = self.features.clone()
                masked[t] = fill
                drops = OcclusionPairs(self.relevance, masked).before[None]
            else:
                drops = self._masked_drops(t, parts[chosen], fill)  # (P, T, D)
            delta[chosen] = (drops.abs() - self.before.abs()).abs().sum((1, 2)).to(delta)
            if progress:
                progress(len(chosen))
        return delta

    def _masked_drops(self, t: int, parts: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
        """Return the drops (P, T, D) of each occlusion in the clip with a part of frame t masked."""
        steps = (fill - self.features[t])[parts]  # (P,)
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
        by_mask = steps[:, None, None] * self.columns[t][parts][:, in_t]  # (P, u, H)
        by_occlusion = (self.relevance.empty - self.features[s])[:, None, None] * self.columns[s][:, in_s]  # (D, u, H)
        apart = self.occluded[s][:, in_s].sum(1) + self.terms[shared].sum(0)  # (D, 2)
        together = []
        for some in (self.sums[shared] + by_mask).split(max(1, ROWS // (len(by_occlusion) * len(shared)))):
            together.append(self._terms(some[:, None] + by_occlusion)[0].sum(2))  # (p, D, 2)
        return torch.cat(together) - apart - masked[:, None, in_t].sum(2)
