"""Classification from the command line."""

import numpy as np
import pytest
import torch

import inference
from data.clips import clips_of_videos, find_clips, load_frames, without_color
from data.video import read_video, write_video
from model.checkpoint import load_model
from model.prediction import reading
from runtime.files import read_json
from tests.original_projects import Original, file_of
from tests.runs import as_seen, run_command, table, use
from tests.tiny_data import DURATION, SIZE, moving_block


def test_inference(data_set, trained, tmp_path, capsys):
    use("inference", data_set, trained, tmp_path)
    assert "4 clips classified, 0 left out" in capsys.readouterr().out
    rows, metrics = table(tmp_path / "predictions.csv"), read_json(tmp_path / "metrics.json")
    assert list(rows[0]) == ["clip", "label", "predicted", "running", "walking"]
    assert [row["clip"] for row in rows] == [f"person22_{c}_d1_{k}" for c in ("walking", "running") for k in (1, 2)]
    confusion = np.zeros((2, 2), dtype=int)
    for row in rows:
        assert float(row["running"]) + float(row["walking"]) == pytest.approx(1, abs=1e-5)
        assert row["predicted"] == max(("running", "walking"), key=lambda name: float(row[name]))
        confusion[metrics["classes"].index(row["label"]), metrics["classes"].index(row["predicted"])] += 1
    assert metrics["confusion"] == confusion.tolist()
    assert metrics["accuracy"] == confusion.trace() / 4
    assert metrics["counts"] == {"running": 2, "walking": 2}
    assert (tmp_path / "confusion.png").stat().st_size > 1000
    assert read_json(trained / "metrics.json")["testing"]["confusion"] == metrics["confusion"]
    model, _, clip = as_seen(data_set, trained)
    np.testing.assert_allclose(model(clip[None])[0].softmax(0)[0].item(), float(rows[0]["running"]), atol=1e-5)


def test_inference_on_a_video(data_set, trained, tmp_path, capsys):
    use("inference", data_set, trained, tmp_path, "--video", data_set.video, "--annotation_path", "nowhere.json")
    rows = table(tmp_path / "predictions.csv")
    assert [(row["clip"], row["label"]) for row in rows] == [("walk_00001", ""), ("walk_00007", "")]
    assert "walk.avi frames 7-12" in capsys.readouterr().out
    frames, _ = read_video(tmp_path / "walk_classified.mp4")
    assert frames.shape == (2 * DURATION, 2 * SIZE, 2 * SIZE, 3)
    assert not (tmp_path / "metrics.json").exists()


def test_the_class_is_written_in_white_on_a_dark_strip():
    """Nothing is darker than the strip: an outline of thicker letters, which OpenCV 5 makes wider, would be."""
    frame = np.full((60, 200, 3), 128, np.uint8)
    drawn = inference.labelled(frame, "running 1.00")
    assert (drawn[26:] == 128).all() and (frame == 128).all()
    assert drawn[:26].min() == 32 and drawn[:26].max() > 200
    columns = np.flatnonzero((drawn[:26] > 150).any((0, 2)))
    assert columns.min() >= 6 and columns.max() < 150


def test_the_last_window_of_a_video_ends_with_it(trained, tmp_path):
    frames = np.arange(DURATION + 2, dtype=np.uint8)[:, None, None].repeat(SIZE, 1).repeat(SIZE, 2) * 20
    write_video(tmp_path / "long.avi", frames)
    run_command("inference", "--video", tmp_path / "long.avi", "--resume_path", trained / "best.pth", "--result_path",
                tmp_path / "results")
    assert [row["clip"] for row in table(tmp_path / "results" / "predictions.csv")] == ["long_00001", "long_00003"]
    copy, _ = read_video(tmp_path / "results" / "long_classified.mp4")
    np.testing.assert_allclose(copy[:, -8:].mean((1, 2, 3)), frames.mean((1, 2)), atol=8)  # each frame once


def test_an_interrupted_run_says_how_to_go_on(data_set, trained, tmp_path, capsys, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("inference.classify", interrupt)
    with pytest.raises(SystemExit) as ended:
        use("inference", data_set, trained, tmp_path)
    assert ended.value.code == 130
    assert "run the same command to go on" in capsys.readouterr().err


CLIP = "person22_walking_d1_1"


def test_the_annotation_of_other_data_does_not_name_the_classes(data_set, tmp_path):
    """A file of the original projects has no class names; those of its code are taken for a video."""
    torch.manual_seed(0)
    torch.save(file_of(Original(nested=True).eval(), "module."), tmp_path / "model.pth")
    for name, annotation in (("with", data_set.annotation), ("without", tmp_path / "none.json")):
        run_command("inference", "--resume_path", tmp_path / "model.pth", "--video", data_set.video, "--sample_size",
                    SIZE, "--sample_duration", DURATION, "--annotation_path", annotation, "--result_path",
                    tmp_path / name)
    one, other = ((tmp_path / name / "predictions.csv").read_text() for name in ("with", "without"))
    assert one == other and one.startswith("clip,label,predicted,walking,running\n")


def test_a_model_of_grey_clips_reads_videos_without_colour(data_set, trained, tmp_path):
    frames = moving_block(1, 3)[0]
    write_video(tmp_path / "colour.avi", frames * np.uint8([1, 0, 0]) + frames // 3)
    found, _ = clips_of_videos([tmp_path / "colour.avi"], DURATION)
    assert np.ptp(load_frames(found[0], DURATION, SIZE), axis=3).max() > 50
    info = load_model(trained / "best.pth")[1]
    assert info.grey and np.ptp(load_frames(found[0], **reading(info)), axis=3).max() == 0
    grey = load_frames(find_clips(data_set.annotation, data_set.images)[1][0], DURATION, SIZE)
    assert np.array_equal(without_color(grey), grey)
