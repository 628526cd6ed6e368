"""Gradients averaged over variants of the input, which SmoothGrad, integrated gradients, GradientSHAP and TSR share.

    mean_gradient(model, clip, target, score, path(clip))                 # (T, C, H, W), signed

x is a clip (T, C, H, W) or the features of its frames (T, D). With n variants, the attribution is

    A(x) = mean over the variants of (x - origin) * dS/dx at the point anchor + share * (x - anchor) + noise

in which the factor x - origin is left out if there is no origin. The functions in saliency/methods/gradients.py
make the variants of a clip. They stay the same while TSR masks parts of x, so that a mask changes the points and the
factors in its own place only.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from saliency.gradient import frame_gradient, head_gradient

BATCH = 512  # sequences that go through the head at a time


class Variant(NamedTuple):
    """One point for each input x, and the factor of the gradient there. The default is x itself, with a factor of 1.

    anchor, origin: (C, H, W) or (D,), the same for all frames. noise: of the shape of x.
    """

    share: float = 1.0
    anchor: torch.Tensor | None = None
    noise: torch.Tensor | None = None
    origin: torch.Tensor | None = None

    def point(self, x: torch.Tensor, times: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """Return the points of inputs: all frames of x, or frames (b, C, H, W) that stand at `times` (b,) in it."""
        if self.anchor is not None:
            x = self.anchor + self.share * (x - self.anchor)
        return x if self.noise is None else x + self.noise[times]

    def weighted(self, gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the gradients at the points of x (..., *x.shape), times the factor."""
        return gradient if self.origin is None else gradient * (x - self.origin)


PLAIN = (Variant(),)  # the gradient


def mean_gradient(model: nn.Module, clip: torch.Tensor, target: int, score: str,
                  variants: Iterable[Variant]) -> torch.Tensor:
    """Return the attribution of one normalised clip, signed: (T, C, H, W) -> (T, C, H, W)."""
    total, count = torch.zeros_like(clip), 0
    for variant in variants:
        total += variant.weighted(frame_gradient(model, variant.point(clip), target, score), clip)
        count += 1
    return total / count


def mean_head_gradient(model: nn.Module, target: int, score: str, variants: Sequence[Variant],
                       sequences: torch.Tensor) -> torch.Tensor:
    """Return the attributions of sequences of features, by the head alone and in batches: (N, T, D) -> (N, T, D)."""
    found = []
    for part in sequences.split(max(1, BATCH // len(variants))):
        points = torch.stack([variant.point(part) for variant in variants])  # (variants, n, T, D)
        gradients = head_gradient(model, points.flatten(0, 1), target, score).view_as(points)
        found.append(sum(variant.weighted(gradient, part) for variant, gradient in
                         zip(variants, gradients, strict=True)) / len(variants))
    return torch.cat(found)
