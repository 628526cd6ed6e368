"""What the scripts have in common that use a trained model."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from data.annotation import read_annotation
from data.clips import find_clips, read_frames
from data.video import write_video
from model.checkpoint import load_model
from model.contract import last_layer
from model.normalisation import MEANS
from tests.original_projects import Original, file_of
from tests.runs import TRAINED_SCRIPTS, data_options, refused, run_command, saved, table, use
from tests.tiny_data import CLIP, DURATION, SIZE, moving_block


@pytest.mark.parametrize("script", TRAINED_SCRIPTS)
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
    assert "image_00003.jpg (0 bytes) is not a complete image" in printed.err
    assert "holds 5 images, but its n_frames file says 6" in printed.err
    assert ("centre map" in printed.err) == (script == "frame_saliency")
    assert "2 left out" in printed.out


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
    for script in TRAINED_SCRIPTS:
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
    torch.save(file_of(original, "module."), tmp_path / "model.pth")
    _, clips, _ = find_clips(data_set.annotation, data_set.images, names=[CLIP])
    pixels, mean = torch.from_numpy(read_frames(clips[0])).permute(0, 3, 1, 2), torch.tensor(MEANS["kinetics"])
    with torch.no_grad():
        expected, of_unit_pixels = (original((each - mean[:, None, None])[None])[0].softmax(0).numpy()
                                    for each in (pixels, pixels / 255))
    options = [*data_options(data_set), "--resume_path", tmp_path / "model.pth", "--clips", CLIP, "--sample_size", SIZE,
               "--sample_duration", DURATION, "--mean_dataset", "kinetics"]
    for script in TRAINED_SCRIPTS:
        run_command(script, *options, "--result_path", tmp_path / script)
        told = [line for line in capsys.readouterr().out.splitlines() if "contains only weights; the settings" in line]
        assert len(told) == 1 and told[0].endswith(
            f" --classes running walking --sample_size {SIZE} --sample_duration {DURATION} --mean_dataset kinetics "
            "--norm_value 1"
        )
    row = table(tmp_path / "inference" / "predictions.csv")[0]
    np.testing.assert_allclose([float(row["running"]), float(row["walking"])], expected, atol=2e-6)
    for script in TRAINED_SCRIPTS[1:]:
        arrays = saved(tmp_path / script / "walking" / CLIP)
        assert arrays["predicted"] == ["running", "walking"][expected.argmax()]
        np.testing.assert_allclose(arrays["probability"], expected.max(), atol=2e-6)
    run_command("inference", *options, "--classes", "walking", "running", "--unit_pixels", "--result_path",
                tmp_path / "other")
    row = table(tmp_path / "other" / "predictions.csv")[0]
    np.testing.assert_allclose([float(row["walking"]), float(row["running"])], of_unit_pixels, atol=2e-6)
    line = refused(capsys, "inference", *options, "--classes", "a", "b", "c", "--result_path", tmp_path / "other")
    assert "the file's classifier has 2 classes, but 3 names were given (a, b, c)" in line


def test_a_model_that_overflows_is_refused(data_set, trained, tmp_path, capsys):
    content = torch.load(trained / "best.pth", weights_only=True)
    last = last_layer(load_model(trained / "best.pth")[0])
    content["state_dict"][f"{last}.bias"].fill_(3e38)  # their sum, of which the scores are centred, is infinite
    torch.save(content, tmp_path / "big.pth")
    for script in TRAINED_SCRIPTS:
        line = refused(capsys, script, *data_options(data_set), "--resume_path", tmp_path / "big.pth", "--result_path",
                       tmp_path / script)
        assert "not finite" in line
