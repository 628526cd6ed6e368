"""Attributions of whole batches of feature sequences, for methods of features and for TSR, which masks them.

    relevance = load(FEATURE_METHODS["smoothgrad"].sequences)(model, features, target)
    maps = relevance(sequences)                # (N, T, D) -> (N, T, D), signed

Each method of features is a function that reads the features (T, D) of a clip, fixes all that the method needs besides
the sequences (the baseline, the points of a path, the noise), and returns a Relevance. With this function, the map of
the clip is that of the batch `features[None]`. TSR calls it with masked copies of the features, so that a mask changes
the sequence and nothing else.
"""

from collections.abc import Callable

import torch
from torch import nn

from saliency.attribution import Attribution
from saliency.gradient import head_gradient, untouched
from saliency.methods.gradient import clip_features

BATCH = 512  # sequences that go through the head at a time

Relevance = Callable[[torch.Tensor], torch.Tensor]  # sequences (N, T, D) -> signed attributions (N, T, D)


def explain_features(prepare: Callable[..., Relevance], model: nn.Module, clip: torch.Tensor, target: int, score: str,
                     **options) -> Attribution:
    """Return the attribution (T, D) of a clip's features. prepare: the function of a method, as described above."""
    features = clip_features(model, clip)
    with untouched(model):
        return Attribution(prepare(model, features, target, score, **options)(features[None])[0])


def mean_gradient_at(model: nn.Module, target: int, score: str, points: Callable[[torch.Tensor], torch.Tensor],
                     count: int, sequences: torch.Tensor,
                     factors: Callable[[torch.Tensor], torch.Tensor] | None = None) -> torch.Tensor:
    """Return the mean gradient over the points that belong to each sequence: (N, T, D) -> (N, T, D).

    points: (n, T, D) -> (n, count, T, D), the points at which the gradient of each sequence is taken. factors: likewise
    the factor of each gradient, or None for 1.
    """
    means = []
    for part in sequences.split(max(1, BATCH // count)):
        gradients = head_gradient(model, points(part).flatten(0, 1), target, score)  # (n * count, T, D)
        gradients = gradients.unflatten(0, (len(part), count))
        means.append((gradients if factors is None else gradients * factors(part)).mean(1))
    return torch.cat(means)
