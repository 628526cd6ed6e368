"""Methods that average gradients over variants of a clip (saliency/mean_gradient.py): which variants each of them has.

Gradient: Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", ICLR 2014 workshop. SmoothGrad:
Smilkov, Thorat, Kim, Viégas and Wattenberg, 2017. Integrated gradients: Sundararajan, Taly and Yan, ICML 2017, with the
background as the baseline.

GradientSHAP, or expected gradients, draws its baselines: the clip standing still, which shows one of its own frames in
all places. A point is drawn on the straight path from each baseline to the clip. Over all draws, the attributions sum
to S(clip) minus the mean score of the baselines. Lundberg and Lee, "A Unified Approach to Interpreting Model
Predictions", NeurIPS 2017; Erion, Janizek, Sturmfels, Lundberg and Lee, "Improving performance of deep learning models
with axiomatic attribution priors and expected gradients", Nature Machine Intelligence 2021, equation 3. With the single
baseline of integrated gradients, a pixel that equals the background gets nothing, whatever the model makes of it, and a
person who stands still for half of the clip is part of the background.
"""

from collections.abc import Iterator

import torch
from torch import nn

from saliency.attribution import Attribution
from saliency.fills import background
from saliency.gradient import drawn_map, untouched
from saliency.mean_gradient import PLAIN, Variant, mean_gradient
from saliency.sequences import Sequences

SAMPLES, NOISE = 25, 0.25  # of SmoothGrad
POINTS = 32  # of integrated gradients
BASELINES = 32  # of GradientSHAP

# The functions below make the variants of a clip (T, C, H, W) or of the features (T, D) of its frames.


def plain(x: torch.Tensor) -> tuple[Variant, ...]:
    """Return the single variant of the gradient."""
    return PLAIN


def times_input(x: torch.Tensor) -> tuple[Variant, ...]:
    """Return the single variant of the gradient times the input."""
    return (Variant(origin=torch.zeros_like(x[0])),)


def noisy(x: torch.Tensor, samples: int = SAMPLES, noise: float = NOISE, seed: int = 0,
          origin: torch.Tensor | None = None) -> Iterator[Variant]:
    """Yield noisy copies. noise: standard deviation of the Gaussian noise, as a share of the range of x."""
    spread = noise * (x.max() - x.min())
    generator = torch.Generator().manual_seed(seed)
    for _ in range(samples):
        drawn = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        yield Variant(noise=spread * drawn, origin=origin)


def noisy_difference(x: torch.Tensor, samples: int = SAMPLES, noise: float = NOISE, seed: int = 0) -> Iterator[Variant]:
    """Yield noisy copies whose gradient is multiplied by the difference from the background."""
    return noisy(x, samples, noise, seed, background(x))


def path(x: torch.Tensor, points: int = POINTS) -> tuple[Variant, ...]:
    """Return points on the path from the background, in the middles of `points` equal parts."""
    empty = background(x)
    return tuple(Variant((point + 0.5) / points, anchor=empty, origin=empty) for point in range(points))


def drawn_paths(x: torch.Tensor, samples: int = BASELINES, seed: int = 0) -> tuple[Variant, ...]:
    """Return a point on the path from each of `samples` baselines, see `draw`."""
    shown, places = draw(len(x), samples, seed)
    return tuple(Variant(place, anchor=x[frame], origin=x[frame])
                 for frame, place in zip(shown.tolist(), places.tolist(), strict=True))


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


def gradient(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> Attribution:
    """Compute the maximum over the channels of |dS/dx|."""
    return Attribution(drawn_map(mean_gradient(model, clip, target, score, PLAIN)))


def gradient_x_input(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> Attribution:
    """Compute x dS/dx. The map is the largest magnitude over the channels."""
    return signed(mean_gradient(model, clip, target, score, times_input(clip)))


def smoothgrad(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", samples: int = SAMPLES,
               noise: float = NOISE, seed: int = 0) -> Attribution:
    """Compute the magnitude of the mean gradient of noisy copies. The options are those of `noisy`."""
    return Attribution(drawn_map(mean_gradient(model, clip, target, score, noisy(clip, samples, noise, seed))))


def smoothgrad_x_difference(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
                            samples: int = SAMPLES, noise: float = NOISE, seed: int = 0) -> Attribution:
    """Compute SmoothGrad times the difference from the background, a first-order estimate of its effect on S."""
    return signed(mean_gradient(model, clip, target, score, noisy_difference(clip, samples, noise, seed)))


def integrated_gradients(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
                         points: int = POINTS) -> Attribution:
    """Compute (x - background) times the mean gradient along the path from the background to the clip.

    facts["completeness_gap"]: see `completeness`. It is 0 for an exact integral.
    """
    attributions = mean_gradient(model, clip, target, score, path(clip, points))
    return signed(attributions, completeness(model, clip, target, score, attributions, background(clip)[None]))


def gradient_shap(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", samples: int = BASELINES,
                  seed: int = 0) -> Attribution:
    """Compute the mean of (x - baseline) dS/dx over `samples` random baselines and points. seed: of the draws.

    facts["completeness_gap"]: see `completeness`, with the baselines that were drawn. It goes to 0 with more samples.
    """
    attributions = mean_gradient(model, clip, target, score, drawn_paths(clip, samples, seed))
    shown = clip[draw(len(clip), samples, seed)[0].to(clip.device)]  # (samples, C, H, W)
    return signed(attributions, completeness(model, clip, target, score, attributions, shown))


def signed(attributions: torch.Tensor, facts: dict[str, float] | None = None) -> Attribution:
    """Return the Attribution of signed values per channel (T, C, H, W).

    The map is the largest magnitude over the channels; the evidence is the sum over the channels.
    """
    return Attribution(drawn_map(attributions), attributions.sum(1), facts or {})


@torch.no_grad()
def completeness(model: nn.Module, clip: torch.Tensor, target: int, score: str, attributions: torch.Tensor,
                 stills: torch.Tensor) -> dict[str, float]:
    """Return the fact completeness_gap: |sum of the attributions - difference| / |difference|.

    The difference is S(clip) - the mean score of the baselines, clips that show one of `stills` (k, C, H, W) in all
    frames. The gap is NaN if the difference is 0.
    """
    length = len(clip)
    order = torch.arange(length + len(stills), device=clip.device)
    with untouched(model):
        sequences = Sequences(model, clip, target, score)
        parts = torch.cat([sequences.describe(clip), sequences.describe(stills)])  # (T + k, ...)
        shown = torch.cat([order[None, :length], order[length:, None].expand(-1, length)])  # (1 + k, T)
        whole, *empty = sequences.scores(parts, shown).tolist()
    difference = whole - sum(empty) / len(empty)
    equal = abs(difference) <= 1e-6 * max(map(abs, [whole, *empty]))  # up to rounding
    gap = float("nan") if equal else abs(float(attributions.sum()) - difference) / abs(difference)
    return {"completeness_gap": gap}
