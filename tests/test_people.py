"""Videos of drawn people."""

import numpy as np
import pytest

from data.synthetic.people import ACTIONS, EVIDENCE, SCENARIOS, WIDTH, make_passage, make_scene, synthesize
from utils import synthesize_kth


@pytest.fixture(scope="module")
def walk():
    """Frames, masks and ranges of two passes."""
    return synthesize(1, 11, 1, "walking", passes=2)


def test_ranges_cover_the_passes(walk):
    frames, masks, ranges = walk
    assert frames.shape == masks.shape == (len(frames), 120, 160)
    assert (frames.dtype, masks.dtype, len(ranges)) == (np.uint8, bool, 2)
    listed = np.zeros(len(frames), bool)
    for first, last in ranges:
        listed[first - 1 : last] = True
    np.testing.assert_array_equal(listed, masks.any((1, 2)))
    centre = [[np.nonzero(masks[i])[1].mean() for i in (first + 9, last - 10)] for first, last in ranges]
    assert (centre[0][0] < WIDTH / 2) == (centre[0][1] > WIDTH / 2), "from one side to the other"
    assert (centre[0][0] < WIDTH / 2) == (centre[1][1] < WIDTH / 2), "and back"


@pytest.mark.parametrize(("number", "scenario", "action"), [(11, 1, "walking"), (14, 3, "running"), (16, 4, "running")])
def test_masks_are_where_the_picture_differs(number, scenario, action):
    frames, masks, _ = synthesize(2, number, scenario, action, passes=1)
    empty = np.median(frames[~masks.any((1, 2))], axis=0)
    middle = np.flatnonzero(masks.sum((1, 2)) > 600)
    assert len(middle) > 10
    difference = np.abs(frames[middle].astype(float) - empty)
    shown = masks[middle]
    assert (difference[shown] > 15).mean() > 0.8
    assert (difference[~shown] > 40).mean() < 0.01, "a shadow is fainter than the person"
    assert 0.02 < shown.mean() < 0.15


def test_the_seed_decides():
    first, again, other = (synthesize(seed, 12, 3, "running", passes=1) for seed in (1, 1, 2))
    for before, now in zip(first, again, strict=True):
        np.testing.assert_array_equal(before, now)
    assert not np.array_equal(first[0][:20], other[0][:20])


def test_speeds_are_those_of_kth():
    speeds = {action: [] for action in ACTIONS}
    frames = {action: [] for action in ACTIONS}
    for number in synthesize_kth.PERSONS:
        for scenario in SCENARIOS:
            scene = make_scene(1, number, scenario)
            for action in ACTIONS:
                x = make_passage(scene, action, np.random.default_rng(number), 0)["x"]
                speeds[action].append(np.abs(np.diff(x)).mean())
                frames[action].append((np.abs(x - WIDTH / 2) < WIDTH / 2).sum())
    assert np.median(speeds["walking"]) == pytest.approx(1.9, abs=0.3)
    assert np.median(speeds["running"]) == pytest.approx(5.4, abs=0.5)
    assert min(speeds["running"]) < 1.25 * max(speeds["walking"])
    assert min(frames["running"]) >= 25 and max(frames["walking"]) < 180


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_evidence_is_in_its_third_only(evidence, n_frames=20):
    _, masks, ranges = synthesize(1, 13, 1, "running", passes=2, n_frames=n_frames, evidence=evidence)
    third = EVIDENCE[evidence]
    expected = np.zeros(len(masks), bool)
    for first, last in ranges:
        assert last - first + 1 == n_frames
        expected[first - 1 + n_frames * third // 3 : first - 1 + n_frames * (third + 1) // 3] = True
    np.testing.assert_array_equal(masks.any((1, 2)), expected)
    assert not masks[:, :, [0, -1]].any(), "inside the picture"
    seen = np.flatnonzero(expected)[:6]
    centres = [np.nonzero(masks[i])[1].mean() for i in seen]
    assert abs(centres[-1] - centres[0]) > 10, "and moving"
