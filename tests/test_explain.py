"""Several methods on one clip."""

import cv2
import numpy as np
import pytest

from saliency.baselines import blocks_of
from saliency.explain import blur, explain
from saliency.tsr import temporal_saliency_rescaling


def test_explain_keeps_what_methods_have_to_say_and_gives_them_their_options(case):
    model, clip = case
    options = {"tsr": {"patch": 20, "step": "time"}, "integrated_gradients": {"points": 2}}
    found = explain(model, clip, 1, ["tsr", "integrated_gradients"], options=options)
    expected = temporal_saliency_rescaling(model, clip, 1, **options["tsr"])
    assert found.maps["tsr"] == pytest.approx(expected.tsr.numpy())
    assert found.arrays["time_contribution"] == pytest.approx(expected.time_contribution.numpy())
    assert found.arrays.keys() == {"time_delta", "time_contribution", "patch_delta"}
    assert found.facts.keys() == {"tsr_error_bound", "tsr_time_only", "integrated_gradients_completeness_gap"}


@pytest.mark.parametrize("size", [90, 150, 171, 182])
def test_a_constant_map_stays_constant_when_it_is_blurred(size):
    """A blur of constant float32 numbers rounds at some sizes, so that the map would vary by its rounding errors."""
    maps = np.stack([np.full((size, size), value, np.float32) for value in (0, 0.1, 1 / 3)])
    np.testing.assert_array_equal(blur(maps, 3), maps)
    maps[0, 5, 5] = 1
    np.testing.assert_array_equal(blur(maps, 3)[0], cv2.GaussianBlur(maps[0], (0, 0), 3))


def test_methods_say_which_patches_their_maps_consist_of(case):
    model, clip = case
    options = {"tsr": {"patch": 20}, "occlusion_block": {"frames": 2, "pixels": 30}}
    facts = explain(model, clip, 1, list(options), options=options).facts
    assert blocks_of(facts, ["tsr", "occlusion_block"]) == {"frame_difference_patches": (20,),
                                                            "frame_difference_blocks": (30, 2)}
    assert blocks_of(facts, ["gradient"]) == blocks_of({}, ["tsr"]) == {}
