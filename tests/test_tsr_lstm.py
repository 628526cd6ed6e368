"""TSR of features through an LSTM (saliency/tsr/lstm_masks.py), against the literal loop and PyTorch's LSTM."""

import pytest
import torch
from torch import nn

from model.cnn_lstm import build_model
from model.heads import POOLINGS
from runtime.declare import load
from saliency.fills import background
from saliency.methods import FEATURE_METHODS
from saliency.tsr.features import choose_changes, feature_changes
from saliency.tsr.lstm_masks import LSTMMasks
from saliency.tsr.lstm_occlusion import LSTMOcclusion
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


def occlusion_changes(model, spread, parts=True):
    """Return the literal and the fast changes of an occlusion map by all masks, of frames that differ by `spread`."""
    torch.manual_seed(3)
    features = torch.randn(SIZE, dtype=torch.float64) + spread * torch.randn(FRAMES, SIZE, dtype=torch.float64)
    fill = features.mean(0)  # not the baseline
    features[1, 2] = fill[2]  # a mask that changes nothing
    relevance, places = load(FEATURE_METHODS["occlusion"].sequences)(model, features, 1), (torch.arange(FRAMES), None)
    if parts:
        places = torch.arange(FRAMES).repeat_interleave(SIZE), torch.arange(SIZE).repeat(FRAMES).flip(0)
    fast = LSTMOcclusion(relevance, features)
    return feature_changes(relevance, features, fill, *places), fast.changes(*places, fill)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "pooling": "mean"}, {"classifier_size": 0},
                                     {"classifier_size": 0, "pooling": "attention"}], ids=str)
def test_occlusions_through_an_lstm(monkeypatch, options):
    """Masks of frames are exact; the error of masks of features falls with the square of the steps."""
    monkeypatch.setattr("saliency.tsr.masks.MASKS", 4)
    monkeypatch.setattr("saliency.tsr.lstm_occlusion.GRADIENTS", 2 * FRAMES * SIZE * SIZE)  # two frames at a time
    monkeypatch.setattr("saliency.tsr.lstm_occlusion.PAIRS", 2 * SIZE)
    model, errors = lstm_model(**options), []
    expected, found = occlusion_changes(model, 1, parts=False)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * expected.max().item())
    for spread in (0.1, 0.01):
        expected, found = occlusion_changes(model, spread)
        assert (expected > 0).sum() == FRAMES * SIZE - 1
        errors.append(float((found - expected).abs().max() / expected.max()))
    assert errors[1] < min(2e-4, errors[0] / 30)


def test_occlusions_across_kinks_of_the_classifier():
    """Large steps, which take many units across zero: without its kinks, the error would be far larger."""
    model = build_model("cnnlstm", 2, "squeezenet1_1", head="lstm", feature_size=SIZE).double().eval()
    expected, found = occlusion_changes(model.requires_grad_(False), 1)
    assert (found - expected).abs().max() < 5e-3 * expected.max()


@pytest.mark.parametrize("pairs", [0, 1_000_000])
@pytest.mark.parametrize(("head", "options", "base", "score", "engine"), [
    ("lstm", {}, "smoothgrad", "logit", LSTMMasks), ("lstm", {}, "gradient_shap", "probability", LSTMMasks),
    ("lstm", {}, "occlusion", "logit", LSTMOcclusion), ("lstm", {"pooling": "max"}, "occlusion", "logit", None),
    ("lstm", {}, "occlusion", "probability", None), ("bilstm", {}, "occlusion", "logit", None),
    ("gru", {}, "smoothgrad", "logit", None), ("cell_attention", {}, "smoothgrad", "logit", None),
    *(("lstm", {}, base, "logit", None) for base in ("gradient", "gradient_x_input", "lrp", "deep_lift")),
])
def test_where_the_fast_ways_are_taken(monkeypatch, head, options, base, score, engine, pairs):
    model, taken = with_head(head, **options)[0].requires_grad_(False), []
    for each in (LSTMMasks, LSTMOcclusion):
        monkeypatch.setattr(each, "changes", lambda self, *rest: taken.append(type(self)))
    monkeypatch.setattr("saliency.tsr.features.EXACT_PAIRS", pairs)
    features = torch.randn(3, SIZE, dtype=torch.float64)
    relevance = load(FEATURE_METHODS[base].sequences)(model, features, 1, score)
    choose_changes(relevance, features, background(features))(torch.tensor([0]), torch.tensor([1]))
    assert taken == ([engine] if engine and not (engine is LSTMOcclusion and pairs) else [])


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
