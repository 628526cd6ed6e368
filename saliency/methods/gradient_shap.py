"""GradientSHAP, or expected gradients: integrated gradients whose baselines are drawn instead of a single one.

A baseline is the clip standing still: one of its own frames, drawn at random, in all places. A point is drawn on the
straight path from each baseline to the clip, and the attribution is the mean of (x - baseline) dS/dx at these points.
Over all draws, the attributions sum to S(clip) minus the mean score of the baselines. Sources: Lundberg and Lee, "A
Unified Approach to Interpreting Model Predictions", NeurIPS 2017; Erion, Janizek, Sturmfels, Lundberg and Lee,
"Improving performance of deep learning models with axiomatic attribution priors and expected gradients", Nature Machine
Intelligence 2021, equation 3.

With the single baseline of integrated gradients, the background, a pixel that equals the background gets nothing,
whatever the model makes of it, and a person who stands still for half of the clip is part of the background.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from saliency.attribution import Attribution
from saliency.gradient import frame_gradient, untouched
from saliency.methods.gradient import signed
from saliency.methods.sequences import MeanGradient, explain_features
from saliency.sequences import Sequences

SAMPLES = 32


def draw(length: int, samples: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the frame that each baseline shows, (samples,), and the place of each point on its path in 0..1, float64.

    Every frame of a clip of `length` frames is equally probable, and every place. Frames are drawn without putting them
    back until all have been drawn, and each of `samples` equal parts of the path gets one point, so that the means
    vary less.
    """
    generator = torch.Generator().manual_seed(seed)
    rounds = [torch.randperm(length, generator=generator) for _ in range(-(-samples // length))]
    parts = torch.randperm(samples, generator=generator)
    within = torch.rand(samples, generator=generator, dtype=torch.float64)
    return torch.cat(rounds)[:samples], (parts + within) / samples


def expected_gradient(gradient: Callable[[torch.Tensor], torch.Tensor], clip: torch.Tensor,
                      baselines: Iterable[torch.Tensor], places: torch.Tensor) -> torch.Tensor:
    """Return the mean of (x - baseline) times the gradient at the point of each path, (T, C, H, W).

    gradient: of a clip. baselines: as many clips as there are places (samples,), 0 at the baseline and 1 at the clip.
    """
    total = torch.zeros_like(clip)
    for baseline, place in zip(baselines, places.tolist(), strict=True):
        total += (clip - baseline) * gradient(baseline + place * (clip - baseline))
    return total / len(places)


def gradient_shap(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", samples: int = SAMPLES,
                  seed: int = 0) -> Attribution:
    """Compute the mean of (x - baseline) dS/dx over `samples` random baselines and points.

    seed: of the draws. facts["completeness_gap"]: |sum of the attributions - difference| / |difference|, for the
    difference S(clip) - mean S(baseline) of the baselines that were drawn. It goes to 0 with more samples, and is NaN
    if the difference is 0.
    """
    shown, places = draw(len(clip), samples, seed)
    attributions = expected_gradient(lambda point: frame_gradient(model, point, target, score), clip,
                                     (clip[frame].expand_as(clip) for frame in shown), places)
    with untouched(model), torch.no_grad():
        sequences = Sequences(model, clip, target, score)
        order = torch.cat([torch.arange(len(clip))[None], shown[:, None].expand(-1, len(clip))])  # (1 + samples, T)
        whole, *stills = sequences.scores(sequences.describe(clip), order.to(clip.device)).tolist()
    difference = whole - sum(stills) / samples
    equal = abs(difference) <= 1e-6 * max(map(abs, [whole, *stills]))  # up to rounding
    gap = float("nan") if equal else abs(float(attributions.sum()) - difference) / abs(difference)
    return signed(attributions, {"completeness_gap": gap})


def feature_gradient_shap(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
                          samples: int = SAMPLES, seed: int = 0) -> Attribution:
    """Compute expected gradients of the features, (T, D). A baseline has the features of one frame in all places."""
    return explain_features(gradient_shap_of_sequences, model, clip, target, score, samples=samples, seed=seed)


def gradient_shap_of_sequences(model: nn.Module, features: torch.Tensor, target: int, score: str = "logit",
                               samples: int = SAMPLES, seed: int = 0) -> MeanGradient:
    """Return the expected gradients of each sequence; the baselines are drawn from the frames of the clip."""
    shown, places = draw(len(features), samples, seed)
    baselines = features[shown.to(features.device)][:, None]  # (samples, 1, D)
    places = places.to(features).view(-1, 1, 1)

    def differences(sequences):
        return sequences[:, None] - baselines  # (n, samples, T, D)

    def points(sequences):
        return baselines + places * differences(sequences)

    return MeanGradient(model, target, score, points, samples, differences)
