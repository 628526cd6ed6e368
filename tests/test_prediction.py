"""The prediction for a clip."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model.checkpoint import ModelInfo
from model.cnn_lstm import CNNLSTM
from model.prediction import explained_classes, feature_cache, predict, with_known_features
from saliency.gradient import feature_gradient, frame_gradient

INFO = SimpleNamespace(classes=["running", "walking"], mean=[0.5] * 3, std=[0.5] * 3, sample_duration=2, sample_size=4)
FRAMES = np.zeros((2, 4, 4, 3), np.uint8)


class Model(torch.nn.Module):
    """Scores 0 and `score`, whatever it sees."""

    def __init__(self, score):
        super().__init__()
        self.score = torch.nn.Parameter(torch.tensor([0.0, score]))

    def encode(self, clips):
        return clips.flatten(2)[..., :5]

    def classify(self, features):
        return self.score.expand(len(features), 2)


@pytest.mark.parametrize(("target", "index"), [("predicted", 1), ("label", 1), ("running", 0)])
def test_a_prediction_and_its_target(target, index):
    seen = predict(Model(np.log(3)), INFO, FRAMES, target, "walking")
    assert seen.probabilities == pytest.approx([0.25, 0.75])
    assert (seen.tensor.shape, seen.features.shape, seen.target) == ((2, 3, 4, 4), (2, 5), index)
    assert seen.predicted == "walking"
    other = predict(Model(-1.0), INFO, FRAMES)
    assert (other.predicted, other.target, round(float(other.probabilities.max()), 2)) == ("running", 0, 0.73)


def test_a_network_of_a_fixed_length_says_so_of_other_clips():
    """Whose clips are not padded; an error on a clip of its own length is one of the network."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2 * 3 * 4 * 4, 2))
    assert predict(network, INFO, FRAMES).probabilities.shape == (2,)
    with pytest.raises(ValueError, match=r"fails on a clip of 1 frames \(.*; it is known to read clips of 2 frames"):
        predict(network, INFO, FRAMES[:1])
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        predict(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(5, 2)), INFO, FRAMES)


@pytest.mark.parametrize(("target", "indices"), [
    ("predicted", (1,)), (["predicted", "label", "b"], (1, 2)), ("all", (1, 0, 2)), (["c", "all"], (2, 1, 0)),
    (["a", "a"], (0,)),
])
def test_the_classes_to_be_explained(target, indices):
    assert explained_classes(target, ["a", "b", "c"], predicted="b", label="c") == indices


@pytest.mark.parametrize(("target", "given"), [("flying", "flying"), (["a", "label"], "None"), ([], "no class")])
def test_an_unknown_class_is_refused(target, given):
    with pytest.raises(ValueError, match=f"{given} was given as the target, but the model knows a, b; give one"):
        explained_classes(target, ["a", "b"], predicted="a")


class Counting(CNNLSTM):
    """A model that counts the clips that it encodes."""

    encoded = 0

    def encode(self, clips, lengths=None):
        self.encoded += len(clips)
        return super().encode(clips, lengths)


@pytest.fixture
def counting():
    torch.manual_seed(0)
    model = Counting(2, "squeezenet1_1", feature_size=6, hidden_size=4, classifier_size=4).eval()
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    info = ModelInfo("cnnlstm", model.config, ["running", "walking"], 32, 3, [0.5] * 3, [0.2] * 3)
    return model, info, frames


def test_features_on_disk_are_the_same_and_a_change_is_noticed(counting, tmp_path):
    model, info, frames = counting
    without, cache = predict(model, info, frames), feature_cache(tmp_path, model, info)
    for _ in range(2):
        seen = predict(model, info, frames, cache=cache)
        assert torch.equal(seen.features, without.features)
        assert np.array_equal(seen.probabilities, without.probabilities)
    assert model.encoded == 2  # once without the cache, once for it
    other_frame = frames.copy()
    other_frame[2, 5, 5, 0] ^= 1
    other_info = replace(info, mean=[0.4] * 3)
    cases = [(info, other_frame), (other_info, frames), (info, frames[:2]), (info, frames[:, :28, :28].copy())]
    for count, (some_info, some_frames) in enumerate(cases, start=3):
        predict(model, some_info, some_frames, cache=feature_cache(tmp_path, model, some_info))
        assert model.encoded == count
    with torch.no_grad():
        model.projection.bias[0] += 1
    predict(model, info, frames, cache=feature_cache(tmp_path, model, info))
    assert model.encoded == 7


def test_a_cache_for_a_model_without_features_is_refused(counting, tmp_path):
    with pytest.raises(ValueError, match="the model has no encode and classify, so there are no features to keep"):
        feature_cache(tmp_path, torch.nn.Linear(1, 1), counting[1])


def test_known_features_are_not_computed_again(counting):
    model, info, frames = counting
    seen = predict(model, info, frames)
    known, again = with_known_features(model, seen), seen.tensor[None].clone()
    assert torch.equal(known.encode(again)[0], seen.features)
    assert torch.equal(known.encode(again[0][:, None])[:, 0], seen.features)  # three clips of one frame
    assert torch.equal(feature_gradient(known, seen.tensor, 1), feature_gradient(model, seen.tensor, 1))
    count = model.encoded
    changed = again.flip(1)
    assert torch.equal(known.encode(changed), model.encode(changed))
    assert torch.equal(frame_gradient(known, seen.tensor, 1), frame_gradient(model, seen.tensor, 1))
    assert model.encoded == count + 4  # changed frames and gradients of frames are computed by both
