"""TSR of features against a literal loop."""

import pytest
import torch

from saliency.fills import FILLS
from saliency.tsr import feature_rescaling
from tests.toys import LENGTH


@pytest.mark.parametrize(("fill", "kind"), [*((fill, "logit") for fill in FILLS), ("background", "probability")])
def test_feature_tsr_equals_a_loop(case, monkeypatch, fill, kind):
    model, clip = case
    with torch.no_grad():
        features = model.encode(clip[None])[0]
    filling = {"background": features.median(0).values, "zero": torch.zeros(12, dtype=features.dtype),
               "first_pixel": features[0, 0].expand(12)}[fill]

    def relevance(sequence):
        sequence = sequence.clone().requires_grad_(True)
        scores = model.classify(sequence[None])[0]
        (slope,) = torch.autograd.grad((scores.softmax(0) if kind == "probability" else scores)[1], sequence)
        return slope.abs()

    def delta(t, masked):
        changed = features.clone()
        changed[t, masked] = filling[masked]
        return (relevance(changed) - relevance(features)).abs().sum().item()

    time_delta = torch.tensor([delta(t, slice(None)) for t in range(LENGTH)])
    contribution = (time_delta - time_delta.min()) / (time_delta.max() - time_delta.min())
    important = contribution > contribution.quantile(0.4)
    monkeypatch.setattr("saliency.tsr.features.BATCH", 7)  # so that batches end within a frame
    result = feature_rescaling(model, features, 1, quantile=0.4, fill=fill, score=kind)
    torch.testing.assert_close(result.time_delta.float(), time_delta)
    torch.testing.assert_close(result.time_contribution.float(), contribution, atol=1e-5, rtol=1e-4)
    assert torch.equal(result.important, important)
    for t in range(LENGTH):
        share = torch.full((12,), 0.1)
        if important[t]:
            deltas = torch.tensor([delta(t, [d]) for d in range(12)])
            torch.testing.assert_close(result.feature_delta[t].float(), deltas)
            share = (deltas - deltas.min()) / (deltas.max() - deltas.min())
        else:
            assert not result.feature_delta[t].any()
        torch.testing.assert_close(result.tsr[t].float(), contribution[t] * share, atol=1e-5, rtol=1e-3)


def test_feature_tsr_of_a_linear_head_says_that_nothing_changes(linear):
    model, clip = linear
    with pytest.warns(UserWarning, match="no frame changes the map"):
        result = feature_rescaling(model, clip.flatten(1), 0)
    assert not result.tsr.any()
    assert not result.important.any()
