"""Shapley values of frames as an attribution method; saliency/when/shapley.py has the computation and the sources."""

import torch
from torch import nn

from saliency.attribution import Attribution
from saliency.when.encoded import EncodedClip
from saliency.when.shapley import PAIRS, frame_values


def shapley_frame(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", segment: int | None = None,
                  pairs: int = PAIRS, seed: int = 0) -> Attribution:
    """Compute the Shapley value of each frame; an absent frame shows the background.

    segment: frames per group, whose value its frames share equally. pairs: pairs of random orders for more than 12
    groups. seed: of these orders. The evidence is the value, spread equally over the pixels of a frame, so that it sums
    to S(clip) - S(background). The map is its positive part.
    """
    shapley = frame_values(EncodedClip(model, clip, target, score), segment, pairs, seed)
    height, width = clip.shape[-2:]
    values = shapley.per_frame(len(clip)).to(clip.dtype) / (height * width)  # (T,)
    evidence = values[:, None, None].expand(-1, height, width).clone()
    facts = {"gap": shapley.gap, "largest_error": float(shapley.errors.max())}
    return Attribution(evidence.clamp_min(0), evidence, facts, time_only=True)
