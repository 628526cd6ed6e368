"""The benchmark with a known answer for *when*: what its windows show, by hand-checked properties."""

import numpy as np
import pytest
import torch

from model.training_windows import UNDECIDED
from tests.benchmarks import time_arrow
from tests.benchmarks.time_arrow import Passage, backwards, control_paths, decoy, path, training_window


def passage(length=60, person=1):
    """A passage whose vectors are the number of the frame; the mirror image's are 100 larger."""
    vectors = torch.arange(float(length))[None, :, None] + torch.tensor([0.0, 100.0])[:, None, None]
    return Passage(person, vectors, torch.full((2, 1), -1.0))


@pytest.mark.parametrize("steps", [2, 7, 10, 13, 20, 29])
def test_a_decoy_has_as_many_steps_forwards_as_backwards(steps):
    generator = np.random.default_rng(0)
    runs = np.array([decoy(steps, generator) for _ in range(200)])
    assert set(np.abs(runs).ravel()) == {1}
    assert set(np.abs(runs.sum(1))) == {steps % 2}
    assert abs(runs.sum(1).mean()) < 0.25


@pytest.mark.parametrize("start", [0, 7, 10, 20])
def test_only_the_evidence_runs_and_everything_moves(start):
    walk = path(start, 10, np.random.default_rng(1))
    assert walk[start:start + 10].tolist() == list(range(10))
    assert set(np.abs(np.diff(walk))) == {1}
    assert walk.min() >= -4 and walk.max() <= 13


def test_a_window_backwards_shows_the_same_evidence_in_the_other_order():
    evidence = (np.arange(30) >= 10) & (np.arange(30) < 20)
    walk = path(10, 10, np.random.default_rng(2)) + 10
    turned = backwards(walk, evidence)
    assert turned[evidence].tolist() == walk[evidence][::-1].tolist()
    assert (np.diff(turned) == -np.diff(walk)).all()


@pytest.mark.parametrize("length,speed", [(5, 1), (10, 0.5), (10, 2), (15, 1)])
def test_windows_come_in_both_directions_and_views_and_stay_in_the_passage(length, speed):
    windows = list(time_arrow.test_windows([passage(50), passage(80)], 8, length=length, speed=speed))
    assert len(windows) == 24
    assert {(window.view, window.label) for window in windows} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for window in windows:
        last = window.passage.vectors.shape[1] - 1
        paths = [window.frames, *control_paths(window, np.random.default_rng(3)).values()]
        assert all(each.min() >= 0 and each.max() <= last for each in paths)
        assert window.evidence.sum() == length
        steps = np.diff(window.frames[window.evidence])
        assert set(steps) == {1 if window.label == 0 else -1}


def test_controls_change_what_they_say():
    window = list(time_arrow.test_windows([passage()], 4))[4]
    changed = control_paths(window, np.random.default_rng(4))
    inside, outside = window.evidence, ~window.evidence
    assert changed["a..b reversed"][inside].tolist() == window.frames[inside][::-1].tolist()
    assert (changed["a..b reversed"][outside] == window.frames[outside]).all()
    assert (changed["decoys reversed"][inside] == window.frames[inside]).all()
    assert abs(np.diff(changed["a..b rocks"]).sum()) <= 3 and set(np.abs(np.diff(changed["a..b rocks"]))) == {1}


def test_training_has_windows_in_both_directions_and_undecided_ones():
    generator = np.random.default_rng(5)
    found = [training_window(passage(40), generator) for _ in range(400)]
    labels = [label for _, label in found]
    assert 150 < labels.count(UNDECIDED) < 250
    assert abs(labels.count(0) - labels.count(1)) < 60
    for vectors, label in found:
        assert vectors.shape == (30, 1)
        if label != UNDECIDED:
            assert (vectors[-1] - vectors[0]).sign().item() in (0, 1 - 2 * label)


def test_a_small_run_prints_accuracy_controls_and_profiles(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(time_arrow, "POSITIONS", {"middle": 10})
    generator = torch.Generator().manual_seed(0)
    passages = [Passage(person, torch.randn(2, 50, 1280, generator=generator), torch.zeros(2, 1280))
                for person in (1, 2)]
    torch.save([tuple(each) for each in passages], tmp_path / "passages.pt")
    time_arrow.main(["--workdir", str(tmp_path), "--heads", "lstm", "--seeds", "0", "--steps", "1", "--windows", "4",
                     "--pairs", "2"])
    printed = capsys.readouterr().out
    assert "accuracy on whole clips" in printed and "a..b reversed" in printed
    assert "interval, freeze" in printed and "frame difference" in printed
    assert (tmp_path / "lstm_0_02_10_1.json").is_file()
