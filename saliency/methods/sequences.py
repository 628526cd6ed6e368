"""Attributions of whole batches of feature sequences, for methods of features and for TSR, which masks them.

    relevance = load(FEATURE_METHODS["smoothgrad"].sequences)(model, features, target)
    maps = relevance(sequences)                # (N, T, D) -> (N, T, D), signed

Each method of features is a function that reads the features (T, D) of a clip, fixes all that the method needs besides
the sequences (the baseline, the points of a path, the noise), and returns a Relevance. With this function, the map of
the clip is that of the batch `features[None]`. TSR calls it with masked copies of the features, so that a mask changes
the sequence and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from model.checks import check_clip
from model.contract import encode_clips, frames_are_independent
from saliency.attribution import Attribution
from saliency.gradient import encode_frames, head_gradient, untouched, with_gradients

BATCH = 512  # sequences that go through the head at a time

Relevance = Callable[[torch.Tensor], torch.Tensor]  # sequences (N, T, D) -> signed attributions (N, T, D)


@torch.no_grad()
def clip_features(model: nn.Module, clip: torch.Tensor) -> torch.Tensor:
    """Return the features of a clip: (T, C, H, W) -> (T, D).

    Frames are encoded together unless the model states that they are independent.
    """
    check_clip(clip)
    with untouched(model):
        if frames_are_independent(model, clip):
            return encode_frames(model, clip)
        return encode_clips(model, clip[None])[0]


def explain_features(prepare: Callable[..., Relevance], model: nn.Module, clip: torch.Tensor, target: int, score: str,
                     **options) -> Attribution:
    """Return the attribution (T, D) of a clip's features. prepare: the function of a method, as described above."""
    features = clip_features(model, clip)
    with untouched(model):
        return Attribution(prepare(model, features, target, score, **options)(features[None])[0])


def slopes_of(model: nn.Module, score: Callable[[torch.Tensor], torch.Tensor], sequences: torch.Tensor) -> torch.Tensor:
    """Return the slopes of score(sequences) (N,), by autograd and in batches: (N, T, D) -> (N, T, D)."""
    found = []
    for part in sequences.split(BATCH):
        with with_gradients(model):
            part = part.detach().clone().requires_grad_(True)
            found.append(torch.autograd.grad(score(part).sum(), part)[0])
    return torch.cat(found)


@dataclass(frozen=True)
class MeanGradient:
    """The Relevance of methods that take the mean of gradients, each times a factor, at points that a sequence gives.

    points: (n, T, D) -> (n, count, T, D), the points of each sequence. factors: likewise the factors of the gradients,
    (n, count, T, D), or (n, 1, T, D) if they are the same at all points; None for 1. Both treat each number of a
    sequence by itself, so that a mask of one feature changes these numbers of the points and factors alone.
    """

    model: nn.Module
    target: int
    score: str
    points: Callable[[torch.Tensor], torch.Tensor]
    count: int = 1
    factors: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __call__(self, sequences: torch.Tensor) -> torch.Tensor:
        """Return the attributions of sequences, (N, T, D) -> (N, T, D)."""
        found = []
        for part in sequences.split(max(1, BATCH // self.count)):
            gradients = head_gradient(self.model, self.points(part).flatten(0, 1), self.target, self.score)
            gradients = gradients.unflatten(0, (len(part), self.count))  # (n, count, T, D)
            factors = None if self.factors is None else self.factors(part)
            if factors is None:
                found.append(gradients.mean(1))
            elif factors.shape[1] == 1:
                found.append(gradients.mean(1) * factors[:, 0])
            else:
                found.append((gradients * factors).mean(1))
        return torch.cat(found)
