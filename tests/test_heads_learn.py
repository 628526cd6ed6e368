"""Every head learns the order of the frames, except those that cannot see it."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from model.heads import HEADS

BLIND = ("attention", "mean")  # heads that see the set of the frames, not their order
FRAMES, PLACES = 8, 8


def moving_bumps(count, seed):
    """Return features (2 * count, T, PLACES) of a bump that moves right (class 0) or left (class 1), and the classes.

    The clips of class 1 are those of class 0 backwards, so only the order of the frames tells the classes apart.
    """
    generator = torch.Generator().manual_seed(seed)
    start = torch.randint(PLACES, (count, 1), generator=generator)
    right = nn.functional.one_hot((start + torch.arange(FRAMES)) % PLACES, PLACES).float()
    right = right + 0.05 * torch.randn(right.shape, generator=generator)
    return torch.cat([right, right.flip(1)]), torch.arange(2).repeat_interleave(count)


def two_places(count, seed):
    """Return features of bumps in the left half (class 0) or in the right half (class 1), and the classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(2).repeat_interleave(count)
    places = torch.randint(PLACES // 2, (2 * count, FRAMES), generator=generator) + labels[:, None] * (PLACES // 2)
    return nn.functional.one_hot(places, PLACES).float(), labels


def accuracy_after_training(head, options, clips, steps=300):
    """Train the head with a linear classifier on some clips, until it fits them, and return its accuracy on others."""
    torch.manual_seed(0)
    layers = HEADS[head].build(PLACES, 16, HEADS[head].num_layers, **options)
    model = nn.Sequential(layers, nn.Linear(layers.output_size, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    features, labels = clips(32, seed=0)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = cross_entropy(model(features), labels)
        loss.backward()
        optimizer.step()
        if loss < 0.01:
            break
    features, labels = clips(32, seed=1)
    return (model.eval()(features).argmax(1) == labels).float().mean().item()


@pytest.mark.parametrize("head", HEADS)
def test_it_learns_the_order_or_cannot_see_it(head):
    if head in BLIND:
        assert accuracy_after_training(head, {}, moving_bumps, steps=10) == 0.5
        assert accuracy_after_training(head, {}, two_places) > 0.9
    else:
        assert accuracy_after_training(head, {}, moving_bumps) > 0.9
