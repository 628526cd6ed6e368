"""The files of a clip's result: what is written is read back, and figures are whole."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from saliency import charts
from saliency.figures import save_figure
from saliency.results.clip import ClipResult, facts_of, title_of
from tests.drawn import ROWS


@pytest.mark.parametrize("fails", ["drawing", "writing"])
def test_a_figure_that_fails_leaves_the_old_file(tmp_path, monkeypatch, fails):
    path = tmp_path / "figure.png"
    path.write_text("old")
    figure = charts.training_curves(ROWS)

    def break_off(target, *_, **options):
        target.write(b"half") if fails == "drawing" else target.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(*(figure, "savefig") if fails == "drawing" else (Path, "write_bytes"), break_off)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def result(**changes):
    """Return a result of frames with everything in it."""
    random = np.random.default_rng(0)
    maps = {name: random.random((4, 6, 5), np.float32) for name in ("gradient", "tsr", "occlusion_frame")}
    parts = {
        "facts": facts_of("a clip", "walking", "running", "running", 0.75, "logit") | {"tsr_error_bound": 2e-4},
        "frames": random.integers(0, 256, (4, 6, 5), dtype=np.uint8), "flow": random.random((3, 6, 5)), "maps": maps,
        "evidence": {"occlusion_frame": maps["occlusion_frame"] - 0.5},
        "arrays": {"time_delta": random.random(4), "time_contribution": random.random(4),
                   "patch_delta": random.random((4, 2, 2))},
    }
    return ClipResult(**(parts | changes))


def of_features():
    """Return a result of features."""
    gradient = np.random.default_rng(1).normal(size=(4, 7)).astype(np.float32)
    return ClipResult(facts_of("a clip", None, "running", "walking", 0.25, "probability"), features=2 * gradient,
                      maps={"gradient": gradient}, arrays={"time_contribution": np.linspace(0, 1, 4)})


def assert_same(found, expected):
    """Fail if two results differ in anything."""
    for part in fields(ClipResult):
        ours, theirs = getattr(found, part.name), getattr(expected, part.name)
        if isinstance(theirs, dict) and part.name != "facts":
            assert list(ours) == list(theirs), part.name
            for name, values in theirs.items():
                np.testing.assert_array_equal(ours[name], values)
        elif isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype
        else:
            assert ours == theirs, part.name


@pytest.mark.parametrize("expected", [
    result(), of_features(), result(flow=None), result(maps={}, evidence={}, arrays={}),
    result(frames=np.zeros((1, 6, 5), np.uint8), maps={"gradient": np.ones((1, 6, 5))}, flow=np.zeros((0, 6, 5)),
           evidence={}, arrays={}),
])
def test_what_is_written_is_read_back(tmp_path, expected):
    expected.write(tmp_path / "saliency.npz")
    found = ClipResult.read(tmp_path / "saliency.npz")
    assert_same(found, expected)
    assert found.time_contribution is found.arrays.get("time_contribution")


@pytest.mark.parametrize("kept", [0, 1, 300, -1, -300])
def test_a_damaged_file_is_no_result(tmp_path, kept):
    result().write(tmp_path / "saliency.npz")
    (tmp_path / "saliency.npz").write_bytes((tmp_path / "saliency.npz").read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"saliency\.npz cannot be read .*; compute it again"):
        ClipResult.read(tmp_path / "saliency.npz")
    with pytest.raises(ValueError, match="compute it again"):
        ClipResult.read(tmp_path / "none.npz")


def test_the_title_of_a_clip():
    facts = facts_of("a", "walking", "walking", "running", 0.25, "logit")
    assert facts == {"clip": "a", "label": "walking", "predicted": "walking", "target": "running", "probability": 0.25,
                     "score": "logit", "margin": 1.0}
    assert title_of(facts, 0.754) == "a: walking, predicted walking (0.75), explained: running (0.25)"
    facts = facts_of("b", None, "running", "running", 0.731, "logit")
    assert title_of(facts, 0.731) == "b: no label, predicted and explained: running (0.73)"


def test_the_title_of_a_clip_that_the_model_gets_wrong_does_not_read_as_if_it_were_right():
    facts = facts_of("a", "walking", "running", "running", 0.714, "logit", margin=0.43)
    assert title_of(facts, 0.714) == "a: labelled walking, called running (0.71), explained: running"
    facts = facts_of("a", "walking", "running", "walking", 0.286, "logit", margin=0.43)
    assert title_of(facts, 0.714) == "a: labelled walking, called running (0.71), explained: walking (0.29)"


def test_the_title_says_that_a_model_hardly_decides_also_of_a_result_that_is_read_back(tmp_path):
    facts = facts_of("a", "up", "up", "up", 0.53, "logit", margin=0.06)
    result(facts=facts).write(tmp_path / "saliency.npz")
    facts = ClipResult.read(tmp_path / "saliency.npz").facts
    assert title_of(facts, 0.53) == "a: up, predicted and explained: up; the model hardly decides (0.53)"
    wrong = facts | {"label": "down", "target": "down", "probability": 0.47}
    assert title_of(wrong, 0.53) == \
        "a: labelled down, called up, explained: down (0.47); the model hardly decides (0.53)"
    for decided in (facts | {"margin": 0.44}, facts_of("a", "up", "up", "up", 0.45, "logit")):
        assert "hardly" not in title_of(decided, 0.45)
