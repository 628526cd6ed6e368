"""saliency/when/shapley.py: Shapley values of games, frames, groups of frames and features."""

import itertools
import math

import pytest
import torch

from saliency.when import EncodedClip, feature_values, frame_values, shapley_values
from saliency.when.shapley import EXACT
from tests.toys import MeanOfFrames, smooth


class Additive(torch.nn.Module):
    """S of class 0 is the weighted sum of the frames' sums, class 1 is its negative."""

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.as_tensor(weights, dtype=torch.float64))

    def encode(self, clips):
        return clips.flatten(2)

    def classify(self, features, lengths=None):
        score = (features.sum(2) * self.weights).sum(1)  # (B,)
        return torch.stack([score, -score], 1)


def brute_force(encoded):
    """Return the values (T,) by their definition: the mean over all T! orders, with dictionaries of coalitions."""
    length = len(encoded)
    scores = {}
    for size in range(length + 1):
        for members in itertools.combinations(range(length), size):
            sequence = torch.stack([encoded.features[t] if t in members else encoded.empty for t in range(length)])
            scores[members] = float(encoded.explained(encoded.class_scores(sequence[None])))
    values = [0.0] * length
    for members, score in scores.items():
        for t in set(range(length)) - set(members):
            weight = math.factorial(len(members)) * math.factorial(length - len(members) - 1) / math.factorial(length)
            values[t] += weight * (scores[tuple(sorted((*members, t)))] - score)
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("score", ["logit", "probability"])
def test_exact_values_are_those_of_all_coalitions(score):
    model, clip = smooth(frames=8)
    encoded = EncodedClip(model, clip, 1, score)
    found = frame_values(encoded)
    assert found.exact and found.errors.max() == 0 and found.gap < 1e-9
    torch.testing.assert_close(found.values, brute_force(encoded), atol=1e-6, rtol=0)
    assert abs(float(found.values.sum()) - encoded.difference) < 1e-9


def test_sampled_values_agree_within_three_standard_errors():
    model, clip = smooth(frames=EXACT)
    encoded = EncodedClip(model, clip, 0)
    exact = frame_values(encoded).values

    def value(present):
        frames = present[:, :EXACT]  # a thirteenth player without influence makes the game too large to be exact
        return encoded.explained(encoded.class_scores_of(torch.where(frames, encoded.steps, EXACT)))

    found = shapley_values(value, EXACT + 1, pairs=200)
    assert not found.exact and found.gap < 1e-9 and abs(float(found.values[-1])) < 1e-12
    assert ((found.values[:-1] - exact).abs() <= 3 * found.errors[:-1]).all()
    assert found.errors[:-1].max() < 0.5 * exact.abs().max()


@pytest.mark.parametrize("length", [5, 20])
def test_values_of_an_additive_head_are_its_terms(length):
    weights = torch.linspace(-1, 2, length, dtype=torch.float64)
    clip = torch.rand(length, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    encoded = EncodedClip(Additive(weights), clip, 0)
    found = frame_values(encoded, pairs=5)
    terms = weights * (encoded.features - encoded.empty).sum(1)
    torch.testing.assert_close(found.values, terms)
    assert found.errors.max() < 1e-9  # an additive game has the same contribution in every order


def test_segments_are_one_player_each():
    model, clip = smooth(frames=7)
    encoded = EncodedClip(model, clip, 1)
    found = frame_values(encoded, segment=3)
    assert len(found.values) == 3 and found.segment == 3
    expected = torch.zeros(3, dtype=torch.float64)
    for order in itertools.permutations(range(3)):
        present = torch.zeros(7, dtype=torch.bool)
        for group in order:
            before = present.clone()
            present[3 * group:3 * group + 3] = True
            after, earlier = encoded.explained(encoded.class_scores_of(torch.where(
                torch.stack([present, before]), encoded.steps, 7)))
            expected[group] += (after - earlier) / 6
    torch.testing.assert_close(found.values, expected)
    spread = found.per_frame(7)
    torch.testing.assert_close(spread[:3], (found.values[:1] / 3).expand(3))
    assert spread[6] == found.values[2] and float(spread.sum()) == pytest.approx(encoded.difference)


def test_values_of_features_sum_to_the_difference():
    model, clip = smooth(frames=3)
    encoded = EncodedClip(model, clip, 2)
    found = feature_values(encoded)
    assert found.values.shape == (8,) and found.exact
    assert float(found.values.sum()) == pytest.approx(encoded.difference)


def test_impossible_options_are_refused():
    encoded = EncodedClip(MeanOfFrames(), torch.rand(14, 3, 4, 4), 0)
    with pytest.raises(ValueError, match="1 pairs of random orders"):
        frame_values(encoded, pairs=1)
    with pytest.raises(ValueError, match="segment of 0 frames"):
        frame_values(encoded, segment=0)
