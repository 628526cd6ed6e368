"""The gradient of the score, and the gradient times the input."""

from collections.abc import Callable
from functools import partial

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


def gradient_of_sequences(model: nn.Module, features: torch.Tensor, target: int,
                          score: str = "logit") -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the Relevance (saliency/methods/sequences.py) dS/df."""
    return partial(gradients.head_gradient, model, target=target, score=score)


def gradient_x_input_of_sequences(model: nn.Module, features: torch.Tensor, target: int,
                                  score: str = "logit") -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the Relevance f dS/df, in which f is the sequence itself."""
    return lambda sequences: sequences * gradients.head_gradient(model, sequences, target, score)


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
