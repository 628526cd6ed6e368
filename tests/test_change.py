"""model/heads/change.py: what changes between frames, pooled by a gate over time."""

import pytest
import torch

from model.heads.change import ChangeHead
from model.heads.lstm import LAG


def head(**options):
    torch.manual_seed(0)
    return ChangeHead(6, 5, **options).double().eval()


def features(batch=2, length=9):
    return torch.randn(batch, length, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_still_clip_has_the_same_output_whatever_it_shows():
    one, other = (torch.full((1, 9, 6), value, dtype=torch.float64) for value in (0.3, -2.0))
    torch.testing.assert_close(head()(one), head()(other))


def test_the_output_is_a_weighted_mean_of_states():
    """With a gate that is the same for all frames, the states are averaged."""
    layer, x = head(), features(1)
    torch.nn.init.zeros_(layer.gate[2].weight)
    before = torch.cat([x[:, :1]] * LAG + [x[:, :-LAG]], 1)
    states = layer.convolutions[0]((x - before).transpose(1, 2)).relu()
    torch.testing.assert_close(layer(x), states.mean(2))


@pytest.mark.parametrize("layers", [1, 2])
def test_lengths_cut_a_clip(layers):
    x, lengths = features(3), torch.tensor([9, 5, 1])
    together = head(num_layers=layers)(x, lengths)
    for i, length in enumerate(lengths):
        torch.testing.assert_close(together[i], head(num_layers=layers)(x[i:i + 1, :length])[0])
