"""model/heads/pooling.py by hand, and the two heads that are a pooling of the frames."""

import pytest
import torch

from model.heads.attention import AttentionHead
from model.heads.mean import MeanHead
from model.heads.pooling import AttentionPooling, build_pooling

STATES = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [8.0, -9.0]], [[5.0, 6.0], [7.0, 2.0], [0.0, 1.0]]])  # (2, 3, 2)


@pytest.mark.parametrize(("kind", "lengths", "expected"), [
    ("last", None, [[8, -9], [0, 1]]), ("last", [2, 1], [[3, -2], [5, 6]]),
    ("mean", None, [[4, -5], [4, 3]]), ("mean", [2, 1], [[2, -3], [5, 6]]),
    ("max", None, [[8, -2], [7, 6]]), ("max", [2, 2], [[3, -2], [7, 6]]),
])
def test_by_hand(kind, lengths, expected):
    found = build_pooling(kind, 2)(STATES, lengths and torch.tensor(lengths))
    assert found.tolist() == expected


def test_attention_by_hand():
    """A score of tanh(first number): the softmax over the frames of the clip weighs the states."""
    pooling = AttentionPooling(2, score_size=1)
    with torch.no_grad():
        pooling.score[0].weight.copy_(torch.tensor([[1.0, 0.0]]))
        pooling.score[0].bias.zero_()
        pooling.score[2].weight.fill_(2.0)
    weights = (2 * STATES[0, :2, 0].tanh()).softmax(0)
    found = pooling(STATES, torch.tensor([2, 3]))
    torch.testing.assert_close(found[0], weights[0] * STATES[0, 0] + weights[1] * STATES[0, 1])
    assert pooling.weights(STATES, torch.tensor([2, 3]))[0, 2] == 0
    torch.testing.assert_close(pooling.weights(STATES).sum(1), torch.ones(2))


def test_the_mean_head_by_hand():
    torch.manual_seed(0)
    head, features = MeanHead(3, 4, num_layers=2), torch.randn(2, 5, 3)
    (first, _, second, _), found = head.layers, head(features)
    torch.testing.assert_close(found, second(first(features).relu()).relu().mean(1))


def test_the_attention_head_sums_the_features_themselves():
    torch.manual_seed(0)
    head, features = AttentionHead(3, 4), torch.randn(2, 5, 3)
    torch.testing.assert_close(head(features), torch.einsum("bt,btd->bd", head.pooling.weights(features), features))
    assert head(features[:, :1]).tolist() == features[:, 0].tolist()
