"""TSR of features through the head `change`: what a mask of one feature leaves as it is, is computed once.

    masks = ChangeHeadMasks(relevance, features)
    changes = masks.changes(frames, parts, fill, progress)       # as saliency.tsr.features.feature_changes

The score of this head with a linear classifier is S = N / Z + constant, with N = sum of E_s y_s and Z = sum of E_s over
the frames s; h_s is the state of a frame, E_s = exp(gate(h_s)), and y_s = v h_s for the classifier's weights v. The
gradient with respect to a state is E_s / Z (v + (y_s - N / Z) gate'(h_s)). A mask of a feature of frame t changes the
states of the few frames that read frame t, by a multiple of a column of the convolution. For every other frame it
changes the two numbers 1 / Z and N / Z^2, so the gradients of these frames are combinations of two fixed ones. The way
back through the convolution is linear, so it is taken once for the sum over all points.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import one_hot

from model.heads.change import KERNEL, LAG
from saliency.methods.sequences import MeanGradient


def has_change_head(model: nn.Module) -> bool:
    """Return whether a model is a CNN-LSTM with the head `change`, one convolution and a linear classifier."""
    config = getattr(model, "config", None)
    found = isinstance(config, dict) and config.get("head") == "change"
    return found and config["num_layers"] == 1 and config["classifier_size"] == 0


class ChangeHeadMasks:
    """The head `change` at all points that a MeanGradient takes of a clip's features (T, D).

    n points, of which each has states (n, T, H). reads (T, KERNEL, T): how often a tap of the convolution at a frame
    reads each frame, 1 for the frame and -1 for that which is subtracted from it.
    """

    def __init__(self, relevance: MeanGradient, features: torch.Tensor):
        head, classifier = relevance.model.head, relevance.model.classifier[-1]
        self.relevance, self.features = relevance, features
        self.kernel, self.bias = head.convolutions[0].weight.permute(2, 0, 1), head.convolutions[0].bias  # (5, H, D)
        self.gate, self.v = head.gate, (classifier.weight - classifier.weight.mean(0))[relevance.target]  # (H,)
        self.reads = frames_read(len(features)).to(features)
        with torch.no_grad():
            self.points = relevance.points(features[None])[0]  # (n, T, D)
            self.before = relevance(features[None])[0].abs()  # (T, D)
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

    @torch.no_grad()
    def changes(self, frames: torch.Tensor, parts: torch.Tensor | None, fill: torch.Tensor,
                progress: Callable[[int], None] | None = None) -> torch.Tensor:
        """Return the changes (P,) of the map for each mask, as feature_changes."""
        delta = self.features.new_empty(len(frames))
        for t in frames.unique().tolist():
            chosen = (frames == t).nonzero()[:, 0]
            masked = self.features.clone()
            masked[t] = fill
            maps = self.relevance(masked[None]) if parts is None else self._maps(t, parts[chosen], masked)  # (P, T, D)
            delta[chosen] = (maps.abs() - self.before).abs().sum((1, 2))
            if progress:
                progress(len(chosen))
        return delta

    def _maps(self, t: int, parts: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        """Return the maps (P, T, D) of the clip with each of the parts of frame t masked. masked (T, D): frame t is."""
        rows, factors = torch.arange(len(parts)), self.relevance.factors
        if factors is None or factors(self.features[None]).shape[1] == 1:
            maps = self._mean_gradients(t, parts, masked, slice(None))
            if factors is not None:
                own = factors(masked[None])[0, 0, t, parts]
                at_mask = maps[rows, t, parts] * own
                maps = maps * factors(self.features[None])[0, 0]
                maps[rows, t, parts] = at_mask
            return maps
        usual, changed = factors(self.features[None])[0], factors(masked[None])[0]  # (n, T, D)
        maps = 0
        for point, (factor, other) in enumerate(zip(usual, changed, strict=True)):
            gradients = self._mean_gradients(t, parts, masked, slice(point, point + 1))
            at_mask = gradients[rows, t, parts] * other[t, parts]
            gradients *= factor
            gradients[rows, t, parts] = at_mask
            maps = maps + gradients / len(usual)
        return maps

    def _mean_gradients(self, t: int, parts: torch.Tensor, masked: torch.Tensor, some: slice) -> torch.Tensor:
        """Return the mean over some of the points of the gradients (P, T, D) with each of the parts masked."""
        near = self.reads[:, :, t].any(1)  # (T,), the frames whose states change; there are u of them
        columns = torch.einsum("uk,khd->duh", self.reads[near][:, :, t], self.kernel[:, :, parts])  # (P, u, H)
        steps = (self.relevance.points(masked[None])[0] - self.points)[some, t][:, parts]  # (n, P)
        mean_near, scales = 0, []
        for a, step in enumerate(steps, some.start or 0):
            sums = self.sums[a, near] + step[:, None, None] * columns  # (P, u, H)
            weight, value, slope = self._gated(sums, self.shift[a])
            old, new = self.weight[a], weight
            z = old.sum() + (new - old[near]).sum((1, 2))  # (P,)
            score = ((old * self.value[a]).sum() + (new * value - (old * self.value[a])[near]).sum((1, 2))) / z
            state_slopes = self.v + (value - score[:, None, None]) * slope
            mean_near = mean_near + (sums > 0) * weight / z[:, None, None] * state_slopes / len(steps)
            scales.append(torch.stack([1 / z, -score / z], 1) / len(steps))
        far = self.fixed[some].clone()  # (n, 2, T, H)
        far[:, :, near] = 0
        back = self._through_convolution(far.flatten(0, 1), slice(None)).flatten(1)  # (2 n, T D)
        gradients = torch.stack(scales, 1).flatten(1) @ back  # (P, T D)
        return gradients.unflatten(1, self.features.shape) + self._through_convolution(mean_near, near)

    def _through_convolution(self, slopes: torch.Tensor, frames: slice | torch.Tensor) -> torch.Tensor:
        """Return the gradients (P, T, D) of the features, given those (P, u, H) of the sums at some frames."""
        taps = torch.einsum("puh,khd->pukd", slopes, self.kernel)
        return torch.einsum("pukd,ukt->ptd", taps, self.reads[frames])


def frames_read(length: int) -> torch.Tensor:
    """Return what the taps of the convolution read, (T, KERNEL, T), see ChangeHeadMasks."""
    middle = torch.arange(length)[:, None] + torch.arange(KERNEL) - KERNEL // 2
    place = middle.clamp(0, length - 1)  # (T, KERNEL), with the ends repeated
    return one_hot(place, length) - one_hot((place - LAG).clamp_min(0), length)
