"""Saliency of frames from the command line."""

import json
import shutil

import numpy as np
import pytest

from data.video import read_masks, read_video
from runtime.files import read_json
from saliency.gradient import drawn_map, frame_gradient
from saliency.metrics import auc
from saliency.when import decide
from tests.runs import as_seen, bytes_of, data_options, refused, run_command, saved, train_options, use
from tests.tiny_data import CLIP, DURATION, SIZE

OTHER = "person22_running_d1_1"  # the second clip of --limit 2, after CLIP
EXPLAIN = ["--limit", 2, "--tsr", "--tsr_patch", 12, "--compare", "smoothgrad", "--target", "running"]


@pytest.fixture(scope="module")
def explained(data_set, trained, tmp_path_factory):
    """Frame saliency of two clips with everything switched on."""
    folder = tmp_path_factory.mktemp("frame_saliency")
    use("frame_saliency", data_set, trained, folder, *EXPLAIN)
    return folder


def test_frame_saliency_files(explained):
    assert {path.name for path in explained.iterdir()} == {
        "walking", "running", "metrics.json", "metrics.csv", "methods.png", "report.html", "opts.json", ".lock"
    }
    folder = explained / "walking" / CLIP
    assert {path.name for path in folder.iterdir()} == {
        "saliency.npz", "metrics.json", "time.png", "frames.png", "when.png", "overlay.mp4"
    }
    assert len(read_video(folder / "overlay.mp4")[0]) == DURATION
    arrays, shape = saved(folder), (DURATION, SIZE, SIZE)
    for name in ("gradient", "smoothgrad", "tsr"):
        assert (arrays[name].shape, arrays[name].dtype) == (shape, np.float32)
        assert arrays[name].min() >= 0
    assert (arrays["frames"].shape, arrays["frames"].dtype) == (shape, np.uint8)
    assert arrays["flow"].shape == (DURATION - 1, SIZE, SIZE)
    assert arrays["time_delta"].shape == arrays["time_contribution"].shape == (DURATION,)
    assert (arrays["time_contribution"].min(), arrays["time_contribution"].max()) == (0, 1)
    assert arrays["patch_delta"].shape == (DURATION, 3, 3)
    assert (arrays["clip"], arrays["label"], arrays["target"], arrays["score"]) == (CLIP, "walking", "running", "logit")


def test_frame_saliency_is_the_gradient_of_the_target(data_set, trained, explained):
    model, info, clip = as_seen(data_set, trained)
    arrays = saved(explained / "walking" / CLIP)
    expected = drawn_map(frame_gradient(model, clip, info.classes.index("running"))).numpy()
    np.testing.assert_allclose(arrays["gradient"], expected, atol=1e-4 * expected.max())
    probabilities = model(clip[None])[0].softmax(0)
    assert arrays["predicted"] == info.classes[int(probabilities.argmax())]
    np.testing.assert_allclose(arrays["probability"], probabilities[info.classes.index("running")].item(), atol=1e-5)


def test_frame_saliency_metrics(data_set, explained):
    result = read_json(explained / "metrics.json")
    assert list(result["clips"]) == [CLIP, OTHER]
    assert set(result["summary"]) == {"gradient", "smoothgrad", "tsr", "random", "centre", "frame_difference",
                                      "frame_difference_patches"}
    counts = {name: row["frames_with_reference"] for name, row in result["clips"][CLIP].items()}
    assert len(set(counts.values())) == 1 and result["clips"][CLIP]["tsr"]["frames_constant"] > 0
    assert len({row["auc_flow_frame"]["n"] for row in result["summary"].values()}) == 1
    arrays, masks = saved(explained / "walking" / CLIP), read_masks(data_set.images / "walking" / CLIP / "masks.npz")
    per_frame = [auc(frame, mask) for frame, mask in zip(arrays["smoothgrad"], masks, strict=True)]
    assert result["clips"][CLIP]["smoothgrad"]["auc_mask_frame"] == pytest.approx(np.mean(per_frame))


def test_the_decision_is_part_of_the_result(data_set, trained, explained):
    model, info, clip = as_seen(data_set, trained)
    arrays, target = saved(explained / "walking" / CLIP), info.classes.index("running")
    decision = decide(model, clip, target)
    np.testing.assert_allclose(arrays["when_shapley"], decision.shapley.values, atol=1e-4)
    np.testing.assert_allclose(arrays["when_lost_freeze"], decision.intervals.lost["freeze"], atol=1e-2)
    assert len(arrays["when_sentences"]) >= 1 and arrays["when_prefix_padded"].shape == (DURATION, 2)
    found = read_json(explained / "metrics.json")["when"]
    assert set(found["clips"]) == {CLIP, OTHER}
    assert found["summary"]["sufficient_frames"]["n"] <= 2 and "spearman_tsr" in found["clips"][CLIP]


def test_frame_saliency_goes_on(data_set, trained, explained, tmp_path, capsys):
    """Complete clips are kept byte for byte, a lost one is made again as it was; --overwrite makes all again."""
    folder = shutil.copytree(explained, tmp_path / "copy")
    before = bytes_of(folder)
    shutil.rmtree(folder / "running" / OTHER)
    use("frame_saliency", data_set, trained, folder, *EXPLAIN)
    assert "1 clip explained, 1 kept from before, 0 left out" in capsys.readouterr().out
    after = bytes_of(folder)
    assert after.keys() == before.keys()
    different = {path for path in before if after[path] != before[path]}
    assert different <= {"opts.json", "report.html", f"running/{OTHER}/saliency.npz"}  # paths and times
    for name, array in saved(explained / "running" / OTHER).items():
        np.testing.assert_array_equal(saved(folder / "running" / OTHER)[name], array)

    (folder / "walking" / CLIP / "metrics.json").write_text("{")
    line = refused(capsys, "frame_saliency", *data_options(data_set), "--resume_path", trained / "best.pth",
                   "--result_path", folder, *EXPLAIN)
    assert "metrics.json is not valid JSON" in line
    use("frame_saliency", data_set, trained, folder, "--limit", 1, "--overwrite", "--no_overlay", "--method",
        "grad_cam")
    assert "1 clip explained, 0 kept" in capsys.readouterr().out
    assert {"gradient", "grad_cam"} < saved(folder / "walking" / CLIP).keys()
    assert not {"smoothgrad", "tsr"} & saved(folder / "walking" / CLIP).keys()
    assert not (folder / "walking" / CLIP / "overlay.mp4").exists()


def test_frame_saliency_of_a_video_into_the_folder_one_is_in(data_set, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    use("frame_saliency", data_set, trained, ".", "--video", data_set.video, "--limit", 1, "--no_overlay",
        "--smooth", 1.5, "--score", "probability", "--figure_format", "svg")
    folder = tmp_path / "video" / "walk_00001"
    assert {path.name for path in folder.iterdir()} == {"saliency.npz", "metrics.json", "time.svg", "frames.svg",
                                                        "when.svg"}
    assert (saved(folder)["label"], saved(folder)["score"]) == ("", "probability")
    assert "auc_mask_frame" not in read_json(folder / "metrics.json")["gradient"]


def test_cbam_shows_where_it_looks(data_set, tmp_path):
    run_command("main", *train_options(data_set, tmp_path, "--model", "cnnlstm_cbam", "--backbone", "resnet18",
                                       "--finetune", "--n_epochs", 1, "--sample_duration", 2))
    run_command("frame_saliency", *data_options(data_set), "--resume_path", tmp_path / "best.pth", "--result_path",
                tmp_path / "maps", "--limit", 1, "--no_overlay")
    assert (tmp_path / "maps" / "walking" / CLIP / "attention.png").stat().st_size > 10_000


def test_results_are_plain_json_even_where_nothing_moves(own_data_set, trained, tmp_path):
    """A metric that has no number for any clip is reported as such."""
    folder = own_data_set.images / "walking" / CLIP
    for image in folder.glob("image_*.jpg"):
        image.write_bytes((folder / "image_00001.jpg").read_bytes())
    use("frame_saliency", own_data_set, trained, tmp_path / "out", "--clips", CLIP, "--no_overlay", "--tsr")
    summary = json.loads((tmp_path / "out" / "metrics.json").read_text())["summary"]
    assert summary["gradient"]["auc_flow_frame"] == {"mean": None, "low": None, "high": None, "n": 0, "n_nan": 1,
                                                     "groups": 0, "values": []}


def test_maps_that_say_when_are_not_measured_against_pixels(data_set, trained, tmp_path):
    use("frame_saliency", data_set, trained, tmp_path, "--limit", 2, "--no_overlay", "--no_when", "--smooth", 3,
        "--compare", "freeze", "occlusion_block", "--occlusion_pixels", 16)
    rows = read_json(tmp_path / "metrics.json")["summary"]
    assert set(rows) == {"gradient", "freeze", "occlusion_block", "random", "centre", "frame_difference",
                         "frame_difference_blocks"}
    assert not any("flow_frame" in name or "mask_frame" in name for name in rows["freeze"])
    assert {"time_spearman_flow", "last_quarter_share", "time_auroc_visible"} < rows["freeze"].keys()


def test_tsr_as_the_method_needs_no_other_flag(data_set, trained, tmp_path, capsys):
    use("frame_saliency", data_set, trained, tmp_path, "--limit", 1, "--no_overlay", "--no_when", "--method", "tsr",
        "--tsr_step", "time")
    assert "tsr" in saved(tmp_path / "walking" / CLIP)
    printed = capsys.readouterr().out
    assert "explained: " in printed and "The map of tsr" not in printed  # it has no AUC: each frame is constant


def test_the_gradient_leaves_cores_to_the_processes_that_draw(data_set, trained, tmp_path, monkeypatch):
    """Also in a run that goes on with a single clip, so that it computes as the stopped one did; TSR keeps them all."""
    counts = []
    monkeypatch.setattr("torch.get_num_threads", lambda: 5)
    monkeypatch.setattr("torch.set_num_threads", counts.append)
    monkeypatch.setattr("runtime.workers.n_cores", lambda: 2)

    def threads(folder, limit, *flags):
        counts.clear()
        use("frame_saliency", data_set, trained, tmp_path / folder, "--limit", limit, "--no_overlay", "--no_when",
            *flags)
        return counts

    assert threads("two", 2) == [3, 5]
    shutil.rmtree(tmp_path / "two" / "walking" / CLIP)
    assert threads("two", 2) == [3, 5]
    assert threads("one", 1) == [5, 5]
    assert threads("tsr", 2, "--tsr", "--tsr_step", "time") == [5, 5]
