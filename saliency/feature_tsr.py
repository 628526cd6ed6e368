"""Temporal saliency rescaling of the features between the image network and the LSTM.

    result = feature_rescaling(model, features, target)     # features (T, D) = model.encode(clip[None])[0]
    result.tsr                                              # (T, D)

The relevance here is |dS/df| (T, D), and what is masked in the second step is one feature of one frame. Only the head
runs, on all perturbations in large batches. Definition and source as in saliency/tsr.py.
"""

from dataclasses import dataclass
from functools import partial

import torch

from saliency.gradient import head_gradient, untouched
from saliency.tsr import FILLS, rescale

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
    changes = partial(feature_changes, model, features, target, FILLS[fill](features), score, progress)
    with untouched(model):
        found = rescale(*features.shape, changes, quantile, "feature", features.device)
    time_delta, contribution, important, feature_delta, share = (each.cpu() for each in found)
    return FeatureRescaling(time_delta, contribution, important, feature_delta, contribution[:, None] * share)


def feature_changes(model, features, target, fill, score, progress, frames, parts):
    """Replace feature parts[p], or all where parts is None, of frame frames[p] by the fill (D,).

    Returns the summed change of |dS/df| by each replacement, (P,).
    """
    relevance = head_gradient(model, features[None], target, score)[0].abs()
    delta = features.new_empty(len(frames))
    for batch in torch.arange(len(frames), device=features.device).split(BATCH):
        sequences = features.repeat(len(batch), 1, 1)  # (n, T, D)
        which = slice(None) if parts is None else parts[batch]
        sequences[torch.arange(len(batch)), frames[batch], which] = fill[which]
        gradients = head_gradient(model, sequences, target, score)
        delta[batch] = (gradients.abs() - relevance).abs().sum((1, 2))
        if progress:
            progress(len(batch))
    return delta
