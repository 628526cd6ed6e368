"""model/heads/lstm.py: an LSTM over the changes between frames, or over the features as in the literature."""

import pytest
import torch

from model.cnn_lstm import CNNLSTM
from model.heads.lstm import LSTMHead
from saliency.methods import FEATURE_METHODS, attribute
from tests.toys import with_head

OVER_CHANGES = {"reads": "changes", "pooling": "attention"}


def head(**options):
    torch.manual_seed(0)
    return LSTMHead(6, 5, **(OVER_CHANGES | options)).double().eval()


def features(batch=2, length=9):
    return torch.randn(batch, length, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_still_clip_has_the_same_output_whatever_it_shows():
    one, other = (torch.full((1, 9, 6), value, dtype=torch.float64) for value in (0.3, -2.0))
    torch.testing.assert_close(head()(one), head()(other))


def test_of_features_with_the_last_state_it_is_the_lstm_of_the_literature():
    layer, x = head(reads="features", pooling="last"), features()
    torch.testing.assert_close(layer(x), layer.lstm(x)[0][:, -1])


@pytest.mark.parametrize("reads", ["changes", "features"])
def test_lengths_cut_a_clip(reads):
    x, lengths = features(3), torch.tensor([9, 5, 1])
    together = head(reads=reads)(x, lengths)
    for i, length in enumerate(lengths):
        torch.testing.assert_close(together[i], head(reads=reads)(x[i:i + 1, :length])[0])


def test_a_new_model_reads_changes_and_its_scores_have_the_mean_0():
    model = CNNLSTM(3, "squeezenet1_1", hidden_size=4, feature_size=6)
    assert {name: model.config[name] for name in OVER_CHANGES} == OVER_CHANGES
    assert model.config["classifier_size"] == 0
    assert model.classify(torch.randn(2, 5, 6)).mean(1).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["lrp", "deep_lift"])
def test_rules_of_features_hold_through_changes(name):
    """Each sums to the score, less what LRP's biases keep, or to the score less that of the reference."""
    model, clip = with_head("lstm", **OVER_CHANGES, classifier_size=0)
    with torch.no_grad():
        features = model.encode(clip[None])[0]
        score = model.classify(features[None])[0, 1].item()
        still = model.classify(features.median(0).values.expand_as(features)[None])[0, 1].item()
    found = attribute(FEATURE_METHODS[name], model, clip, 1)
    expected = score - (found.facts["kept"] if name == "lrp" else still)
    assert found.map.sum().item() == pytest.approx(expected, abs=1e-6) and found.map.abs().max() > 1e-6


def test_training_drops_the_same_numbers_of_the_vectors_in_all_frames():
    """So a still clip has no changes in training either."""
    model = CNNLSTM(2, "squeezenet1_1", hidden_size=4, feature_size=6, vector_dropout=0.5).train()
    features = model.project(torch.ones(8, 5, model.backbone_size))  # (B, T, D)
    assert features.equal(features[:, :1].expand_as(features))
    assert not features[0].equal(features[1])
