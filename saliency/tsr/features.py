"""TSR of the features between encoder and head.

    result = feature_rescaling(model, features, target)     # features (T, D) = model.encode(clip[None])[0]
    result.tsr                                              # (T, D)

The relevance is |dS/df| (T, D), and the second step masks single features of a frame. Only the head runs, on large
batches of perturbations. Definition and source are in saliency/tsr/algorithm.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from saliency.fills import FILLS
from saliency.gradient import head_gradient, untouched
from saliency.lengths import padded, true_features
from saliency.tsr.algorithm import rescale

BATCH = 512  # sequences that go through the head at a time


@dataclass(frozen=True)
class FeatureRescaling:
    """The result for features (T, D). All tensors are on the CPU.

    time_delta (T,), time_contribution (T,) in 0..1, important (T,) bool: as in saliency.tsr.algorithm.Rescaling.
    feature_delta (T, D): summed change of |dS/df| when a feature of a frame is masked, 0 in frames that are not
    important. tsr (T, D): time contribution times feature contribution.
    """

    time_delta: torch.Tensor
    time_contribution: torch.Tensor
    important: torch.Tensor
    feature_delta: torch.Tensor
    tsr: torch.Tensor


def feature_rescaling(model: nn.Module, features: torch.Tensor, target: int, *, quantile: float = 0.55,
                      fill: str = "background", score: str = "logit", length: int | None = None) -> FeatureRescaling:
    """Compute TSR of the gradient of class `target` on the features (T, D) of one clip.

    The options have the meaning that they have in saliency.tsr.temporal_saliency_rescaling.
    """
    total, features = len(features), features if length is None else true_features(model, features, length)
    changes = partial(feature_changes, model, features, target, FILLS[fill](features), score)
    with untouched(model):
        found = rescale(*features.shape, changes, quantile, "feature", features.device)
    time_delta, time_contribution, important, feature_delta, feature_contribution = (each.cpu() for each in found)
    tsr = time_contribution[:, None] * feature_contribution  # (T, D)
    result = FeatureRescaling(time_delta, time_contribution, important, feature_delta, tsr)
    return padded(result, len(features), total)


def feature_changes(model: nn.Module, features: torch.Tensor, target: int, fill: torch.Tensor, score: str,
                    frames: torch.Tensor, parts: torch.Tensor | None,
                    progress: Callable[[int], None] | None = None) -> torch.Tensor:
    """Return the summed change of |dS/df| for each perturbation, (P,).

    Perturbation p replaces feature parts[p] of frame frames[p] by the fill (D,), or all its features if parts is None.
    """
    relevance = head_gradient(model, features[None], target, score)[0].abs()
    delta = features.new_empty(len(frames))
    for batch in torch.arange(len(frames), device=features.device).split(BATCH):
        sequences = features.repeat(len(batch), 1, 1)  # (n, T, D)
        masked = slice(None) if parts is None else parts[batch]
        sequences[torch.arange(len(batch)), frames[batch], masked] = fill[masked]
        gradients = head_gradient(model, sequences, target, score)
        delta[batch] = (gradients.abs() - relevance).abs().sum((1, 2))
        if progress:
            progress(len(batch))
    return delta
