"""TSR by its definition: one map of the whole perturbed clip for each perturbation.

This loop explains models that combine frames before the head. The tests compare the fast arithmetic with it.
"""

import time

import torch
from torch import nn

from saliency.patches import box_masks
from saliency.tsr.bases import Base, GradientBase
from saliency.tsr.progress import SILENT, Progress


class LiteralRelevance:
    """One normalised clip (T, C, H, W), one model and one base, with the interface of FactoredRelevance.

    base: the gradient if None. `seconds` is the time of the first map.
    """

    amp = False

    def __init__(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
                 base: Base | None = None):
        self.model, self.clip, self.target, self.score = model, clip, target, score
        self.base = base or GradientBase()
        self.forward_passes = self.backward_passes = 0
        start = time.perf_counter()
        self.relevance = self._relevance(clip)
        self.seconds = time.perf_counter() - start

    def _relevance(self, clip: torch.Tensor) -> torch.Tensor:
        """Return the map of a clip, (T, C, H, W) or (T, H, W)."""
        forward, backward = self.base.passes(len(clip))
        self.forward_passes += forward
        self.backward_passes += backward
        return self.base.relevance(self.model, clip, self.target, self.score)

    def changes(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                progress: Progress = SILENT) -> tuple[torch.Tensor, float]:
        """Replace box p of frame frames[p] by the fill, for each p by itself, as in FactoredRelevance.changes.

        Returns the changes (P,) and the bound of their error, which is 0.
        """
        delta = self.clip.new_empty(len(frames))
        masks = box_masks(boxes, self.clip.shape[-2:])
        for p, t in enumerate(frames.tolist()):
            masked = self.clip.clone()
            masked[t] = torch.where(masks[p], fill, masked[t])
            delta[p] = (self._relevance(masked) - self.relevance).abs().sum()
            progress(1)
        return delta, 0.0
