"""TSR by its definition: one gradient of the whole perturbed clip for each perturbation.

This loop explains models that combine frames before the head. The tests compare the fast arithmetic with it.
"""

import time
from collections.abc import Callable

import torch
from torch import nn

from saliency.gradient import frame_gradient
from saliency.tsr.patches import box_masks


class LiteralRelevance:
    """One normalised clip (T, C, H, W) and one model, with the interface of FactoredRelevance.

    `seconds` is the time of the first pass, forward and backward.
    """

    amp = False

    def __init__(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit"):
        self.model, self.clip, self.target, self.score = model, clip, target, score
        self.forward_passes = self.backward_passes = 0
        start = time.perf_counter()
        self.relevance = self._relevance(clip)
        self.seconds = time.perf_counter() - start

    def _relevance(self, clip: torch.Tensor) -> torch.Tensor:
        """Return |dS/dx| of a clip, (T, C, H, W)."""
        self.forward_passes += len(clip)
        self.backward_passes += len(clip)
        return frame_gradient(self.model, clip, self.target, self.score).abs()

    def changes(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                progress: Callable[[int], None] | None = None) -> tuple[torch.Tensor, float]:
        """Replace box p of frame frames[p] by the fill, for each p by itself, as in FactoredRelevance.changes.

        Returns the changes (P,) and the bound of their error, which is 0.
        """
        delta = self.clip.new_empty(len(frames))
        masks = box_masks(boxes, self.clip.shape[-2:])
        for p, t in enumerate(frames.tolist()):
            masked = self.clip.clone()
            masked[t] = torch.where(masks[p], fill, masked[t])
            delta[p] = (self._relevance(masked) - self.relevance).abs().sum()
            if progress:
                progress(1)
        return delta, 0.0
