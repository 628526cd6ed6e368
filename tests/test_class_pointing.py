"""tests/benchmarks/class_pointing.py on models whose evidence is known."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from data.video import write_video
from tests.benchmarks.class_pointing import FRAMES_ONLY, SIGNED, TIME_AXIS, WIDTH_AXIS, pairs_of, pointing_shares
from tests.passing import passing

CLASSES, LENGTH, SIDE, LIT = ["running", "walking"], 12, 120, 6
WHOLE = "occlusion_block, whole clip, 60 pixels"  # its map is constant in time
METHODS = {  # that know places along an axis; Grad-CAM needs a convolution
    WIDTH_AXIS: [name for name in SIGNED if name not in ("grad_cam", *FRAMES_ONLY)],
    TIME_AXIS: [name for name in SIGNED if name not in ("grad_cam", "interval", WHOLE)],
}


class Channels(nn.Module):
    """The score of class k is the sum of w[k, c] times channel c, over all frames and pixels."""

    def __init__(self, *weights):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def encode(self, clips):
        return clips.sum((3, 4))  # (B, T, C)

    def classify(self, features, lengths=None):
        return features.sum(1) @ self.weights.T

    def forward(self, clips):
        return self.classify(self.encode(clips))


@pytest.fixture
def pair():
    """Clips that are black but for one frame, whose red channel is lit in running and whose green one in walking."""
    clips = {label: torch.zeros(LENGTH, 3, SIDE, SIDE) for label in CLASSES}
    for channel, label in enumerate(CLASSES):
        clips[label][LIT, channel] = 1
    return clips


def shares(model, pair, axis):
    return pointing_shares(model, pair, CLASSES, axis, METHODS[axis])


@pytest.mark.parametrize("axis", METHODS)
def test_all_evidence_lies_on_the_half_that_the_score_is_the_sum_of(pair, axis):
    """The score of a class is the sum of its own half, or of the other one."""
    assert shares(Channels([1.0, 0, 0], [0, 1.0, 0]), pair, axis) == pytest.approx(dict.fromkeys(METHODS[axis], 1.0))
    assert shares(Channels([0, 1.0, 0], [1.0, 0, 0]), pair, axis) == pytest.approx(dict.fromkeys(METHODS[axis], 0.0))


def test_intervals_spread_their_evidence_over_both_halves(pair):
    """An interval lends its effect to all its frames, so some of the evidence lies on the other clip."""
    model = Channels([1.0, 0, 0], [0, 1.0, 0])
    share = pointing_shares(model, pair, CLASSES, TIME_AXIS, ["interval"])["interval"]
    assert 0.6 < share < 1


@pytest.mark.parametrize("axis", METHODS)
def test_chance_is_a_half(pair, axis):
    """A model that does not tell the clips apart; and one that knows a single class, whichever is explained."""
    half = pytest.approx(dict.fromkeys(METHODS[axis], 0.5))
    assert shares(Channels([1.0, 1, 0], [1.0, 1, 0]), pair, axis) == half
    assert shares(Channels([1.0, 0, 0], [1.0, 0, 0]), pair, axis) == half


@pytest.mark.parametrize("axis", METHODS)
def test_without_evidence_there_is_no_share(pair, axis):
    assert all(math.isnan(share) for share in shares(Channels([0.0, 0, 0], [0.0, 0, 0]), pair, axis).values())


def test_pairs_are_taken_from_all_videos_in_turn(tmp_path):
    """A pair holds a clip of each class; a person with fewer clips of one class has fewer pairs."""
    frames, _ = passing()
    for label, takes in (("running", (1,)), ("walking", (1, 2))):
        (tmp_path / label).mkdir()
        for take in takes:
            write_video(tmp_path / label / f"person01_{label}_d{take}_uncomp.avi", frames // take)
    (tmp_path / "00sequences.txt").write_text("\n".join(
        f"person01_{label}_d{take} frames 11-40, 51-80" for label in CLASSES for take in (1, 2)))
    info = SimpleNamespace(classes=CLASSES, sample_duration=10, sample_size=16, mean=[0, 0, 0], std=[1, 1, 1])
    args = SimpleNamespace(videos=tmp_path, sequences=None, pairs=5)
    pairs = pairs_of(args, 1, info)
    assert [list(each) for each in pairs] == [CLASSES] * 2  # the running video has two passages
    assert all(clip.shape == (10, 3, 16, 16) for each in pairs for clip in each.values())
    first, second = (each["walking"].mean() for each in pairs)
    assert first > 1.5 * second  # of the first video and of the second, which is darker
    args.pairs = 1
    assert len(pairs_of(args, 1, info)) == 1
