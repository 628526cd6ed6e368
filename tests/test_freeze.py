"""saliency/methods/freeze.py: the change of the score when the clip stands still."""

import pytest
import torch

from saliency.methods.freeze import freeze
from tests.toys import Linear


def literal(model, clip, target, frames):
    """The definition: freeze one window after the other, and classify the whole clip each time."""
    whole = model(clip[None])[0, target]
    drops = torch.zeros(len(clip), dtype=clip.dtype)
    for start in range(1 - frames, len(clip)):
        frozen = clip.clone()
        for t in range(max(start, 0), min(start + frames, len(clip))):
            frozen[t] = clip[max(start - 1, 0)]
        drop = whole - model(frozen[None])[0, target]
        for t in range(max(start, 0), min(start + frames, len(clip))):
            drops[t] += drop / frames
    return drops


@pytest.mark.parametrize("independent", [True, False])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_freeze_is_its_definition(frames, independent):
    model = Linear(frames=6)
    model.frames_independent = independent
    clip = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = freeze(model, clip, 1, frames=frames)
    expected = literal(model, clip, 1, frames).detach()
    torch.testing.assert_close(found.evidence, expected[:, None, None].expand(-1, 5, 5))
    torch.testing.assert_close(found.map, found.evidence.abs())


def test_a_still_clip_changes_nothing():
    clip = torch.ones(6, 3, 5, 5, dtype=torch.float64)
    assert freeze(Linear(frames=6), clip, 0).map.max() == 0
