"""TSR of features by masks of single features: the part that is the same for all heads and bases.

    masks = LSTMMasks(relevance, features)                       # or another subclass of Masks
    changes = masks.changes(frames, parts, fill, progress)       # as saliency.tsr.features.feature_changes

Masks takes the masks frame by frame. GradientMasks is for the mean of gradients at many points, where a mask of one
feature changes one number of each point and of each factor. A subclass knows how the gradients of a head follow.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

from saliency.methods.sequences import MeanGradient

MASKS = 300  # that are computed at a time


class Masks(ABC):
    """Masks of the features (T, D) of one clip, and how a base's map changes with them."""

    def __init__(self, features: torch.Tensor):
        self.features = features

    @abstractmethod
    def frame_changes(self, frames: torch.Tensor, fill: torch.Tensor,
                      progress: Callable[[int], None]) -> torch.Tensor:
        """Return the summed changes of the map, (P,), if all features of each of the frames (P,) become the fill."""

    @abstractmethod
    def part_changes(self, t: int, parts: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        """Return the summed changes of the map, (P,), for the masks of some parts of frame t.

        masked (T, D): the features with all parts of frame t masked.
        """

    @torch.no_grad()
    def changes(self, frames: torch.Tensor, parts: torch.Tensor | None, fill: torch.Tensor,
                progress: Callable[[int], None] | None = None) -> torch.Tensor:
        """Return the changes (P,) of the map for each mask, as feature_changes."""
        progress = progress or (lambda count: None)
        if parts is None:
            return self.frame_changes(frames, fill, progress)
        delta = self.features.new_zeros(len(frames))
        for t in frames.unique().tolist():
            masked, chosen = frame_masked(self.features, t, fill), (frames == t).nonzero()[:, 0]
            effective = chosen[(masked != self.features)[t, parts[chosen]]]  # the others change nothing
            for some in effective.split(MASKS):
                delta[some] = self.part_changes(t, parts[some], masked)
            progress(len(chosen))
        return delta


class GradientMasks(Masks):
    """The points (n, T, D) that a MeanGradient takes of a clip's features (T, D), and its map `before` any mask."""

    def __init__(self, relevance: MeanGradient, features: torch.Tensor):
        super().__init__(features)
        self.relevance = relevance
        self.points = relevance.points(features[None])[0]
        self.before = relevance(features[None])[0].abs()

    @abstractmethod
    def weighted_gradients(self, t: int, parts: torch.Tensor, steps: torch.Tensor, weights: torch.Tensor | None,
                           own: torch.Tensor | None) -> torch.Tensor:
        """Return the mean over the points of their weighted gradients (P, T, D), one row for each mask.

        Mask p adds steps[a, p] to feature parts[p] of frame t of point a. weights (n, T, D): of the gradients, 1 if
        None. own (n, P): added to the weights of the masked feature; None if weights is None.
        """

    def frame_changes(self, frames: torch.Tensor, fill: torch.Tensor,
                      progress: Callable[[int], None]) -> torch.Tensor:
        delta = self.features.new_empty(len(frames))
        for p, t in enumerate(frames.tolist()):
            delta[p] = self._change(self.relevance(frame_masked(self.features, t, fill)[None]))
            progress(1)
        return delta

    def part_changes(self, t: int, parts: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        return self._change(self._maps(t, parts, masked))

    def _change(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the summed changes (P,) of the map in maps (P, T, D)."""
        return (maps.abs() - self.before).abs().sum((1, 2))

    def _maps(self, t: int, parts: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        """Return the maps (P, T, D) of the clip with each of the parts of frame t masked. masked (T, D): frame t is."""
        steps = (self.relevance.points(masked[None])[0] - self.points)[:, t, parts]  # (n, P)
        if self.relevance.factors is None:
            return self.weighted_gradients(t, parts, steps, None, None)
        usual = self.relevance.factors(self.features[None])[0]  # (n, T, D), or (1, T, D) for the same factors
        changed = self.relevance.factors(masked[None])[0, :, t, parts]  # (n, P) or (1, P)
        if len(usual) > 1:
            return self.weighted_gradients(t, parts, steps, usual, changed - usual[:, t, parts])
        maps, rows = self.weighted_gradients(t, parts, steps, None, None), torch.arange(len(parts))
        at_mask = maps[rows, t, parts] * changed[0]
        maps *= usual[0]
        maps[rows, t, parts] = at_mask
        return maps


def frame_masked(features: torch.Tensor, t: int, fill: torch.Tensor) -> torch.Tensor:
    """Return a copy of the features (T, D) with frame t replaced by the fill (D,)."""
    masked = features.clone()
    masked[t] = fill
    return masked
