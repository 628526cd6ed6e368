"""SmoothGrad, integrated gradients and GradientSHAP against captum's, and their completeness."""

import math

import numpy as np
import pytest
import torch
from captum.attr import GradientShap, InputXGradient, IntegratedGradients

from saliency.gradient import drawn_map, frame_gradient
from saliency.mean_gradient import Variant, mean_gradient
from saliency.methods import FEATURE_METHODS, METHODS, attribute
from saliency.methods.gradients import draw
from tests.toys import score_of, smooth


def test_gradient_x_input_equals_captum(case):
    model, clip = case
    expected = InputXGradient(model).attribute(clip[None].clone().requires_grad_(True), target=1)[0]
    torch.testing.assert_close(attribute(METHODS["gradient_x_input"], model, clip, 1).map, expected.abs().amax(1))


def test_smoothgrad_is_the_mean_over_noisy_copies_and_repeats_itself(case):
    model, clip = case
    spread = 0.25 * (clip.max() - clip.min())
    noise = torch.Generator().manual_seed(9)
    copies = [clip + spread * torch.randn(clip.shape, generator=noise, dtype=clip.dtype) for _ in range(3)]
    expected = sum(frame_gradient(model, copy, 1) for copy in copies) / 3
    found = [attribute(METHODS["smoothgrad"], model, clip, 1, samples=3, seed=seed).map for seed in (9, 9, 8)]
    torch.testing.assert_close(found[0], drawn_map(expected))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    difference = attribute(METHODS["smoothgrad_x_difference"], model, clip, 1, samples=3, seed=9).evidence
    torch.testing.assert_close(difference, (expected * (clip - clip.median(0).values)).sum(1))


def test_integrated_gradients_equal_captum(case):
    model, clip = case
    attribution = attribute(METHODS["integrated_gradients"], model, clip, 1, points=6)
    baseline = clip.median(0).values.expand_as(clip)
    captum = IntegratedGradients(model)
    expected = captum.attribute(clip[None], baseline[None], 1, n_steps=6, method="riemann_middle")[0]
    torch.testing.assert_close(attribution.map, expected.abs().amax(1))
    ends = score_of(model, clip, 1) - score_of(model, baseline, 1)
    gap = abs(expected.sum().item() - ends) / abs(ends)
    assert attribution.facts["completeness_gap"] == pytest.approx(gap, rel=1e-6)
    assert attribute(METHODS["integrated_gradients"], model, clip, 1, points=24).facts["completeness_gap"] < gap / 2


def test_expected_gradients_equal_captum_with_the_same_baselines_and_places(case):
    model, clip = case
    baseline, count = clip[:1] * 0.5, 6
    np.random.seed(0)
    captum = GradientShap(model)
    expected = captum.attribute(clip[None], baseline.expand_as(clip)[None], n_samples=count, stdevs=0.0, target=1)
    np.random.seed(0)
    np.random.choice(1, count)  # captum draws the baselines first
    variants = [Variant(place, baseline[0], origin=baseline[0]) for place in np.random.uniform(0, 1, count)]
    torch.testing.assert_close(mean_gradient(model, clip, 1, "logit", variants), expected[0].detach())


def test_a_linear_model_gets_its_weights_times_the_difference_from_the_mean_frame(linear):
    """Every frame is drawn equally often in 6 draws of 3 frames."""
    model, clip = linear
    expected = model.w[1].detach().view(clip.shape) * (clip - clip.mean(0))
    found = attribute(METHODS["gradient_shap"], model, clip, 1, samples=6)
    torch.testing.assert_close(found.map, expected.abs().amax(1))
    torch.testing.assert_close(found.evidence, expected.sum(1))
    assert found.facts["completeness_gap"] < 1e-12
    of_features = attribute(FEATURE_METHODS["gradient_shap"], model, clip, 1, samples=6).map
    torch.testing.assert_close(of_features, expected.flatten(1))


@pytest.mark.parametrize("registry", [METHODS, FEATURE_METHODS], ids=["pixels", "features"])
def test_gradient_shap_sums_to_the_difference_from_the_baselines_in_expectation(registry):
    model, clip = smooth()
    stills = [score_of(model, frame.expand_as(clip), 1) for frame in clip]
    difference = score_of(model, clip, 1) - sum(stills) / len(stills)
    found = [attribute(registry["gradient_shap"], model, clip, 1, samples=samples, seed=1) for samples in (4, 400)]
    sums = [(each.map if each.evidence is None else each.evidence).sum().item() for each in found]
    assert sums[1] == pytest.approx(difference, rel=0.02)
    assert abs(sums[1] - difference) < abs(sums[0] - difference)
    if registry is METHODS:  # each frame was drawn equally often, so the mean of the baselines is that of all frames
        gaps = [abs(total - difference) / abs(difference) for total in sums]
        assert [each.facts["completeness_gap"] for each in found] == pytest.approx(gaps)


@pytest.mark.parametrize("name", ["gradient_shap", "integrated_gradients"])
def test_a_still_clip_has_nothing_to_attribute_and_no_gap(case, name):
    model, clip = case
    found = attribute(METHODS[name], model, clip[:1].expand_as(clip), 1)
    assert not found.map.any() and math.isnan(found.facts["completeness_gap"])


def test_draws_are_spread_evenly_and_repeat_themselves():
    frames, places = draw(5, 12, seed=3)
    assert all(torch.equal(*pair) for pair in zip(draw(5, 12, seed=3), (frames, places), strict=True))
    assert not torch.equal(draw(5, 12, seed=4)[1], places)
    assert sorted(frames.bincount().tolist()) == [2, 2, 2, 3, 3]
    assert (places * 12).long().sort().values.tolist() == list(range(12))
