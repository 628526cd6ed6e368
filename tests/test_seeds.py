"""One seed for a run: it reaches everything that draws at random, and the same seed gives the same numbers."""

from functools import partial

import numpy as np
import pytest
import torch

from saliency import sanity
from saliency.explain import explain
from saliency.methods import FEATURE_METHODS, METHODS, attribute
from saliency.methods.gradients import noisy
from saliency.methods.sequences import mean_gradients
from saliency.tsr import feature_rescaling, temporal_saliency_rescaling
from tests.runs import as_seen, saved, use
from tests.tiny_data import CLIP
from tests.toys import MeanOfBackbone, example, smooth

NOISE = {"samples": 2, "noise": 0.5}
OPTIONS = {
    "smoothgrad": NOISE, "smoothgrad_x_difference": NOISE, "gradient_shap": {"samples": 2},
    "shapley_frame": {"pairs": 2}, "occlusion_block": {"pixels": 17},
    "tsr": {"base": "smoothgrad", "base_options": NOISE, "tolerance": 0.0},
}
DRAWING = {"smoothgrad", "smoothgrad_x_difference", "gradient_shap", "shapley_frame", "tsr"}


@pytest.fixture(scope="module")
def model_and_clip():
    """A model and a clip of 14 frames, which are too many for exact Shapley values."""
    return smooth(14)


@pytest.mark.parametrize("registry", [METHODS, FEATURE_METHODS])
def test_the_seed_reaches_every_method_that_draws_at_random(model_and_clip, registry):
    names = [name for name, method in registry.items() if not method.ruled]
    options = OPTIONS if registry is METHODS else OPTIONS | {"tsr": {"base": "smoothgrad", "base_options": NOISE}}
    first, again, other = (explain(*model_and_clip, 1, names, options=options, registry=registry, seed=seed).maps
                           for seed in (0, 0, 7))
    assert all(np.array_equal(first[name], again[name]) for name in names)
    assert {name for name in names if not np.array_equal(first[name], other[name])} == DRAWING & set(names)


def test_the_noise_of_tsr_stays_the_same_within_a_call(model_and_clip):
    """Masking a frame that the model ignores changes nothing, because both maps are of the same noise."""
    model, clip = smooth(6, frames_ignored=(2,))
    own = partial(noisy, **NOISE, seed=7)
    for seed in (7, 8):
        options = OPTIONS["tsr"] | {"step": "time"}
        found = explain(model, clip, 1, ["tsr"], options={"tsr": options}, seed=seed).arrays["time_delta"]
        expected = temporal_saliency_rescaling(model, clip, 1, step="time", tolerance=0.0, variants=own).time_delta
        assert found[2] < 1e-6 * found.max() and np.array_equal(found, expected.numpy()) == (seed == 7)
    features = model.encode(clip[None])[0].detach()
    expected = feature_rescaling(model, features, 1, prepare=partial(mean_gradients(noisy), **NOISE, seed=7)).tsr
    given = {"base": "smoothgrad", "base_options": NOISE}
    torch.testing.assert_close(attribute(FEATURE_METHODS["tsr"], model, clip, 1, seed=7, **given).map, expected)


def test_the_seed_of_the_command_line_reaches_methods_of_features(data_set, trained, tmp_path):
    use("feature_saliency", data_set, trained, tmp_path, "--clips", CLIP, "--method", "smoothgrad", "--target",
        "running", "--seed", 7)
    model, info, clip = as_seen(data_set, trained)
    found = saved(tmp_path / "walking" / CLIP)["smoothgrad"]
    same, other = (attribute(FEATURE_METHODS["smoothgrad"], model, clip, info.classes.index("running"), seed=seed).map
                   for seed in (7, 0))
    largest = np.abs(found).max()
    assert np.abs(found - same.numpy()).max() < 1e-3 * largest < np.abs(found - other.numpy()).max()


def test_the_seed_reaches_the_sanity_check(monkeypatch):
    seeds, original = [], sanity.explain
    monkeypatch.setattr(sanity, "explain", lambda *given, seed, **more: seeds.append(seed) or original(
        *given, seed=seed, **more))
    sanity.check(MeanOfBackbone().eval(), [example()], ["smoothgrad"], draws=1, seed=7)
    assert set(seeds) == {7} and len(seeds) == 7
