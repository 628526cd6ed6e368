"""LRP through the head against explicit loops over units, as in Arras et al. (2017), and its direction in time."""

import numpy as np
import pytest
import torch

from saliency.fills import background
from saliency.methods import FEATURE_METHODS, attribute
from saliency.methods.lrp import lrp_of_sequences
from tests.toys import with_head

EPSILON = 0.01


class Ledger:
    """Distributes relevance by the epsilon rule, and counts what the biases and epsilon keep."""

    def __init__(self):
        self.kept = 0.0

    def linear(self, inputs, weights, bias, relevance):
        """Return the relevance of each group of inputs. z_j = sum over groups g and i of weights[g][j, i] x[g][i] + b.

        inputs: list of (n_g,). weights: list of (m, n_g). bias, relevance: (m,).
        """
        found = [np.zeros(len(group)) for group in inputs]
        for j, of_unit in enumerate(relevance):
            z = bias[j] + sum(matrix[j] @ group for matrix, group in zip(weights, inputs, strict=True))
            divisor = z + (EPSILON if z >= 0 else -EPSILON)
            for group, matrix, part in zip(inputs, weights, found, strict=True):
                for i, value in enumerate(group):
                    part[i] += matrix[j, i] * value / divisor * of_unit
            self.kept += (bias[j] + divisor - z) / divisor * of_unit
        return found

    def total(self, parts, relevance):
        """Distribute the relevance of sums of parts: lists of (m,)."""
        eye = np.eye(len(relevance))
        return self.linear(parts, [eye] * len(parts), np.zeros(len(relevance)), relevance)


def numbers(tensor):
    return tensor.detach().numpy()


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def through_classifier(ledger, model, vector, target):
    """Return the score, and the relevance of the vector between head and classifier."""
    (w1, b1), (w2, b2) = (map(numbers, model.classifier[k].parameters()) for k in (1, 4))
    hidden = np.maximum(w1 @ vector + b1, 0)
    score = (w2 @ hidden + b2)[target]
    of_hidden, = ledger.linear([hidden], [w2[target:target + 1]], b2[target:target + 1], [score])
    return score, ledger.linear([vector], [w1], b1, of_hidden)[0]


def loop_of_lstm(model, frames, target):
    ledger, hidden = Ledger(), model.head.lstm.hidden_size
    w, u, b, c = (numbers(weight) for weight in model.head.lstm.parameters())
    b, state, cell, trace = b + c, np.zeros(hidden), np.zeros(hidden), []
    for frame in frames:
        i, f, g, o = np.split(w @ frame + u @ state + b, 4)
        added, kept_cell = sigmoid(i) * np.tanh(g), sigmoid(f) * cell
        trace.append((frame, state, kept_cell, added))
        cell = kept_cell + added
        state = sigmoid(o) * np.tanh(cell)
    score, of_state = through_classifier(ledger, model, state, target)
    of_cell, found, candidate = np.zeros(hidden), [], slice(2 * hidden, 3 * hidden)
    for frame, before, kept_cell, added in trace[::-1]:
        of_cell, of_candidate = ledger.total([kept_cell, added], of_cell + of_state)
        of_frame, of_state = ledger.linear([frame, before], [w[candidate], u[candidate]], b[candidate], of_candidate)
        found.append(of_frame)
    return score, np.stack(found[::-1]), ledger.kept


def loop_of_change(model, frames, target):
    """The head `change` with a linear classifier whose scores have the mean 0."""
    ledger, head, origin = Ledger(), model.head, numbers(background(torch.as_tensor(frames)))
    kernel, bias = (numbers(weight) for weight in head.convolutions[0].parameters())  # (H, D, 5), (H,)
    shifted, length = frames - origin, len(frames)  # which leaves all changes as they are
    places = np.clip(np.arange(length)[:, None] + np.arange(-2, 3), 0, length - 1)  # (T, 5), with repeated ends
    changes = frames - frames[np.maximum(np.arange(length) - 2, 0)]
    states = np.maximum(np.einsum("hdk,tkd->th", kernel, changes[places]) + bias, 0)
    scores = numbers(head.gate(torch.as_tensor(states)))
    weights = np.exp(scores) / np.exp(scores).sum()  # (T, 1)
    w, b = (numbers(weight) for weight in model.classifier[1].parameters())
    w, b = w - w.mean(0), b - b.mean()
    vector = (weights * states).sum(0)
    score = (w @ vector + b)[target]
    of_vector, = ledger.linear([vector], [w[target:target + 1]], b[target:target + 1], [score])
    of_states = ledger.total(list(weights * states), of_vector)
    found = np.zeros_like(frames)
    for t in range(length):
        reads = [(place, k, sign) for k, place in enumerate(places[t]) for place, sign in
                 ((place, 1), (max(place - 2, 0), -1))]
        parts = ledger.linear([shifted[place] for place, _, _ in reads],
                              [sign * kernel[:, :, k] for _, k, sign in reads], bias, of_states[t])
        for (place, _, _), part in zip(reads, parts, strict=True):
            found[place] += part
    return score, found, ledger.kept


LOOPS = {"lstm": loop_of_lstm, "change": loop_of_change}


@pytest.mark.parametrize("head", LOOPS)
def test_lrp_equals_an_explicit_loop_and_is_conserved(head):
    model, clip = with_head(head, **({"classifier_size": 0} if head == "change" else {}))
    found = attribute(FEATURE_METHODS["lrp"], model, clip, 1, epsilon=EPSILON)
    with torch.no_grad():
        frames = model.encode(clip[None])[0].numpy()
        expected_score = model.classify(torch.as_tensor(frames)[None])[0, 1].item()
    score, relevance, kept = LOOPS[head](model, frames, 1)
    assert score == pytest.approx(expected_score)
    np.testing.assert_allclose(found.map, relevance, rtol=1e-9, atol=1e-12)
    assert found.facts["kept"] == pytest.approx(kept)
    assert found.map.sum().item() + kept == pytest.approx(score)
    assert np.abs(relevance).max() > 1e-6


def test_an_lstm_that_forgets_has_relevance_in_its_last_frame_only():
    """Its forget gates are shut, and its gates do not see its output."""
    model, clip = with_head("lstm")
    assert (attribute(FEATURE_METHODS["lrp"], model, clip, 1).map.abs().sum(1) > 0).all()
    lstm, forget = model.head.lstm, slice(model.head.lstm.hidden_size, 2 * model.head.lstm.hidden_size)
    lstm.weight_hh_l0.data.zero_()
    lstm.weight_ih_l0.data[forget] = 0
    lstm.bias_ih_l0.data[forget] = -800
    found = attribute(FEATURE_METHODS["lrp"], model, clip, 1).map
    assert not found[:-1].any() and found[-1].any()


def test_the_frames_of_a_change_share_its_relevance():
    """In proportion to their differences from the median, so a constant in all frames gets and changes nothing."""
    model, _ = with_head("lstm", reads="changes")
    features = torch.randn(7, 6, dtype=torch.float64)  # one frame of seven has the median of a feature
    found = lrp_of_sequences(model, features, 1, epsilon=EPSILON)(features[None])[0]
    again = lrp_of_sequences(model, features + 5, 1, epsilon=EPSILON)(features[None] + 5)[0]
    torch.testing.assert_close(again, found)
    shifted, before = features - background(features), [max(t - 2, 0) for t in range(7)]
    read = (features - features[before]).numpy()
    _, of_changes, _ = loop_of_lstm(model, read, 1)
    expected = np.zeros_like(read)
    for t, earlier in enumerate(before[1:], start=1):  # the change of the first frame is 0
        share = of_changes[t] / read[t]
        expected[t] += share * shifted[t].numpy()
        expected[earlier] -= share * shifted[earlier].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert found.any() and found[features == background(features)].abs().max() == 0


def test_lrp_of_a_probability_is_refused(case):
    model, clip = case
    with pytest.raises(ValueError, match="before the softmax, but the score probability was given; give logit"):
        attribute(FEATURE_METHODS["lrp"], model, clip, 1, "probability")
