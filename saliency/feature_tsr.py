"""Temporal saliency rescaling of the features between the image network and the LSTM.

    result = feature_rescaling(model, features, target)     # features (T, D) = model.encode(clip[None])[0]
    result.tsr                                              # (T, D)

The relevance here is |dS/df| (T, D), and what is masked in the second step is one feature of one frame. Only the head
runs, on all perturbations in large batches. Definition and source as in saliency/tsr.py.
"""

from dataclasses import dataclass

import torch

from saliency.gradient import head_gradient, untouched
from saliency.tsr import FILLS, UNIMPORTANT, min_max

BATCH = 512  # sequences through the head at a time


@dataclass(frozen=True)
class FeatureRescaling:
    """Tensors on the CPU. time_delta (T,), time_contribution (T,) in 0..1, important (T,) bool, feature_delta (T, D),
    0 in the frames that are not important, tsr (T, D) = time contribution x feature contribution."""

    time_delta: torch.Tensor
    time_contribution: torch.Tensor
    important: torch.Tensor
    feature_delta: torch.Tensor
    tsr: torch.Tensor


def feature_rescaling(model, features, target, *, quantile=0.55, fill="background", score="logit", progress=None):
    """TSR for class `target` on the features (T, D) of one clip; options as in temporal_saliency_rescaling."""
    frames, size = features.shape
    filling = FILLS[fill](features)  # (D,)
    with untouched(model):
        everywhere = torch.ones(frames, size, dtype=torch.bool, device=features.device)
        every = torch.arange(frames, device=features.device)
        time_delta = feature_changes(model, features, target, every, everywhere, filling, score, progress)
        contribution = min_max(time_delta, "no frame changes the feature relevance: time contributions are 0")
        important = contribution > contribution.quantile(quantile)
        where = important.nonzero()[:, 0]
        each = torch.eye(size, dtype=torch.bool, device=features.device).repeat(len(where), 1)  # (frames * D, D)
        delta = feature_changes(
            model, features, target, where.repeat_interleave(size), each, filling, score, progress
        ).view(-1, size)
    feature_delta, share = torch.zeros_like(features), torch.full_like(features, UNIMPORTANT)
    feature_delta[where] = delta
    for t in where.tolist():
        share[t] = min_max(feature_delta[t], f"no feature of frame {t + 1} changes the relevance: contributions are 0")
    results = (time_delta, contribution, important, feature_delta, contribution[:, None] * share)
    return FeatureRescaling(*(result.cpu() for result in results))


def feature_changes(model, features, target, frames, masked, fill, score="logit", progress=None):
    """Replace features masked[p] (D,) bool of frame frames[p] by the fill (D,); the summed change of |dS/df|, (P,)."""
    relevance = head_gradient(model, features[None], target, score)[0].abs()
    delta = features.new_empty(len(frames))
    for part in torch.arange(len(frames)).split(BATCH):
        sequences = features.repeat(len(part), 1, 1)  # (n, T, D)
        rows = torch.arange(len(part))
        sequences[rows, frames[part]] = torch.where(masked[part], fill, sequences[rows, frames[part]])
        gradients = head_gradient(model, sequences, target, score)
        delta[part] = (gradients.abs() - relevance).abs().sum((1, 2))
        if progress:
            progress(len(part))
    return delta
