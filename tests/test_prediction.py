"""The prediction for a clip."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model.prediction import explained_classes, predict

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


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="the model's scores are not finite"):
        predict(Model(np.nan), INFO, FRAMES)


@pytest.mark.parametrize(("target", "indices"), [
    ("predicted", (1,)), (["predicted", "label", "b"], (1, 2)), ("all", (1, 0, 2)), (["c", "all"], (2, 1, 0)),
    (["a", "a"], (0,)),
])
def test_the_classes_to_be_explained(target, indices):
    assert explained_classes(target, ["a", "b", "c"], predicted="b", label="c") == indices


def test_a_class_named_all_is_only_itself():
    assert explained_classes("all", ["all", "b"], predicted="b") == (0,)


@pytest.mark.parametrize(("target", "given"), [("flying", "flying"), (["a", "label"], "None"), ([], "no class")])
def test_an_unknown_class_is_refused(target, given):
    with pytest.raises(ValueError, match=f"{given} was given as the target, but the model knows a, b; give one"):
        explained_classes(target, ["a", "b"], predicted="a")
