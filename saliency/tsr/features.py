"""TSR of the features between encoder and head, over any method of features.

    result = feature_rescaling(model, features, target)     # features (T, D) = model.encode(clip[None])[0]
    result.tsr                                              # (T, D)
    result = feature_rescaling(model, features, target, base="integrated_gradients", base_options={"points": 16})

The relevance is the magnitude of the base's map (T, D), by default |dS/df|, and the second step masks single features
of a frame. The baseline, the points of a path and the noise of the base are those of the unmasked features and stay
fixed. Only the head runs, on large batches of perturbations, whatever the head and the base are. Definition and source
are in saliency/tsr/algorithm.py.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from runtime.declare import load
from runtime.errors import UserError
from saliency.fills import FILLS
from saliency.gradient import untouched
from saliency.lengths import padded, true_features
from saliency.methods import FEATURE_BASES, FEATURE_METHODS
from saliency.tsr.algorithm import expected_frames, rescale

BATCH = 512  # sequences that go through the head at a time
LONG, LONGEST = 120.0, 1800.0  # seconds of a clip that are announced, and that are refused


@dataclass(frozen=True)
class FeatureRescaling:
    """The result for features (T, D). All tensors are on the CPU.

    time_delta (T,), time_contribution (T,) in 0..1, important (T,) bool: as in saliency.tsr.algorithm.Rescaling.
    feature_delta (T, D): summed change of the relevance when a feature of a frame is masked, 0 in frames that are not
    important. tsr (T, D): time contribution times feature contribution.
    """

    time_delta: torch.Tensor
    time_contribution: torch.Tensor
    important: torch.Tensor
    feature_delta: torch.Tensor
    tsr: torch.Tensor


def feature_rescaling(model: nn.Module, features: torch.Tensor, target: int, *, quantile: float = 0.55,
                      fill: str = "background", score: str = "logit", length: int | None = None,
                      base: str | None = None, base_options: dict[str, Any] | None = None) -> FeatureRescaling:
    """Compute TSR of a method for class `target` on the features (T, D) of one clip.

    base: a name in FEATURE_BASES, by default the gradient. base_options: its keyword arguments. The other options have
    the meaning that they have in saliency.tsr.temporal_saliency_rescaling. UserError for another base, and if it would
    take more than half an hour, as occlusion of hundreds of features does.
    """
    base = base or "gradient"
    if base not in FEATURE_BASES:
        raise UserError(f"unknown base {base!r} of TSR of features; known are: {', '.join(FEATURE_BASES)}")
    total, features = len(features), features if length is None else true_features(model, features, length)
    with untouched(model):
        prepare = load(FEATURE_METHODS[base].sequences)
        relevance = prepare(model, features, target, score, **(base_options or {}))
        check_time(relevance, features, quantile)
        changes = partial(feature_changes, relevance, features, FILLS[fill](features))
        found = rescale(*features.shape, changes, quantile, "feature", features.device)
    time_delta, time_contribution, important, feature_delta, feature_contribution = (each.cpu() for each in found)
    tsr = time_contribution[:, None] * feature_contribution  # (T, D)
    result = FeatureRescaling(time_delta, time_contribution, important, feature_delta, tsr)
    return padded(result, len(features), total)


def check_time(relevance: Callable, features: torch.Tensor, quantile: float) -> None:
    """Time one map of the base, and warn if all of them take minutes. UserError if they take more than LONGEST."""
    length, size = features.shape
    began = time.monotonic()
    relevance(features[None])
    seconds = (time.monotonic() - began) * (length + expected_frames(length, quantile) * size)
    told = f"TSR of {length} x {size} features by this method takes up to {seconds / 60:.0f} minutes"
    if seconds > LONGEST:
        raise UserError(f"{told}, more than the {LONGEST / 60:.0f} that are allowed; choose another --tsr_base, a "
                        "higher --tsr_quantile or a shorter clip")
    if seconds > LONG:
        warnings.warn(told, stacklevel=3)


def feature_changes(relevance: Callable[[torch.Tensor], torch.Tensor], features: torch.Tensor, fill: torch.Tensor,
                    frames: torch.Tensor, parts: torch.Tensor | None,
                    progress: Callable[[int], None] | None = None) -> torch.Tensor:
    """Return the summed change of the magnitude of the base's map for each perturbation, (P,).

    relevance: the base, (N, T, D) -> (N, T, D), see saliency/methods/sequences.py. Perturbation p replaces feature
    parts[p] of frame frames[p] by the fill (D,), or all its features if parts is None.
    """
    before = relevance(features[None])[0].abs()
    delta = features.new_empty(len(frames))
    for batch in torch.arange(len(frames), device=features.device).split(BATCH):
        sequences = features.repeat(len(batch), 1, 1)  # (n, T, D)
        masked = slice(None) if parts is None else parts[batch]
        sequences[torch.arange(len(batch)), frames[batch], masked] = fill[masked]
        delta[batch] = (relevance(sequences).abs() - before).abs().sum((1, 2))
        if progress:
            progress(len(batch))
    return delta
