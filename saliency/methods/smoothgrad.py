"""SmoothGrad: the mean gradient over noisy copies of the input (Smilkov et al. 2017)."""

from collections.abc import Iterator

import torch
from torch import nn

from saliency.attribution import Attribution
from saliency.fills import background
from saliency.gradient import drawn_map, frame_gradient
from saliency.methods.gradient import signed
from saliency.methods.sequences import MeanGradient, explain_features

SAMPLES = 25
NOISE = 0.25


def noises(clip: torch.Tensor, samples: int = SAMPLES, noise: float = NOISE, seed: int = 0) -> Iterator[torch.Tensor]:
    """Yield the noise (T, C, H, W) of each of the noisy copies of a clip. The options are those of `mean_gradient`."""
    spread = noise * (clip.max() - clip.min())
    generator = torch.Generator().manual_seed(seed)
    for _ in range(samples):
        yield spread * torch.randn(clip.shape, generator=generator, dtype=clip.dtype).to(clip.device)


def mean_gradient(model: nn.Module, clip: torch.Tensor, target: int, score: str, samples: int = SAMPLES,
                  noise: float = NOISE, seed: int = 0) -> torch.Tensor:
    """Return the mean signed gradient over `samples` noisy copies of the clip, (T, C, H, W).

    noise: standard deviation of the Gaussian noise, as a share of the range of the clip's values.
    """
    total = torch.zeros_like(clip)
    for drawn in noises(clip, samples, noise, seed):
        total += frame_gradient(model, clip + drawn, target, score)
    return total / samples


def smoothgrad(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", samples: int = SAMPLES,
               noise: float = NOISE, seed: int = 0) -> Attribution:
    """Compute the magnitude of the mean gradient. The options are those of `mean_gradient`."""
    return Attribution(drawn_map(mean_gradient(model, clip, target, score, samples, noise, seed)))


def smoothgrad_x_difference(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
                            samples: int = SAMPLES, noise: float = NOISE, seed: int = 0) -> Attribution:
    """Compute the mean gradient times the difference from the background, a first-order estimate of its effect on S."""
    mean = mean_gradient(model, clip, target, score, samples, noise, seed)
    return signed(mean * (clip - background(clip)))


def feature_smoothgrad(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", samples: int = SAMPLES,
                       noise: float = NOISE, seed: int = 0) -> Attribution:
    """Compute the mean gradient over noisy copies of the features, (T, D). The options are those of `mean_gradient`."""
    return explain_features(smoothgrad_of_sequences, model, clip, target, score, samples=samples, noise=noise,
                            seed=seed)


def smoothgrad_of_sequences(model: nn.Module, features: torch.Tensor, target: int, score: str = "logit",
                            samples: int = SAMPLES, noise: float = NOISE, seed: int = 0) -> MeanGradient:
    """Return the mean gradient over noisy copies of each sequence; all sequences get the noise of the clip."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(samples, *features.shape, generator=generator, dtype=features.dtype).to(features.device)
    added = noise * (features.max() - features.min()) * drawn  # (samples, T, D)
    return MeanGradient(model, target, score, lambda sequences: sequences[:, None] + added, samples)
