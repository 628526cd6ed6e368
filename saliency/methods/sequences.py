"""Attributions of batches of feature sequences, for methods of features and for TSR, which masks them.

    relevance = prepare(model, features, target)
    maps = relevance(sequences)                # (N, T, D) -> (N, T, D), signed

Each method of features is a function `prepare` that reads the features (T, D) of a clip, fixes all that the method
needs besides the sequences (the baseline, the points of a path, the noise), and returns a Relevance. The map of the
clip is that of the batch `features[None]`. TSR calls it with masked copies of the features, so that a mask changes the
sequence and nothing else.
"""

from collections.abc import Callable, Iterable
from functools import partial, wraps

import torch
from torch import nn

from model.checks import check_clip
from model.contract import encode_clips, frames_are_independent
from saliency.attribution import Attribution
from saliency.gradient import encode_frames, untouched, with_gradients
from saliency.mean_gradient import BATCH, Variant, mean_head_gradient

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


def feature_method(prepare: Callable[..., Relevance]) -> Callable[..., Attribution]:
    """Return the method of features whose map (T, D) of a clip is that of a function `prepare`. It has its options."""

    @wraps(prepare)
    def method(model, clip, target, score="logit", **options):
        features = clip_features(model, clip)
        with untouched(model):
            return Attribution(prepare(model, features, target, score, **options)(features[None])[0])

    return method


def mean_gradients(variants: Callable[..., Iterable[Variant]]) -> Callable[..., Relevance]:
    """Return the function `prepare` of a mean gradient. variants: makes the variants of features (T, D)."""

    @wraps(variants)
    def prepare(model, features, target, score="logit", **options):
        return partial(mean_head_gradient, model, target, score, tuple(variants(features, **options)))

    return prepare


def gradients_of(model: nn.Module, score: Callable[[torch.Tensor], torch.Tensor],
                 sequences: torch.Tensor) -> torch.Tensor:
    """Return the gradients of score(sequences) (N,), by autograd and in batches: (N, T, D) -> (N, T, D)."""
    found = []
    for part in sequences.split(BATCH):
        with with_gradients(model):
            part = part.detach().clone().requires_grad_(True)
            found.append(torch.autograd.grad(score(part).sum(), part)[0])
    return torch.cat(found)
