"""The gradient of the score, and the gradient times the input."""

import torch
from torch import nn

from model.checks import check_clip
from model.contract import encode_clips, frames_are_independent
from saliency import gradient as gradients
from saliency.attribution import Attribution


def gradient(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> Attribution:
    """Compute the maximum over the channels of |dS/dx| (Simonyan et al. 2014)."""
    return Attribution(gradients.drawn_map(gradients.frame_gradient(model, clip, target, score)))


def gradient_x_input(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> Attribution:
    """Compute x dS/dx (Shrikumar et al. 2016). The map is the largest magnitude over the channels."""
    return signed(gradients.frame_gradient(model, clip, target, score) * clip)


def signed(attributions: torch.Tensor, facts: dict[str, float] | None = None) -> Attribution:
    """Return the Attribution of signed values per channel (T, C, H, W).

    The map is the largest magnitude over the channels; the evidence is the sum over the channels.
    """
    return Attribution(gradients.drawn_map(attributions), attributions.sum(1), facts or {})


def feature_gradient(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> Attribution:
    """Compute dS/df, (T, D)."""
    return Attribution(gradients.feature_gradient(model, clip, target, score))


def feature_gradient_x_input(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> Attribution:
    """Compute f dS/df, (T, D)."""
    return Attribution(gradients.feature_gradient(model, clip, target, score) * clip_features(model, clip))


@torch.no_grad()
def clip_features(model: nn.Module, clip: torch.Tensor) -> torch.Tensor:
    """Return the features of a clip: (T, C, H, W) -> (T, D).

    Frames are encoded together unless the model states that they are independent.
    """
    check_clip(clip)
    with gradients.untouched(model):
        if frames_are_independent(model, clip):
            return gradients.encode_frames(model, clip)
        return encode_clips(model, clip[None])[0]
