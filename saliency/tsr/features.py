"""TSR of the features between encoder and head, over any method of features.

    result = feature_rescaling(model, features, target)     # features (T, D) = model.encode(clip[None])[0]
    result.tsr                                              # (T, D)
    result = feature_rescaling(model, features, target, prepare=occlusion_of_sequences)

The relevance is the magnitude of the method's map (T, D), by default |dS/df|, and the second step masks single features
of a frame. The baseline, the points of a path and the noise of the method are those of the unmasked features and stay
fixed. Only the head runs, on large batches of perturbations, whatever the head and the method are. Definition and
source are in saliency/tsr/algorithm.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from runtime.progress import duration
from saliency.fills import FILLS
from saliency.gradient import untouched
from saliency.mean_gradient import BATCH, PLAIN, mean_head_gradient
from saliency.tsr.algorithm import announce, rescale

LONG = 120.0  # seconds of a clip that are announced
TIMED = 64  # sequences of the batch that is timed
REMEDY = "give another --tsr_base, a higher --tsr_quantile, or a shorter clip"

Relevance = Callable[[torch.Tensor], torch.Tensor]  # sequences (N, T, D) -> signed attributions (N, T, D)


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
                      fill: str = "background", score: str = "logit",
                      prepare: Callable[..., Relevance] | None = None) -> FeatureRescaling:
    """Compute TSR of a method for class `target` on the features (T, D) of one clip.

    prepare: the function of the method (saliency/methods/sequences.py), None for the gradient. The other options have
    the meaning that they have in saliency.tsr.temporal_saliency_rescaling. UserError if it would take more than half an
    hour, as occlusion of hundreds of features does.
    """
    with untouched(model):
        relevance = (partial(mean_head_gradient, model, target, score, PLAIN) if prepare is None else
                     prepare(model, features, target, score))
        announce(seconds_per_map(relevance, features), *features.shape, quantile,
                 "every feature of a frame is masked by itself", REMEDY, LONG)
        changes = partial(feature_changes, relevance, features, FILLS[fill](features))
        found = rescale(*features.shape, changes, quantile, "feature", features.device)
    time_delta, time_contribution, important, feature_delta, feature_contribution = (each.cpu() for each in found)
    tsr = time_contribution[:, None] * feature_contribution  # (T, D)
    return FeatureRescaling(time_delta, time_contribution, important, feature_delta, tsr)


def seconds_per_map(relevance: Relevance, features: torch.Tensor) -> float:
    """Return how long a map of features (T, D) takes, in a batch of several if a single one is quick."""
    for count in (1, TIMED):
        sequences = features.repeat(count, 1, 1)
        seconds = duration(partial(relevance, sequences)) / count
        if seconds > 1:
            break
    return seconds


def feature_changes(relevance: Callable[[torch.Tensor], torch.Tensor], features: torch.Tensor, fill: torch.Tensor,
                    frames: torch.Tensor, parts: torch.Tensor | None,
                    progress: Callable[[float], None] = lambda done: None) -> torch.Tensor:
    """Return the summed change of the magnitude of a method's map for each perturbation, (P,).

    relevance: the method, (N, T, D) -> (N, T, D), see saliency/methods/sequences.py. Perturbation p replaces feature
    parts[p] of frame frames[p] by the fill (D,), or all its features if parts is None.
    """
    before = relevance(features[None])[0].abs()
    delta = features.new_empty(len(frames))
    for batch in torch.arange(len(frames), device=features.device).split(BATCH):
        sequences = features.repeat(len(batch), 1, 1)  # (n, T, D)
        masked = slice(None) if parts is None else parts[batch]
        sequences[torch.arange(len(batch)), frames[batch], masked] = fill[masked]
        delta[batch] = (relevance(sequences).abs() - before).abs().sum((1, 2))
        progress(len(batch))
    return delta
