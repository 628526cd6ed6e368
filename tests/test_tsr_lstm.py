"""TSR of features through an LSTM (saliency/tsr/lstm_masks.py), against the literal loop and PyTorch's LSTM."""

import pytest
import torch
from torch import nn

from model.heads import POOLINGS
from runtime.declare import load
from saliency.fills import background
from saliency.methods import FEATURE_METHODS
from saliency.tsr.features import choose_changes, feature_changes
from saliency.tsr.lstm_masks import LSTMMasks
from saliency.tsr.lstm_steps import empty_run, fill_run, layers_of
from tests.toys import with_head

BASES = {"smoothgrad": {"samples": 3, "noise": 0.5}, "integrated_gradients": {"points": 3},
         "gradient_shap": {"samples": 5, "seed": 2}}
SIZE, FRAMES = 6, 4


def lstm_model(**options):
    model, _ = with_head("lstm", **options)
    for weight in model.head.parameters():
        nn.init.uniform_(weight, -0.7, 0.7)  # wide enough for all frames to matter
    return model.requires_grad_(False)


def equals_the_plain_way(model, base, score="logit"):
    """Check all masks of frames and of features, for a fill that is not the baseline and equals one feature."""
    torch.manual_seed(3)
    features, fill = torch.randn(FRAMES, SIZE, dtype=torch.float64), torch.full((SIZE,), 0.3, dtype=torch.float64)
    features[1, 2] = 0.3  # a mask that changes nothing
    relevance = load(FEATURE_METHODS[base].sequences)(model, features, 1, score, **BASES[base])
    fast = LSTMMasks(relevance, features)
    frames, parts = torch.arange(FRAMES).repeat_interleave(SIZE), torch.arange(SIZE).repeat(FRAMES).flip(0)
    for masks in ((frames, parts), (torch.arange(FRAMES), None)):
        expected = feature_changes(relevance, features, fill, *masks)
        assert expected.max() > 1e-4 * relevance(features[None]).abs().sum()
        told = []
        found = fast.changes(*masks, fill, told.append)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * expected.max().item())
        assert sum(told) == len(expected)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layers", [1, 2])
def test_the_fast_way_through_an_lstm_equals_the_plain_one(monkeypatch, base, pooling, layers):
    monkeypatch.setattr("saliency.tsr.masks.MASKS", 4)  # several batches
    equals_the_plain_way(lstm_model(num_layers=layers, pooling=pooling), base)


@pytest.mark.parametrize("base", BASES)
def test_a_probability_and_a_linear_classifier_need_no_other_way(base):
    equals_the_plain_way(lstm_model(classifier_size=0, pooling="attention"), base, "probability")


@pytest.mark.parametrize(("head", "fast"), [("lstm", True), ("bilstm", False), ("gru", False),
                                            ("cell_attention", False)])
def test_the_fast_way_is_taken_for_many_points_and_an_lstm_only(monkeypatch, head, fast):
    model, taken = with_head(head)[0].requires_grad_(False), []
    features = torch.randn(3, SIZE, dtype=torch.float64)
    monkeypatch.setattr(LSTMMasks, "changes", lambda self, *rest: taken.append(1))
    for base, score, can in (("smoothgrad", "logit", True), ("gradient_shap", "probability", True),
                             ("gradient", "logit", False), ("gradient_x_input", "logit", False),
                             ("occlusion", "logit", False), ("lrp", "logit", False), ("deep_lift", "logit", False)):
        relevance = load(FEATURE_METHODS[base].sequences)(model, features, 1, score)
        choose_changes(relevance, features, background(features))(torch.tensor([0]), torch.tensor([1]))
        assert bool(taken) == (fast and can)
        taken.clear()


def test_the_states_are_those_of_pytorch():
    torch.manual_seed(0)
    lstm, inputs = nn.LSTM(3, 5, 2).double(), torch.randn(4, 7, 3, dtype=torch.float64)  # (T, N, D)
    below, zero = inputs, torch.zeros(1, 5, dtype=torch.float64)
    for layer in layers_of(lstm):
        reads = below @ layer.reads.T + layer.bias
        run = fill_run(empty_run(4, 7, layer.recurs), layer, reads.__getitem__, 0, zero, zero)
        below = run.states
    expected, (_, cells) = lstm(inputs)
    torch.testing.assert_close(below, expected.detach())
    torch.testing.assert_close(run.cells[-1], cells[-1].detach())
