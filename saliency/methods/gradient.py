"""The gradient of the score, and the gradient times the input."""

import torch
from torch import nn

from saliency import gradient as gradients
from saliency.attribution import Attribution
from saliency.methods.sequences import MeanGradient, clip_features


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


def gradient_of_sequences(model: nn.Module, features: torch.Tensor, target: int, score: str = "logit") -> MeanGradient:
    """Return the Relevance dS/df (saliency/methods/sequences.py)."""
    return MeanGradient(model, target, score, itself)


def gradient_x_input_of_sequences(model: nn.Module, features: torch.Tensor, target: int,
                                  score: str = "logit") -> MeanGradient:
    """Return the Relevance f dS/df, in which f is the sequence."""
    return MeanGradient(model, target, score, itself, factors=itself)


def itself(sequences: torch.Tensor) -> torch.Tensor:
    """Return the sequences as their only points, (N, T, D) -> (N, 1, T, D)."""
    return sequences[:, None]
