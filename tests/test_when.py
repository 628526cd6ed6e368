"""tests/benchmarks/when.py: the windows of a video that show a person in some of their frames only."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.benchmarks.when import (
    SHORT,
    SHOWN,
    TABLES,
    WHEN,
    Window,
    check_window,
    partly_visible,
    summarise,
    time_profiles,
)
from tests.toys import OneFrame

VIDEO, TOTAL, DURATION = Path("person01_walking_d1.avi"), 200, 30


def windows(*ranges, total=TOTAL):
    """Return {(position, start): the frames of the window with the person, from 0}."""
    found = partly_visible(VIDEO, list(ranges), total, DURATION)
    assert all(window.video == VIDEO and len(window.visible) == DURATION for window in found)
    return {(window.position, window.start): np.flatnonzero(window.visible).tolist() for window in found}


def test_a_long_passage_is_seen_first_and_last():
    """Frames 81 to 120 of the video, which are 80 to 119 when counted from 0."""
    assert windows((81, 120)) == {
        ("first", 110): list(range(SHOWN)),  # the last ten frames of the passage, then nobody
        ("last", 60): list(range(DURATION - SHOWN, DURATION)),
    }


def test_a_short_passage_is_seen_in_the_middle_too():
    found = windows((81, 80 + SHORT))
    assert found[("middle", 76)] == list(range(4, 4 + SHORT))
    assert {position for position, _ in found} == {"first", "last", "middle"}
    assert {position for position, _ in windows((81, 81 + SHORT))} == {"first", "last"}
    assert windows((81, 85)) == {("middle", 67): [13, 14, 15, 16, 17]}  # too short for ten frames first or last


@pytest.mark.parametrize(("neighbour", "left"), [
    ((125, 160), {"last"}),  # enters during the window after the passage
    ((40, 65), {"first"}),  # is still there in the window before it
    ((141, 180), {"first", "last"}), ((20, 60), {"first", "last"}),  # just outside of both windows
    ((140, 180), {"last"}), ((20, 61), {"first"}),  # a single frame disturbs
])
def test_windows_that_show_a_neighbour_are_left_out(neighbour, left):
    assert {position for position, start in windows((81, 120), neighbour) if start in (110, 60)} == left


def test_windows_stay_inside_the_video():
    assert set(windows((21, 60), total=90)) == {("first", 50), ("last", 0)}  # as near to the start as possible
    assert set(windows((20, 60), total=90)) == {("first", 50)}
    assert set(windows((31, 70), total=90)) == {("first", 60), ("last", 10)}  # and to the end
    assert set(windows((31, 71), total=90)) == {("last", 10)}
    assert windows((1, 90), total=90) == {}
    assert windows((1, SHORT), total=DURATION) == {}  # nobody is before it
    assert windows() == {}


@pytest.fixture
def window():
    """Frames of a clip, black but for three frames in the middle, and the window that says so."""
    frames = np.zeros((8, 6, 6, 3), np.uint8)
    frames[2:5] = 255
    return frames, Window("middle", VIDEO, 0, np.isin(np.arange(8), (2, 3, 4)))


def info_of(*classes):
    return SimpleNamespace(classes=list(classes), mean=[0, 0, 0], std=[1, 1, 1])


def test_a_prediction_because_of_the_person(window):
    """The model's class is probable if frame 3 is bright, and as probable as the other without the person."""
    model, (frames, shown) = OneFrame(frame=3, gain=0.02), window
    seen, right, drop = check_window(model, info_of("walking", "running"), frames, shown, "walking")
    probability = torch.tensor(0.02 * 3 * 36).sigmoid().item()
    assert (seen.predicted, right) == ("walking", True)
    assert drop == pytest.approx(probability - 0.5)
    assert check_window(model, info_of("running", "walking"), frames, shown, "walking")[1:] == (
        False, pytest.approx(probability - 0.5))


def test_a_prediction_without_regard_to_the_person(window):
    model, (frames, shown) = OneFrame(frame=6, gain=0.02), window
    seen, _, drop = check_window(model, info_of("walking", "running"), frames, shown, "walking")
    assert drop == 0 and seen.probabilities.tolist() == [0.5, 0.5]


@pytest.mark.filterwarnings("ignore:the model does not state", "ignore:no frame changes the map")
def test_time_profiles_are_sums_per_frame():
    """The gradient is the same for all pixels of frame 3. The evidence of pixels may cancel out, and its sum counts."""
    model, clip = OneFrame(frame=3, gain=0.02), torch.zeros(8, 3, 6, 6)
    clip[3, 0, 0], clip[3, 0, 1] = 1, -0.5
    profiles = time_profiles(model, clip, 0, ["gradient", "gradient_x_input", "tsr"], {"tsr": {"step": "time"}})
    assert set(profiles) == {"gradient", "gradient_x_input", "gradient_x_input, evidence", "tsr"}
    only = np.arange(8) == 3
    np.testing.assert_allclose(profiles["gradient"], 0.02 * 36 * only, rtol=1e-5)
    np.testing.assert_allclose(profiles["gradient_x_input"], 0.02 * (6 + 3) * only, rtol=1e-5)
    np.testing.assert_allclose(profiles["gradient_x_input, evidence"], 0.02 * (6 - 3) * only, rtol=1e-5)
    assert profiles["tsr"].shape == (8,)
    against = time_profiles(model, -clip, 0, ["gradient_x_input"], {})["gradient_x_input, evidence"]
    np.testing.assert_allclose(against, 0.02 * (6 - 3) * only, rtol=1e-5)  # its magnitude


def test_profiles_of_a_decision_point_at_the_frame_that_decides():
    model, clip = OneFrame(frame=3, gain=0.02), torch.zeros(8, 3, 6, 6)
    clip[3] = 1.0
    profiles = time_profiles(model, clip, 0, [WHEN], {})
    assert {"when, sufficient", "when, freeze", "when, kept, all", "when, reverse, all", "when, prefix"} < set(profiles)
    for name, values in profiles.items():
        assert values.shape == (8,)
        if "reverse" not in name:  # the shortest interval that runs backwards has two frames
            assert values.argmax() == 3, name
    assert profiles["when, sufficient"].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]


def test_the_worst_position_of_the_windows_that_count():
    rows = [{"position": "first", "auroc": {"a": 0.9}, "random_head": {"a": 0.5}},
            {"position": "first", "auroc": {"a": 0.7}, "random_head": {"a": 0.7}},
            {"position": "last", "auroc": {"a": 0.6}, "random_head": {}}, {"position": "middle"}]
    auroc, areas = TABLES.values()
    assert summarise(rows, auroc) == [{
        "method": "a", "first": pytest.approx(0.8), "last": 0.6, "worst": 0.6,
        "random head, first": pytest.approx(0.6), "random head, worst": pytest.approx(0.6)}]
    assert summarise(rows, areas) == []  # rows of an earlier version have no areas
    rows[2] |= {"aup": {"a": 0.4}, "aur": {"a": 0.3}}
    assert summarise(rows, areas) == [{"method": "a", "AUP, last": 0.4, "AUP, worst": 0.4, "AUR, last": 0.3,
                                       "AUR, worst": 0.3}]
