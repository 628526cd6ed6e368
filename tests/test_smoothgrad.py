"""SmoothGrad on a linear model, and against a loop over noisy copies."""

import torch

from saliency.gradient import drawn_map, frame_gradient
from saliency.methods import METHODS, attribute


def test_smoothgrad_without_noise_is_the_gradient(case):
    model, clip = case
    smooth = attribute(METHODS["smoothgrad"], model, clip, 1, samples=2, noise=0.0).map
    torch.testing.assert_close(smooth, attribute(METHODS["gradient"], model, clip, 1).map)
    difference = attribute(METHODS["smoothgrad_x_difference"], model, clip, 1, samples=1, noise=0.0).map
    expected = frame_gradient(model, clip, 1) * (clip - clip.median(0).values)  # of 5 frames one is the median
    torch.testing.assert_close(difference, drawn_map(expected))


def test_smoothgrad_of_a_linear_model_is_its_gradient_whatever_the_noise(linear):
    model, clip = linear
    smooth = attribute(METHODS["smoothgrad"], model, clip, 0, samples=3, noise=5.0).map
    torch.testing.assert_close(smooth, drawn_map(frame_gradient(model, clip, 0)))


def test_smoothgrad_is_the_mean_over_noisy_copies_and_repeats_itself(case):
    model, clip = case
    spread = 0.25 * (clip.max() - clip.min())
    noise = torch.Generator().manual_seed(9)
    copies = [clip + spread * torch.randn(clip.shape, generator=noise, dtype=clip.dtype) for _ in range(3)]
    expected = drawn_map(sum(frame_gradient(model, copy, 1) for copy in copies) / 3)
    found = [attribute(METHODS["smoothgrad"], model, clip, 1, samples=3, seed=seed).map for seed in (9, 9, 8)]
    torch.testing.assert_close(found[0], expected)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
