"""GradientSHAP against captum's with the same draws, and its completeness."""

import math

import numpy as np
import pytest
import torch
from captum.attr import GradientShap

from saliency.gradient import frame_gradient
from saliency.methods import FEATURE_METHODS, METHODS, attribute
from saliency.methods.gradient_shap import draw, expected_gradient
from tests.toys import score_of, smooth


def test_expected_gradients_equal_captum_with_the_same_baselines_and_places(case):
    model, clip = case
    baseline, count = clip.flip(0) * 0.5, 6
    np.random.seed(0)
    captum = GradientShap(model)
    expected = captum.attribute(clip[None], baseline[None], n_samples=count, stdevs=0.0, target=1)[0].detach()
    np.random.seed(0)
    np.random.choice(1, count)  # captum draws the baselines first
    places = torch.as_tensor(np.random.uniform(0, 1, count))
    found = expected_gradient(lambda point: frame_gradient(model, point, 1), clip, [baseline] * count, places)
    torch.testing.assert_close(found, expected)


def test_a_linear_model_gets_its_weights_times_the_difference_from_the_mean_frame(linear):
    """Every frame is drawn equally often in 6 draws of 3 frames."""
    model, clip = linear
    weights = model.w[1].detach().view(clip.shape)
    found = attribute(METHODS["gradient_shap"], model, clip, 1, samples=6)
    expected = weights * (clip - clip.mean(0))
    torch.testing.assert_close(found.map, expected.abs().amax(1))
    torch.testing.assert_close(found.evidence, expected.sum(1))
    assert found.facts["completeness_gap"] < 1e-12
    of_features = attribute(FEATURE_METHODS["gradient_shap"], model, clip, 1, samples=6).map
    torch.testing.assert_close(of_features, expected.flatten(1))


@pytest.mark.parametrize("registry", [METHODS, FEATURE_METHODS], ids=["pixels", "features"])
def test_the_attributions_sum_to_the_difference_from_the_baselines_in_expectation(registry):
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


def test_a_still_clip_has_nothing_to_attribute(case):
    model, clip = case
    found = attribute(METHODS["gradient_shap"], model, clip[:1].expand_as(clip), 1, samples=2)
    assert not found.map.any() and math.isnan(found.facts["completeness_gap"])


def test_draws_are_spread_evenly_and_repeat_themselves():
    frames, places = draw(5, 12, seed=3)
    assert all(torch.equal(*pair) for pair in zip(draw(5, 12, seed=3), (frames, places), strict=True))
    assert not torch.equal(draw(5, 12, seed=4)[1], places)
    assert frames.bincount().tolist() in [[2 + (k in extra) for k in range(5)]
                                          for extra in ([a, b] for a in range(5) for b in range(a))]
    assert (places * 12).long().sort().values.tolist() == list(range(12))
