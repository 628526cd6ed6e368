"""Integrated gradients against captum's."""

import math

import pytest
import torch
from captum.attr import IntegratedGradients

from saliency.gradient import drawn_map
from saliency.methods import METHODS, attribute
from tests.toys import score_of


def test_integrated_gradients_of_a_linear_model(linear):
    model, clip = linear
    attribution = attribute(METHODS["integrated_gradients"], model, clip, 1, points=3)
    weights = model.w[1].detach().view(clip.shape)
    torch.testing.assert_close(attribution.map, drawn_map((clip - clip.median(0).values) * weights))
    assert attribution.facts["completeness_gap"] < 1e-12


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


def test_integrated_gradients_of_a_still_clip(case):
    """Clip and background are the same: nothing to attribute, and no gap to divide by."""
    model, clip = case
    attribution = attribute(METHODS["integrated_gradients"], model, clip[:1].expand_as(clip), 1, points=1)
    assert not attribution.map.any()
    assert math.isnan(attribution.facts["completeness_gap"])
