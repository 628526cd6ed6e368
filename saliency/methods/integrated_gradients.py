"""Integrated gradients along the straight path from the background (Sundararajan et al. 2017)."""

import torch
from torch import nn

from model.contract import class_scores
from saliency.attribution import Attribution
from saliency.fills import background
from saliency.gradient import frame_gradient, untouched
from saliency.methods.gradient import signed
from saliency.methods.sequences import MeanGradient, explain_features
from saliency.scores import target_score

POINTS = 32


def shares(points: int = POINTS) -> tuple[float, ...]:
    """Return how far along the path each point lies: the midpoints of `points` equal parts of 0..1."""
    return tuple((point + 0.5) / points for point in range(points))


def integrated_gradients(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
                         points: int = POINTS) -> Attribution:
    """Compute (x - background) times the mean gradient along the path from the background to the clip.

    points: the path is cut into as many equal parts, and the gradient is taken at their midpoints.
    facts["completeness_gap"]: |sum of the attributions - (S(clip) - S(background))| / |S(clip) - S(background)|. It is
    0 for an exact integral, and NaN if the two scores are equal.
    """
    baseline = background(clip).expand_as(clip)
    total = torch.zeros_like(clip)
    for share in shares(points):
        total += frame_gradient(model, baseline + share * (clip - baseline), target, score)
    attributions = total / points * (clip - baseline)
    with untouched(model), torch.no_grad():
        ends = target_score(class_scores(model, torch.stack([clip, baseline])), target, score)
    difference = float(ends[0] - ends[1])
    equal = abs(difference) <= 1e-6 * float(ends.abs().max())  # up to rounding
    gap = float("nan") if equal else abs(float(attributions.sum()) - difference) / abs(difference)
    return signed(attributions, {"completeness_gap": gap})


def feature_integrated_gradients(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
                                 points: int = POINTS) -> Attribution:
    """Compute integrated gradients of the features (T, D) along the path from their median over the clip.

    They sum to the difference of the scores at the two ends, up to the error of the midpoint rule.
    """
    return explain_features(integrated_gradients_of_sequences, model, clip, target, score, points=points)


def integrated_gradients_of_sequences(model: nn.Module, features: torch.Tensor, target: int, score: str = "logit",
                                      points: int = POINTS) -> MeanGradient:
    """Return the integrated gradients of each sequence; the paths begin at the median of the clip's features."""
    baseline = background(features)  # (D,)
    shares = (torch.arange(points, device=features.device) + 0.5) / points
    shares = shares.to(features.dtype).view(-1, 1, 1)

    def path(sequences):
        return baseline + shares * (sequences - baseline)[:, None]  # (n, points, T, D)

    return MeanGradient(model, target, score, path, points, lambda sequences: (sequences - baseline)[:, None])
