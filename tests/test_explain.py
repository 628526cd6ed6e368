"""Several methods on one clip."""

import pytest

from saliency.explain import explain
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
