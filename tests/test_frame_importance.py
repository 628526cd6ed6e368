"""The importance of frames from features alone equals that of the methods of pixels where features are the pixels."""

import pytest
import torch

from saliency.fills import background
from saliency.frame_importance import METHODS, PAIRS, SEGMENT
from saliency.methods.freeze import freeze
from saliency.methods.interval import interval
from saliency.methods.shapley import shapley_frame
from saliency.tsr import feature_rescaling
from saliency.when import EncodedClip
from saliency.when.encoded import EncodedFeatures
from tests.toys import Linear, smooth


@pytest.fixture(scope="module")
def case():
    """A model whose scores depend on the order of the frames, and a clip, encoded."""
    model, clip = smooth(frames=14, size=17)
    return model, clip, EncodedClip(model, clip, 2)


def test_features_that_are_known_give_what_a_clip_gives(case):
    model, clip, encoded = case
    with torch.no_grad():
        features, empty = model.encode(clip[None])[0], model.encode(background(clip)[None, None])[0, 0]
    known = EncodedFeatures(model, features, empty, 2)
    for name, method in METHODS.items():
        assert torch.allclose(method(known), method(encoded), rtol=1e-9, atol=1e-12), name
        assert method(known).shape == (14,) and not method(known).requires_grad
    assert EncodedFeatures(model, empty.expand(14, -1), empty, 2).still and not known.still


def test_freeze_interval_and_shapley_values_are_those_of_the_maps(case):
    model, clip, encoded = case
    pixels = clip.shape[-1] * clip.shape[-2]
    assert torch.allclose(METHODS["freeze"](encoded), freeze(model, clip, 2).map[:, 0, 0])
    assert torch.allclose(METHODS["interval"](encoded), interval(model, clip, 2, segment=SEGMENT).map[:, 0, 0] * pixels)
    values = shapley_frame(model, clip, 2, segment=1, pairs=PAIRS).map[:, 0, 0] * pixels
    assert torch.allclose(METHODS["shapley_frame"](encoded), values)


def test_gradients_of_a_linear_model_are_its_weights():
    model, clip = Linear(), torch.randn(3, 3, 5, 5, dtype=torch.float64)
    encoded, weights = EncodedClip(model, clip, 1), model.w[1].detach()  # (T, D)
    assert torch.allclose(METHODS["gradient"](encoded), weights.abs().sum(1))
    expected = (weights * (clip - background(clip)).flatten(1)).abs().sum(1)
    assert torch.allclose(METHODS["integrated_gradients"](encoded), expected)
    assert not METHODS["tsr"](encoded).any()  # the gradient of a linear model never changes


def test_tsr_is_the_time_delta_of_the_features():
    model, clip = smooth(frames=6, size=17)
    with torch.no_grad():
        features = model.encode(clip[None])[0]
    encoded = EncodedFeatures(model, features, background(features), 1)
    assert torch.allclose(METHODS["tsr"](encoded), feature_rescaling(model, features, 1).time_delta)
