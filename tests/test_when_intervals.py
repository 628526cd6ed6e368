"""saliency/when/intervals.py: all intervals of frames, and the shortest ones."""

import math

import pytest
import torch

from saliency.fills import background
from saliency.methods.interval import interval
from saliency.when import EncodedClip, intervals
from saliency.when.intervals import CHANGES, mean_effect, shortest
from tests.runs import KTH
from tests.toys import MeanOfFrames, smooth

VIDEO = KTH / "kth_data" / "running" / "person01_running_d1_uncomp.avi"


def changed(frames, empty, first, last, change):
    """Return the list of frames in which those from `first` to `last` (from 0) are changed, by the definition."""
    frames = list(frames)
    part = frames[first:last + 1]
    if change == "background":
        part = [empty] * len(part)
    elif change == "freeze":
        part = [frames[first - 1] if first else frames[0]] * len(part)
    else:
        part = part[::-1]
    return frames[:first] + part + frames[last + 1:]


def slow_loop(score, frames, empty, predicted):
    """Return {(kind, first, last): share} and the shortest intervals, one sequence after the other.

    score(frames) returns (the explained score, the predicted class) of a list of frames.
    """
    whole, none = score(list(frames))[0], score([empty] * len(frames))[0]
    shares, best = {}, {}
    for length in range(1, len(frames) + 1):
        for first in range(len(frames) - length + 1):
            last = first + length - 1
            outside = [frames[t] if first <= t <= last else empty for t in range(len(frames))]
            shares["kept", first, last] = (score(outside)[0] - none) / (whole - none)
            if shares["kept", first, last] >= 0.9:
                best.setdefault("sufficient", (first + 1, last + 1))
            for change in CHANGES:
                value, other = score(changed(frames, empty, first, last, change))
                shares[change, first, last] = (whole - value) / (whole - none)
                if shares[change, first, last] >= 0.9 or other != predicted:
                    best.setdefault(change, (first + 1, last + 1))
    return shares, best


def check(found, shares, best, atol):
    """Compare the result of `intervals` with that of the slow loop."""
    tables = {"kept": found.kept, **found.lost}
    for (kind, first, last), share in shares.items():
        assert float(tables[kind][first, last]) == pytest.approx(share, abs=atol)
    assert {"sufficient": found.sufficient, **found.necessary} == {
        name: best.get(name) for name in ("sufficient", *CHANGES)}


def test_intervals_are_those_of_a_slow_loop_over_pixels():
    model, clip = smooth(frames=6)
    model.scores.weight.data *= 100  # so that the scores differ from those of the background
    empty = background(clip)

    def score(frames):
        scores = model(torch.stack(frames)[None])[0].detach()
        return float(scores[1]), int(scores.argmax())

    found = intervals(EncodedClip(model, clip, 1))
    check(found, *slow_loop(score, clip, empty, score(list(clip))[1]), 1e-9)
    assert math.isnan(found.kept[3, 2]) and not found.flipped["freeze"][3, 2]


def test_groups_of_frames_end_at_multiples_of_the_segment():
    clip = torch.zeros(8, 3, 4, 4, dtype=torch.float64)
    clip[7] = 1.0
    found = intervals(EncodedClip(MeanOfFrames().double(), clip, 0), segment=3)
    assert found.kept.shape == (3, 3) and found.sufficient == (7, 8)


def test_the_mean_effect_is_that_of_the_intervals_with_the_frame():
    table = torch.full((3, 3), float("nan"), dtype=torch.float64)
    for first, last, effect in ((0, 0, 1), (1, 1, 2), (2, 2, 3), (0, 1, 4), (1, 2, 8), (0, 2, 9)):
        table[first, last] = effect
    found = mean_effect(table, 1, 3)  # 4 / 2 frames, 8 / 2 and 9 / 3 count in all the frames of their intervals
    assert found.tolist() == pytest.approx([(1 + 2 + 3) / 3, (2 + 2 + 4 + 3) / 4, (3 + 4 + 3) / 3])
    found = mean_effect(table[:2, :2], 2, 3)  # the second group has one frame
    assert found.tolist() == pytest.approx([(1 / 2 + 4 / 3) / 2] * 2 + [(2 + 4 / 3) / 2])


def test_the_method_is_the_mean_effect():
    model, clip = smooth(frames=4)
    found = interval(model, clip, 1, change="freeze")
    drops = intervals(EncodedClip(model, clip, 1)).drop["freeze"]
    torch.testing.assert_close(found.evidence.sum((1, 2)), mean_effect(drops, 1, 4))
    torch.testing.assert_close(found.map.sum((1, 2)), mean_effect(drops.abs(), 1, 4))


def test_the_earliest_of_equally_short_intervals_counts():
    table = torch.zeros(4, 4, dtype=torch.bool)
    assert shortest(table) is None
    for first, last in ((2, 3), (1, 2), (0, 2)):
        table[first, last] = True
    assert shortest(table) == (2, 3)
    table = torch.zeros(3, 3, dtype=torch.bool)
    table[0, 1] = table[1, 2] = True  # frames 1 to 8 and 5 to 9, whose last group is shorter
    assert shortest(table, 4, 9) == (5, 9)
