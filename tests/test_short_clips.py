"""Clips shorter and longer than the model's, from the command line: training and explaining read the same frames."""

import shutil

import numpy as np
import pytest

from data.clips import find_clips, load_frames
from data.video import read_video, write_video
from model import preprocessing
from model.checkpoint import load_model
from model.prediction import predict, reading
from runtime.files import read_json
from tests.runs import data_options, refused, run_command, saved, table, train_options, use
from tests.tiny_data import CLIP, DURATION, SIZE, moving_block, write_clip

LENGTHS = {CLIP: 1, "person22_running_d1_1": 3, "person19_walking_d1_1": 4, "person11_walking_d1_1": 2,
           "person12_running_d1_2": 5}
ALL = ["--tsr", "--tsr_patch", 16, "--when", "--deletion", "--signed", "--method", "integrated_gradients",
       "--path_points", 2, "--compare", "grad_cam", "freeze", "occlusion_frame", "--sanity", "--sanity_clips", 1,
       "--sanity_draws", 1]


def shorten(data, name, length):
    """Keep only the first images of a clip, without its masks."""
    folder = next(data.images.glob(f"*/{name}"))
    for path in sorted(folder.glob("image_*.jpg"))[length:]:
        path.unlink()
    (folder / "n_frames").write_text(str(length))
    (folder / "masks.npz").unlink(missing_ok=True)
    return folder


@pytest.fixture
def short(own_data_set):
    """A data set in which some clips of every subset are short."""
    for name, length in LENGTHS.items():
        shorten(own_data_set, name, length)
    return own_data_set


def test_training_and_explaining_read_the_true_frames(short, tmp_path, capsys):
    run_command("main", *train_options(short, tmp_path / "run"))
    told = capsys.readouterr().err
    assert ("training: 2 of 8 clips are shorter than the model's 6 frames: person11_walking_d1_1 has 2 frames, "
            "person12_running_d1_2 has 5 frames; only these frames are read") in told
    assert "testing: 2 of 4 clips are shorter" in told and "nothing moves in a single frame" in told
    use("inference", short, tmp_path / "run", tmp_path / "out")
    rows = table(tmp_path / "out" / "predictions.csv")
    found, expected = (read_json(tmp_path / name / "metrics.json") for name in ("run", "out"))
    assert found["testing"]["confusion"] == expected["confusion"]
    model, info = load_model(tmp_path / "run" / "best.pth")
    losses = []
    for row in rows:
        clip = find_clips(short.annotation, short.images, names=[row["clip"]])[1][0]
        seen = predict(model, info, load_frames(clip, **reading(info)))
        assert len(seen.tensor) == LENGTHS.get(row["clip"], DURATION)
        np.testing.assert_allclose([float(row[name]) for name in info.classes], seen.probabilities, atol=1e-5)
        losses.append(-np.log(seen.probabilities[info.classes.index(clip.label)]))
    assert found["testing"]["loss"] == pytest.approx(np.mean(losses), abs=1e-5)


def test_a_clip_of_one_frame_has_every_result(short, trained, tmp_path, capsys):
    use("frame_saliency", short, trained, tmp_path / "frame_saliency", "--clips", CLIP, *ALL)
    told = capsys.readouterr().err
    assert f"{CLIP} has 1 frame; only these frames are read; nothing moves in a single frame" in told
    folder = tmp_path / "frame_saliency" / "walking" / CLIP
    arrays = saved(folder)
    for name in ("frames", "gradient", "integrated_gradients", "grad_cam", "freeze", "tsr", "evidence_grad_cam"):
        assert arrays[name].shape == (1, SIZE, SIZE), name
    assert arrays["flow"].shape == (0, SIZE, SIZE)
    assert not arrays["gradient"].any()  # the head reads changes between frames, of which there is none
    assert arrays["time_delta"].shape == arrays["time_contribution"].shape == (1,)
    assert len(read_video(folder / "overlay.mp4")[0]) == 1
    assert {"when.png", "time.png", "frames.png"} < {path.name for path in folder.iterdir()}
    summary = read_json(tmp_path / "frame_saliency" / "metrics.json")["summary"]
    assert summary["gradient"]["auc_flow_frame"]["n_nan"] == summary["gradient"]["time_spearman_flow"]["n_nan"] == 1
    assert CLIP in (tmp_path / "frame_saliency" / "report.html").read_text()
    use("feature_saliency", short, trained, tmp_path / "feature_saliency", "--clips", CLIP, "--tsr", "--shapley")
    folder = tmp_path / "feature_saliency" / "walking" / CLIP
    assert len(saved(folder)["gradient"]) == len(saved(folder)["features"]) == 1
    assert {"features.png", "features_tsr.png"} < {path.name for path in folder.iterdir()}


def test_a_video_of_three_frames_is_told(trained, tmp_path, capsys):
    write_video(tmp_path / "walk.avi", moving_block(1, 5, 3)[0])
    run_command("feature_saliency", "--resume_path", trained / "best.pth", "--result_path", tmp_path / "out",
                "--video", tmp_path / "walk.avi")
    told = [line for line in capsys.readouterr().err.splitlines() if "shorter" in line]
    assert told == ["warning: 1 of 1 clips are shorter than the model's 6 frames: walk_00001 has 3 frames; only these "
                    "frames are read"]
    assert len(saved(tmp_path / "out" / "video" / "walk_00001")["gradient"]) == 3


def test_whole_videos_and_whole_clips(own_data_set, trained, tmp_path, capsys):
    """Longer than the model's clips: one result with all frames, where there would be several windows or the middle."""
    frames, masks = moving_block(1, 7, 9)
    folder = own_data_set.images / "walking" / CLIP
    shutil.rmtree(folder)
    write_clip(folder, frames, masks)
    from_disk = [*data_options(own_data_set), "--clips", CLIP]
    def explained(script, name, *source):
        run_command(script, *source, "--duration", "full", "--resume_path", trained / "best.pth", "--result_path",
                    tmp_path / name / script)
        assert "shorter" not in capsys.readouterr().err
        return tmp_path / name / script

    video = ["--video", own_data_set.video]
    folder = explained("inference", "video", *video)
    assert [row["clip"] for row in table(folder / "predictions.csv")] == ["walk_00001"]
    assert len(read_video(folder / "walk_classified.mp4")[0]) == 2 * DURATION
    for name, source, place, count in (("video", video, "video/walk_00001", 2 * DURATION),
                                       ("clip", from_disk, f"walking/{CLIP}", 9)):
        arrays = saved(explained("feature_saliency", name, *source) / place)
        assert len(arrays["gradient"]) == len(arrays["features"]) == count
        arrays = saved(explained("frame_saliency", name, *source, "--no_overlay") / place)
        assert len(arrays["gradient"]) == len(arrays["frames"]) == count and len(arrays["flow"]) == count - 1
    assert "auc_mask_frame" in read_json(tmp_path / "clip" / "frame_saliency" / "metrics.json")["summary"]["gradient"]


def test_a_whole_video_that_is_too_large_is_left_out(data_set, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(preprocessing, "MAX_BYTES", DURATION * SIZE * SIZE * 12)
    options = ["--video", data_set.video, "--resume_path", trained / "best.pth", "--result_path", tmp_path]
    run_command("inference", *options)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        run_command("inference", *options, "--duration", "full", "--overwrite")
    told = capsys.readouterr().err
    assert f"walk_00001 is left out: a clip of {2 * DURATION} frames of {SIZE} x {SIZE} pixels fills" in told
    assert "none of the 1 clips could be read" in told


def test_one_frame_in_a_batch_is_too_few_for_batch_norm(short, tmp_path, capsys):
    shorten(short, "person11_walking_d1_1", 1)
    options = train_options(short, tmp_path, "--finetune", "--backbone", "resnet18", "--batch_size", 1)
    assert "8 clips, the shortest of one frame, in batches of 1" in refused(capsys, "main", *options)
