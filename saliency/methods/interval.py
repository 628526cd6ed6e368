"""The effect of all intervals of frames as an attribution method; saliency/when/intervals.py has the computation."""

import torch
from torch import nn

from saliency.attribution import Attribution
from saliency.when.encoded import EncodedClip
from saliency.when.intervals import intervals, mean_effect


def interval(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", change: str = "background",
             segment: int | None = None) -> Attribution:
    """Compute, for each frame, the mean effect per frame of changing the intervals that contain it.

    change: a name in saliency.when.intervals.CHANGES: the frames of an interval are absent, stand still, or run
    backwards. segment: frames per group, whose multiples are the ends of the intervals. The map is the mean magnitude
    of the effects, because a change may lower the score or raise it; the evidence is the mean drop. The values of a
    frame are spread equally over its pixels.
    """
    found = intervals(EncodedClip(model, clip, target, score), segment)
    height, width = clip.shape[-2:]

    def spread(effects: torch.Tensor) -> torch.Tensor:
        values = mean_effect(effects, found.segment, len(clip)).to(clip.dtype) / (height * width)  # (T,)
        return values[:, None, None].expand(-1, height, width).clone()

    return Attribution(spread(found.drop[change].abs()), spread(found.drop[change]), time_only=True)
