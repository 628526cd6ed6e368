"""TSR by its definition: one map of the whole perturbed clip for each perturbation.

This loop explains models that combine frames before the head, and rescales the maps that have no fast arithmetic. The
tests compare the fast arithmetic with it.
"""

from collections.abc import Callable

import torch

from runtime.progress import duration
from saliency.patches import box_masks


class LiteralRelevance:
    """One normalised clip (T, C, H, W) and a map of clips, with the interface of FactoredRelevance.

    relevance: the map that is rescaled, of a clip: (T, C, H, W) -> (T, ...), not negative.
    """

    passes = None  # of frames through the encoder, which only the fast arithmetic counts

    def __init__(self, clip: torch.Tensor, relevance: Callable[[torch.Tensor], torch.Tensor]):
        self.clip, self.relevance = clip, relevance
        self.before = relevance(clip)

    def seconds(self, fill: torch.Tensor) -> float:
        """Return how long the map of a clip takes in which one frame shows the fill."""
        masked = self.clip.clone()
        masked[len(masked) // 2] = fill
        return duration(lambda: self.relevance(masked))

    def changes(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                progress: Callable[[float], None] = lambda done: None) -> tuple[torch.Tensor, float]:
        """Replace box p of frame frames[p] by the fill, for each p by itself, as in FactoredRelevance.changes.

        Returns the changes (P,) and the estimate of their error, which is 0.
        """
        delta = self.clip.new_empty(len(frames))
        masks = box_masks(boxes, self.clip.shape[-2:])
        for p, t in enumerate(frames.tolist()):
            masked = self.clip.clone()
            masked[t] = torch.where(masks[p], fill, masked[t])
            delta[p] = (self.relevance(masked) - self.before).abs().sum()
            progress(1)
        return delta, 0.0
