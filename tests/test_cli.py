"""The four scripts, called in-process on a tiny data set: what they leave on disk, going on, starting again."""

import csv
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from data.annotation import read_annotation
from data.clips import ClipDataset, find_clips, read_frames
from data.video import read_masks, read_video, write_video
from model.checkpoint import load_model
from model.normalisation import MEANS
from model.preprocessing import normalise
from runtime import recipe as recipes
from runtime.files import read_json
from saliency.gradient import drawn_map, feature_gradient, frame_gradient
from saliency.metrics import auc
from tests.conftest import DURATION, SIZE, bytes_of, data_options, moving_block, refused, run_command, train_options
from tests.test_legacy import Original
from tests.test_legacy import saved as saved_original

SCRIPTS = ("inference", "frame_saliency", "feature_saliency")
CLIP = "person22_walking_d1_1"
EXPLAIN = ["--limit", 2, "--tsr", "--tsr_patch", 12, "--compare", "smoothgrad", "--target", "running"]


def use(script, data, trained, results, *more):
    run_command(script, *data_options(data), "--resume_path", trained / "best.pth", "--result_path", results, *more)


def saved(folder):
    with np.load(folder / "saliency.npz", allow_pickle=False) as archive:
        return dict(archive)


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def as_seen(data, trained, name=CLIP):
    """The model of a run, and a clip of the data set as it sees it."""
    model, info = load_model(trained / "best.pth")
    _, clips, _ = find_clips(data.annotation, data.images, names=[name])
    dataset = ClipDataset(clips, info.classes, info.sample_size, info.sample_duration,
                          partial(normalise, mean=info.mean, std=info.std))
    return model, info, dataset[0][0]


@pytest.fixture(scope="module")
def explained(data_set, trained, tmp_path_factory):
    """Frame saliency of two clips with everything switched on."""
    folder = tmp_path_factory.mktemp("frame_saliency")
    use("frame_saliency", data_set, trained, folder, *EXPLAIN)
    return folder


@pytest.fixture(scope="module")
def listened(data_set, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("feature_saliency")
    use("feature_saliency", data_set, trained, folder, "--limit", 1, "--tsr", "--method", "gradient_x_input",
        "--score", "probability")
    return folder


@pytest.mark.parametrize("script", ["main", *SCRIPTS])
def test_help_tells_all_flags(script, capsys):
    with pytest.raises(SystemExit) as ended:
        run_command(script, "--help")
    text = capsys.readouterr().out
    flags = {"--use_cuda", "--gpu", "--num_workers", "--annotation_path", "--video_path", "--dataset", "--sample_size",
             "--n_classes", "--model", "--result_path", "--overwrite", "--seed"}
    flags |= {"--backbone", "--backbone_weights", "--finetune", "--n_epochs", "--lr_rate"} if script == "main" else {
        "--subset", "--clips", "--limit", "--video", "--resume_path"}
    assert ended.value.code == 0
    assert not [flag for flag in flags if flag not in text]


def test_a_training_run(trained):
    assert {path.name for path in trained.iterdir()} == {
        "last.pth", "best.pth", "log.csv", "curves.png", "opts.json", "metrics.json", "confusion_validation.png",
        "confusion_testing.png", ".lock",
    }
    log = table(trained / "log.csv")
    assert [row["epoch"] for row in log] == ["1", "2"]
    assert list(log[0]) == ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]
    metrics, recipe = read_json(trained / "metrics.json"), read_json(trained / "opts.json")
    assert np.sum(metrics["testing"]["confusion"]) == 4
    best = log[metrics["best_epoch"] - 1]
    assert float(best["validation_accuracy"]) == metrics["validation"]["accuracy"]
    assert float(best["validation_loss"]) == pytest.approx(metrics["validation"]["loss"], rel=1e-5)
    assert recipe["options"]["backbone"] == "squeezenet1_1"
    assert recipe["versions"]["torch"] == torch.__version__.split("+")[0]


def test_a_checkpoint_describes_itself(trained):
    model, info = load_model(trained / "best.pth")
    assert (info.classes, info.sample_size, info.sample_duration) == (["running", "walking"], SIZE, DURATION)
    assert info.config["backbone"] == "squeezenet1_1"
    assert model(torch.zeros(1, DURATION, 3, SIZE, SIZE)).shape == (1, 2)
    assert not model.training


def test_training_needs_the_same_options_to_go_on(data_set, trained, tmp_path, capsys):
    folder = shutil.copytree(trained, tmp_path / "run")
    line = refused(capsys, "main", *train_options(data_set, folder, "--hidden_size", 8))
    assert "was made with --hidden_size 16, now 8 is given" in line
    shutil.copy(folder / "best.pth", folder / "last.pth")  # a checkpoint, but without the optimizer
    assert "last.pth is of another run" in refused(capsys, "main", *train_options(data_set, folder))
    (folder / "note.txt").write_text("mine")
    run_command("main", *train_options(data_set, folder, "--hidden_size", 8, "--overwrite", "--n_epochs", 1))
    assert len(table(folder / "log.csv")) == 1
    assert load_model(folder / "last.pth")[1].config["hidden_size"] == 8
    assert (folder / "note.txt").read_text() == "mine"


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


def test_inference_on_chosen_clips(data_set, trained, tmp_path):
    use("inference", data_set, trained, tmp_path, "--subset", "all", "--limit", 3)
    assert len(table(tmp_path / "predictions.csv")) == 3
    use("inference", data_set, trained, tmp_path, "--subset", "validation", "--clips", "person19_running_d1_2")
    assert [row["clip"] for row in table(tmp_path / "predictions.csv")] == ["person19_running_d1_2"]


def test_inference_on_a_video(data_set, trained, tmp_path, capsys):
    use("inference", data_set, trained, tmp_path, "--video", data_set.video, "--annotation_path", "nowhere.json")
    rows = table(tmp_path / "predictions.csv")
    assert [(row["clip"], row["label"]) for row in rows] == [("walk_00001", ""), ("walk_00007", "")]
    assert "walk.avi frames 7-12" in capsys.readouterr().out
    frames, _ = read_video(tmp_path / "walk_classified.mp4")
    assert frames.shape == (2 * DURATION, 2 * SIZE, 2 * SIZE, 3)
    assert not (tmp_path / "metrics.json").exists()


def test_frame_saliency_files(explained):
    assert {path.name for path in explained.iterdir()} == {
        "walking", "metrics.json", "metrics.csv", "methods.png", "report.html", "opts.json", ".lock"
    }
    folder = explained / "walking" / CLIP
    assert {path.name for path in folder.iterdir()} == {
        "saliency.npz", "metrics.json", "time.png", "frames.png", "overlay.mp4"
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
    assert list(result["clips"]) == [CLIP, "person22_walking_d1_2"]
    assert set(result["summary"]) == {"gradient", "smoothgrad", "tsr", "random", "centre", "frame_difference"}
    arrays, masks = saved(explained / "walking" / CLIP), read_masks(data_set.images / "walking" / CLIP / "masks.npz")
    per_frame = [auc(frame, mask) for frame, mask in zip(arrays["smoothgrad"], masks, strict=True)]
    assert result["clips"][CLIP]["smoothgrad"]["auc_mask_frame"] == pytest.approx(np.mean(per_frame))
    rows = table(explained / "metrics.csv")
    mean = [float(row["mean"]) for row in rows if (row["method"], row["metric"]) == ("tsr", "auc_mask_frame")]
    assert mean == [pytest.approx(np.mean([clip["tsr"]["auc_mask_frame"] for clip in result["clips"].values()]))]


def test_frame_saliency_goes_on(data_set, trained, explained, tmp_path, capsys):
    """Complete clips are kept byte for byte, a lost one is made again as it was; --overwrite makes all again."""
    folder = shutil.copytree(explained, tmp_path / "copy")
    before = bytes_of(folder)
    shutil.rmtree(folder / "walking" / "person22_walking_d1_2")
    use("frame_saliency", data_set, trained, folder, *EXPLAIN)
    assert "1 clips explained, 1 kept from before, 0 left out" in capsys.readouterr().out
    after = bytes_of(folder)
    assert after.keys() == before.keys()
    different = {path for path in before if after[path] != before[path]}
    assert different <= {"opts.json", "report.html", "walking/person22_walking_d1_2/saliency.npz"}  # paths and times
    for name, array in saved(explained / "walking" / "person22_walking_d1_2").items():
        np.testing.assert_array_equal(saved(folder / "walking" / "person22_walking_d1_2")[name], array)

    (folder / "walking" / CLIP / "metrics.json").write_text("{")
    line = refused(capsys, "frame_saliency", *data_options(data_set), "--resume_path", trained / "best.pth",
                   "--result_path", folder, *EXPLAIN)
    assert "metrics.json is not valid JSON" in line
    use("frame_saliency", data_set, trained, folder, "--limit", 1, "--overwrite", "--no_overlay", "--method",
        "grad_cam")
    assert "1 clips explained, 0 kept" in capsys.readouterr().out
    assert {"gradient", "grad_cam"} < saved(folder / "walking" / CLIP).keys()
    assert not {"smoothgrad", "tsr"} & saved(folder / "walking" / CLIP).keys()
    assert not (folder / "walking" / CLIP / "overlay.mp4").exists()


def test_half_precision_tells_what_it_cost(data_set, trained, tmp_path):
    use("frame_saliency", data_set, trained, tmp_path, "--limit", 1, "--no_overlay", "--tsr", "--tsr_step", "time",
        "--amp")
    assert 0 < saved(tmp_path / "walking" / CLIP)["tsr_amp_error"] < 0.5


def test_frame_saliency_of_a_video_into_the_folder_one_is_in(data_set, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    use("frame_saliency", data_set, trained, ".", "--video", data_set.video, "--limit", 1, "--no_overlay",
        "--smooth", 1.5, "--score", "probability", "--figure_format", "svg")
    folder = tmp_path / "video" / "walk_00001"
    assert {path.name for path in folder.iterdir()} == {"saliency.npz", "metrics.json", "time.svg", "frames.svg"}
    assert (saved(folder)["label"], saved(folder)["score"]) == ("", "probability")
    assert "auc_mask_frame" not in read_json(folder / "metrics.json")["gradient"]


def test_feature_saliency_files(data_set, trained, listened):
    model, info, clip = as_seen(data_set, trained)
    folder = listened / "walking" / CLIP
    assert {path.name for path in folder.iterdir()} == {
        "saliency.npz", "metrics.json", "features.png", "features_tsr.png", "profile.png"
    }
    arrays = saved(folder)
    target = info.classes.index(str(arrays["target"]))
    assert arrays["target"] == arrays["predicted"]
    gradient = feature_gradient(model, clip, target, "probability").numpy()
    np.testing.assert_allclose(arrays["gradient"], gradient, atol=1e-4 * np.abs(gradient).max())
    np.testing.assert_allclose(arrays["features"], model.encode(clip[None])[0].detach(), atol=1e-4)
    np.testing.assert_allclose(arrays["gradient_x_input"], arrays["gradient"] * arrays["features"], rtol=1e-5)
    assert arrays["tsr"].shape == arrays["gradient"].shape == (DURATION, 300)
    assert arrays["time_contribution"].shape == (DURATION,)
    assert set(read_json(listened / "metrics.json")["clips"]) == {CLIP}


def test_feature_saliency_goes_on_and_follows_the_label(data_set, trained, listened, tmp_path, capsys):
    folder = shutil.copytree(listened, tmp_path / "copy")
    use("feature_saliency", data_set, trained, folder, "--limit", 1, "--tsr", "--method", "gradient_x_input",
        "--score", "probability")
    assert "0 clips explained, 1 kept from before, 0 left out" in capsys.readouterr().out
    use("feature_saliency", data_set, trained, folder, "--target", "label", "--clips", "person22_running_d1_1",
        "--overwrite")
    assert saved(folder / "running" / "person22_running_d1_1")["target"] == "running"


@pytest.mark.parametrize("script", SCRIPTS)
def test_damaged_clips_are_left_out_and_counted(own_data_set, trained, tmp_path, capsys, script):
    data = own_data_set
    (data.images / "walking" / CLIP / "image_00003.jpg").write_bytes(b"")
    (data.images / "walking" / "person22_walking_d1_2" / "image_00001.jpg").unlink()
    (data.images / "walking" / "person11_walking_d1_1" / "image_00001.jpg").unlink()
    shutil.rmtree(data.images / "running" / "person22_running_d1_1")
    use(script, data, trained, tmp_path / "results")
    printed = capsys.readouterr()
    assert "1 of 4 listed clips have no frames on disk and are left out: person22_running_d1_1" in printed.err
    assert f"{CLIP} is left out: " in printed.err
    assert "image_00003.jpg (0 bytes) is not a whole picture" in printed.err
    assert "holds 5 images, n_frames says 6" in printed.err
    assert ("centre map" in printed.err) == (script == "frame_saliency")
    assert "2 left out" in printed.out


def test_results_of_another_model_are_not_mixed(data_set, trained, tmp_path, capsys):
    """Same path, other content: what is there came from a checkpoint that has been replaced."""
    checkpoint = shutil.copy(trained / "best.pth", tmp_path / "best.pth")
    options = [*data_options(data_set), "--resume_path", checkpoint, "--result_path", tmp_path / "results"]
    run_command("inference", *options, "--limit", 1)
    before = bytes_of(tmp_path / "results")
    assert "was made with --seed 0, now 1 is given" in refused(capsys, "inference", *options, "--seed", 1)
    torch.save(torch.load(checkpoint, weights_only=True) | {"epoch": 77}, checkpoint)
    assert "best.pth had another content" in refused(capsys, "inference", *options)
    assert bytes_of(tmp_path / "results") == before
    run_command("inference", *options, "--overwrite")


def test_videos_of_one_name_in_two_folders_are_not_mixed(data_set, trained, tmp_path, capsys):
    other = tmp_path / "other" / data_set.video.name
    write_video(other, np.full((DURATION, SIZE, SIZE), 90, np.uint8))
    options = ["--resume_path", trained / "best.pth", "--result_path", tmp_path / "results", "--limit", 1]
    run_command("frame_saliency", *options, "--video", data_set.video)
    write_video(tmp_path / "run.avi", np.full((DURATION, SIZE, SIZE), 60, np.uint8))
    run_command("frame_saliency", *options, "--video", tmp_path / "run.avi")
    before = bytes_of(tmp_path / "results")
    assert "when --video walk had another content" in refused(capsys, "frame_saliency", *options, "--video", other)
    assert bytes_of(tmp_path / "results") == before


def test_the_last_window_of_a_video_ends_with_it(trained, tmp_path):
    frames = np.arange(DURATION + 2, dtype=np.uint8)[:, None, None].repeat(SIZE, 1).repeat(SIZE, 2) * 20
    write_video(tmp_path / "long.avi", frames)
    run_command("inference", "--video", tmp_path / "long.avi", "--resume_path", trained / "best.pth", "--result_path",
                tmp_path / "results")
    assert [row["clip"] for row in table(tmp_path / "results" / "predictions.csv")] == ["long_00001", "long_00003"]
    copy, _ = read_video(tmp_path / "results" / "long_classified.mp4")
    np.testing.assert_allclose(copy[:, -8:].mean((1, 2, 3)), frames.mean((1, 2)), atol=8)  # each frame once


def test_cbam_shows_where_it_looks(data_set, tmp_path):
    run_command("main", *train_options(data_set, tmp_path, "--model", "cnnlstm_cbam", "--backbone", "resnet18",
                                       "--finetune", "--n_epochs", 1, "--sample_duration", 2))
    run_command("frame_saliency", *data_options(data_set), "--resume_path", tmp_path / "best.pth", "--result_path",
                tmp_path / "maps", "--limit", 1, "--no_overlay")
    assert (tmp_path / "maps" / "walking" / CLIP / "attention.png").stat().st_size > 10_000


def test_videos_in_class_folders_go_the_same_way(tmp_path, monkeypatch, capsys):
    """Names that are not KTH's, default places, colour: from videos to maps without a path."""
    monkeypatch.chdir(tmp_path)
    for label, speed in (("hop", 3), ("slide", 1)):
        for group in range(1, 6):
            frames, _ = moving_block(speed, group, 14)
            frames[..., 2] //= 2  # yellow
            write_video(Path("data/raw_dataset/folder") / label / f"v_{label}_g{group:02d}_c01.avi", frames)
    run_command("utils.trim_videos", "--raw_path", "data/raw_dataset/folder", "--trimmed_path", "data/folder_trimmed",
                "--color", "--start", 1, "--n_frames", DURATION, "--size", SIZE, SIZE)
    run_command("utils.extract_frames", "--trimmed_path", "data/folder_trimmed", "--image_path",
                "data/folder/image_data")
    run_command("utils.annotate_kth", "--trimmed_path", "data/folder_trimmed", "--image_path", "data/folder/image_data",
                "--annotation_path", "data/folder/annotation/folder1.json")
    read = read_annotation("data/folder/annotation/folder1.json")
    groups = {subset: {clip.split("_")[2] for clip, (own, _) in read.clips.items() if own == subset}
              for subset in ("training", "validation", "testing")}
    assert [len(group) for group in groups.values()] == [3, 1, 1] and len(set.union(*groups.values())) == 5
    run_command("main", "--dataset", "folder", "--backbone", "squeezenet1_1", "--backbone_weights", "none",
                "--n_epochs", 1, "--hidden_size", 8, "--sample_size", SIZE, "--sample_duration", DURATION)
    for script in SCRIPTS:
        run_command(script, "--dataset", "folder", "--resume_path", "snapshots/folder_cnnlstm_squeezenet1_1/best.pth",
                    "--limit", 1)
    clip = f"v_hop_{min(groups['testing'])}_c01_1"
    assert [row["clip"] for row in table(Path("results/inference/predictions.csv"))] == [clip]
    assert {"gradient", "flow"} < saved(Path("results/frame_saliency/hop") / clip).keys()
    assert {"gradient", "features"} < saved(Path("results/feature_saliency/hop") / clip).keys()
    frames = read_frames(find_clips(*(Path("data/folder") / part for part in ("annotation/folder1.json", "image_data")),
                                    names=[clip])[1][0])
    assert frames[..., 0].mean() > 1.5 * frames[..., 2].mean()


def test_a_file_of_the_original_in_all_scripts(data_set, tmp_path, capsys):
    """Without class names, sizes or normalisation in it: its scores are those of the network that it was saved from."""
    torch.manual_seed(0)
    original = Original(nested=True).eval()
    torch.save(saved_original(original, "module."), tmp_path / "model.pth")
    _, clips, _ = find_clips(data_set.annotation, data_set.images, names=[CLIP])
    pixels, mean = torch.from_numpy(read_frames(clips[0])).permute(0, 3, 1, 2), torch.tensor(MEANS["kinetics"])
    with torch.no_grad():
        expected, of_unit_pixels = (original((each - mean[:, None, None])[None])[0].softmax(0).numpy()
                                    for each in (pixels, pixels / 255))
    options = [*data_options(data_set), "--resume_path", tmp_path / "model.pth", "--clips", CLIP, "--sample_size", SIZE,
               "--sample_duration", DURATION, "--mean_dataset", "kinetics"]
    for script in SCRIPTS:
        run_command(script, *options, "--result_path", tmp_path / script)
        told = [line for line in capsys.readouterr().out.splitlines() if "contains only weights; the settings" in line]
        assert len(told) == 1 and told[0].endswith(
            f" --classes running walking --sample_size {SIZE} --sample_duration {DURATION} --mean_dataset kinetics "
            "--norm_value 1"
        )
    row = table(tmp_path / "inference" / "predictions.csv")[0]
    np.testing.assert_allclose([float(row["running"]), float(row["walking"])], expected, atol=2e-6)
    for script in SCRIPTS[1:]:
        arrays = saved(tmp_path / script / "walking" / CLIP)
        assert arrays["predicted"] == ["running", "walking"][expected.argmax()]
        np.testing.assert_allclose(arrays["probability"], expected.max(), atol=2e-6)
    run_command("inference", *options, "--classes", "walking", "running", "--unit_pixels", "--result_path",
                tmp_path / "other")
    row = table(tmp_path / "other" / "predictions.csv")[0]
    np.testing.assert_allclose([float(row["walking"]), float(row["running"])], of_unit_pixels, atol=2e-6)
    line = refused(capsys, "inference", *options, "--classes", "a", "b", "c", "--result_path", tmp_path / "other")
    assert "the file's classifier has 2 classes, 3 names were given (a, b, c)" in line


def test_an_interrupted_run_says_how_to_go_on(data_set, trained, tmp_path, capsys, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("inference.classify", interrupt)
    with pytest.raises(SystemExit) as ended:
        use("inference", data_set, trained, tmp_path)
    assert ended.value.code == 130
    assert "run the same command to go on" in capsys.readouterr().err


def test_the_recipe_without_git_and_packages(monkeypatch):
    """OpenCV may be installed under another of its names, git not at all."""
    def absent(*args, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(recipes.subprocess, "run", absent)
    monkeypatch.setattr(recipes, "PACKAGES", ("torch", "no-such-package"))
    recipe = recipes.recipe({"seed": 1})
    assert recipe["commit"] is None
    assert recipe["versions"]["no-such-package"] is None
    assert json.dumps(recipe)
