"""TSR of features through the head `change`: what a mask of one feature leaves as it is, is computed once.

    masks = ChangeHeadMasks(relevance, features)
    changes = masks.changes(frames, parts, fill, progress)       # as saliency.tsr.features.feature_changes

The score of this head with a linear classifier is S = N / Z + constant, with N = sum of E_s y_s and Z = sum of E_s over
the frames s; h_s is the state of a frame, E_s = exp(gate(h_s)), and y_s = v h_s for the classifier's weights v. The
gradient with respect to a state is E_s / Z (v + (y_s - N / Z) gate'(h_s)). A mask of a feature of frame t changes the
states of the few frames that read frame t, by a multiple of a column of the convolution. For every other frame it
changes the two numbers 1 / Z and N / Z^2, so the gradients of these frames are combinations of two fixed ones. The way
back through the convolution is linear, so it is taken once for the sum over all points. If the points have different
factors, it is taken for each point, but from the few frames to those that they read.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.functional import one_hot

from model.heads.change import KERNEL, LAG
from saliency.methods.sequences import MeanGradient
from saliency.tsr.masks import GradientMasks


def has_change_head(model: nn.Module) -> bool:
    """Return whether a model is a CNN-LSTM with the head `change`, one convolution and a linear classifier."""
    config = getattr(model, "config", None)
    found = isinstance(config, dict) and config.get("head") == "change"
    return found and config["num_layers"] == 1 and config["classifier_size"] == 0


class ChangeHeadMasks(GradientMasks):
    """The head `change` at all points that a MeanGradient takes of a clip's features (T, D).

    n points, of which each has states (n, T, H). reads (T, KERNEL, T): how often a tap of the convolution at a frame
    reads each frame, 1 for the frame and -1 for that which is subtracted from it.
    """

    @torch.no_grad()
    def __init__(self, relevance: MeanGradient, features: torch.Tensor):
        super().__init__(relevance, features)
        head, classifier = relevance.model.head, relevance.model.classifier[-1]
        self.kernel, self.bias = head.convolutions[0].weight.permute(2, 0, 1), head.convolutions[0].bias  # (5, H, D)
        self.gate, self.v = head.gate, (classifier.weight - classifier.weight.mean(0))[relevance.target]  # (H,)
        self.reads = frames_read(len(features)).to(features)
        taps = torch.einsum("ukt,ntd->nukd", self.reads, self.points)  # (n, T, 5, D), the changes that taps read
        self.sums = torch.einsum("nukd,khd->nuh", taps, self.kernel) + self.bias  # before the ReLU
        self.shift = self.gate(self.sums.relu()).amax(1, keepdim=True)  # (n, 1, 1), keeps exp small
        self.weight, self.value, self.slope = self._gated(self.sums, self.shift)
        on = (self.sums > 0).to(features)
        self.fixed = torch.stack([on * self.weight * (self.v + self.value * self.slope),
                                  on * self.weight * self.slope], 1)  # (n, 2, T, H)

    def _gated(self, sums: torch.Tensor, shift: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return E_s and y_s (..., 1), and gate'(h_s) (..., H), of states before the ReLU (..., H)."""
        states, (first, _, last) = sums.relu(), self.gate
        bent = first(states).tanh()
        slope = ((1 - bent ** 2) * last.weight[0]) @ first.weight
        return (last(bent) - shift).exp(), (states @ self.v)[..., None], slope

    def weighted_gradients(self, t: int, parts: torch.Tensor, steps: torch.Tensor, weights: torch.Tensor | None,
                           own: torch.Tensor | None) -> torch.Tensor:
        near = self.reads[:, :, t].any(1).nonzero()[:, 0]  # (u,), the frames whose states change
        columns = torch.einsum("uk,khd->duh", self.reads[near][:, :, t], self.kernel[:, :, parts])  # (P, u, H)
        slopes, scales = zip(*(self._state_gradients(a, near, step[:, None, None] * columns)
                               for a, step in enumerate(steps)), strict=True)
        found = self._far_gradients(near, torch.stack(scales, 1), t, parts, weights, own)
        if weights is None:
            slopes = [sum(slopes)]
        rows = torch.arange(len(parts))
        for s, readers, matrix in self._matrices(near):
            for a, slope in enumerate(slopes):
                gradients = slope[:, readers].flatten(1) @ matrix  # (P, D)
                if s == t and own is not None:
                    found[rows, t, parts] += own[a] * gradients[rows, parts]
                found[:, s] += gradients if weights is None else gradients.mul_(weights[a, s])
        return found / len(steps)

    def _state_gradients(self, a: int, near: torch.Tensor, change: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the gradients of the sums (P, u, H) near a mask at point a, and 1 / Z and -N / Z^2, (P, 2).

        change (P, u, H): of the sums by the masks.
        """
        sums = self.sums[a, near] + change
        weight, value, slope = self._gated(sums, self.shift[a])
        old, old_near = self.weight[a], self.weight[a, near]
        z = old.sum() + (weight - old_near).sum((1, 2))  # (P,)
        score = ((old * self.value[a]).sum() + (weight * value - old_near * self.value[a, near]).sum((1, 2))) / z
        share = weight / z[:, None, None]  # (P, u, 1)
        slope *= (value - score[:, None, None]) * share
        slope += self.v * share
        return slope.mul_(sums > 0), torch.stack([1 / z, -score / z], 1)

    def _far_gradients(self, near: torch.Tensor, scales: torch.Tensor, t: int, parts: torch.Tensor,
                       weights: torch.Tensor | None, own: torch.Tensor | None) -> torch.Tensor:
        """Return the sum over the points of the weighted gradients (P, T, D) through the states of all other frames.

        scales (P, n, 2): the factors of the two gradients that are fixed.
        """
        fixed = self.fixed.clone()  # (n, 2, T, H)
        fixed[:, :, near] = 0
        taps = torch.einsum("nguh,khd->ngukd", fixed, self.kernel)
        back = torch.einsum("ngukd,ukt->ngtd", taps, self.reads)
        by_weight = back if weights is None else back * weights[:, None]
        found = scales.flatten(1) @ by_weight.flatten(0, 1).flatten(1)  # (P, T D)
        found = found.unflatten(1, self.features.shape)
        if own is not None:
            rows, at_mask = torch.arange(len(parts)), back[:, :, t, parts]  # (n, 2, P)
            found[rows, t, parts] += torch.einsum("ap,pag,agp->p", own, scales, at_mask)
        return found

    def _matrices(self, near: torch.Tensor) -> Iterator[tuple[int, slice, torch.Tensor]]:
        """Yield the frames s that the sums of the frames `near` read, a slice of `near`, and a matrix (m H, D).

        The matrix takes the gradients of the m sums in the slice to those of the features of frame s.
        """
        reads = self.reads[near]  # (u, KERNEL, T)
        for s in reads.any(0).any(0).nonzero()[:, 0].tolist():
            readers = reads[:, :, s].any(1).nonzero()[:, 0]
            readers = slice(int(readers[0]), int(readers[-1]) + 1)
            yield s, readers, torch.einsum("uk,khd->uhd", reads[readers, :, s], self.kernel).flatten(0, 1)


def frames_read(length: int) -> torch.Tensor:
    """Return what the taps of the convolution read, (T, KERNEL, T), see ChangeHeadMasks."""
    middle = torch.arange(length)[:, None] + torch.arange(KERNEL) - KERNEL // 2
    place = middle.clamp(0, length - 1)  # (T, KERNEL), with the ends repeated
    return one_hot(place, length) - one_hot((place - LAG).clamp_min(0), length)
