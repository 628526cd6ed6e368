"""saliency/when/prefixes.py: class probabilities after each frame."""

import pytest
import torch

from saliency.fills import background
from saliency.when import EncodedClip, prefixes
from saliency.when.prefixes import decided
from tests.toys import OneFrame, smooth


def test_curves_are_their_definitions():
    model, clip = smooth(frames=5)
    found = prefixes(EncodedClip(model, clip, 1))
    empty = background(clip)
    with torch.no_grad():
        for t in range(1, 6):
            padded = torch.cat([clip[:t], empty.expand(5 - t, *empty.shape)])
            torch.testing.assert_close(found.padded[t - 1], model(padded[None])[0].softmax(0))
            torch.testing.assert_close(found.shorter[t - 1], model(clip[None, :t])[0].softmax(0))
        torch.testing.assert_close(found.empty, model(empty.expand(1, 5, *empty.shape))[0].softmax(0))
    torch.testing.assert_close(found.padded[-1], found.shorter[-1])


def curve(*probabilities):
    return torch.tensor([[1 - p, p] for p in probabilities], dtype=torch.float64)


@pytest.mark.parametrize(("probabilities", "empty", "expected"), [
    ((0.5, 0.5, 0.9, 0.9), 0.5, 3),
    ((0.9, 0.4, 0.9, 0.9), 0.5, 3),  # it changes its mind once more
    ((0.9, 0.9, 0.9, 0.9), 0.5, 1),
    ((0.5, 0.6, 0.69, 0.9), 0.5, 4),  # nearer to the background than to the end
    ((0.5, 0.6, 0.71, 0.9), 0.5, 3),
    ((0.2, 0.3, 0.45, 0.6), 0.1, 4),  # far from the background, but another class leads
    ((0.8, 0.8, 0.8, 0.8), 0.8, None), ((0.9, 0.9, 0.9, 0.8), 0.9, None),  # the background says it as well
])
def test_the_deciding_frame(probabilities, empty, expected):
    assert decided(curve(*probabilities), curve(empty)[0]) == expected


def test_a_head_that_takes_one_length_only_has_no_shorter_curve():
    """OneFrame reads frame 4, which shorter clips lack."""
    clip = torch.zeros(6, 3, 4, 4)
    clip[3] = 1.0
    found = prefixes(EncodedClip(OneFrame(), clip, 0))
    assert found.decided == 4 and found.decided_shorter is None
    assert torch.isnan(found.shorter).all() and torch.isfinite(found.padded).all()
