"""model/averaging.py: the average of the weights over the last epochs."""

import pytest
import torch
from torch import nn

from model.averaging import MEMORY, WeightAverage


def averaged(values):
    """Return the average of a parameter that has these values after one epoch each."""
    weight = nn.Parameter(torch.zeros(1))
    average = WeightAverage([weight])
    for value in values:
        with torch.no_grad():
            weight.fill_(value)
        average.update()
    with average.in_use():
        return weight.item()


def test_many_epochs_forget_the_first_ones():
    values = [100.0] * MEMORY + [1.0] * 60
    expected = 100.0
    for _ in range(60):
        expected += (1 - expected) / MEMORY
    assert averaged(values) == pytest.approx(expected, rel=1e-5)
    assert averaged(values) < 1.3


def test_resuming_continues_the_average():
    straight = averaged([1, 2, 6, 7])
    weight = nn.Parameter(torch.tensor([3.0]))  # the average of 1, 2 and 6, as a checkpoint holds it
    average = WeightAverage([weight])
    average.resume([torch.tensor([6.0])], 3)
    assert weight.item() == 6
    with torch.no_grad():
        weight.fill_(7)
    average.update()
    with average.in_use():
        assert weight.item() == pytest.approx(straight)
