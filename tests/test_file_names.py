"""Names of files that are not UTF-8, in every script."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

from data.clips import find_clips
from data.video import iterate_video, write_video
from model.checkpoint import load_model
from runtime import names
from runtime.files import read_json, write_csv, write_json
from saliency.results.clip import ClipResult
from tests.passing import make_videos
from tests.runs import data_options, run_command, table, train_options
from tests.tiny_data import DURATION, moving_block

LATIN = b"caf\xe9"  # as an old zip file leaves it
UTF8 = "gähn".encode()
encoded = pytest.mark.parametrize("name", [LATIN, UTF8])


def place(folder, name):
    """Return the path of a name (bytes) in a folder. Skips the test if the disk refuses such names."""
    path = folder / os.fsdecode(name)
    try:
        path.mkdir()
    except OSError:
        pytest.skip(f"the disk accepts no file named {name}")
    path.rmdir()
    return path


def check_texts(folder):
    """Fail if a text file in a folder is no valid UTF-8, or contains half a character."""
    found = [path for path in folder.rglob("*") if path.suffix in (".json", ".csv", ".html")]
    assert found
    for path in found:
        assert path.read_bytes().decode("utf-8").encode("utf-8")


def test_names_in_texts():
    latin, under_c = "caf\udce9", "g\udcc3\udca4hn"
    assert [names.readable(text) for text in (latin, under_c, "gähn", "\ud800")] == [
        "caf\\xe9", "gähn", "gähn", "\\ud800"]
    assert names.readable_content({latin: [latin, 1, (None, latin)]}) == {
        "caf\\xe9": ["caf\\xe9", 1, [None, "caf\\xe9"]]}


@encoded
def test_text_files(tmp_path, name):
    text = os.fsdecode(name)
    write_json(tmp_path / "a.json", {text: [text]})
    assert read_json(tmp_path / "a.json") == {text: [text]}
    write_csv(tmp_path / "a.csv", [[text, 1]])
    assert (tmp_path / "a.csv").read_bytes().decode("utf-8").split(",")[0] == names.readable(text)
    check_texts(tmp_path)


@encoded
def test_video_files(tmp_path, name):
    frames, _ = moving_block(1, 1)
    folder = place(tmp_path, name)
    for suffix in (".avi", ".mp4"):
        write_video(folder / f"{folder.name}{suffix}", frames)
        assert len(list(iterate_video(folder / f"{folder.name}{suffix}"))) == len(frames)
    assert len(list(folder.iterdir())) == 2  # nothing temporary is left


@pytest.fixture
def videos(tmp_path):
    """Two short videos with such names."""
    paths = [place(tmp_path, name + b".avi") for name in (LATIN, UTF8)]
    for path in paths:
        write_video(path, moving_block(1, 99)[0])
    return paths


def test_classified_videos(trained, videos, tmp_path, capsys):
    options = ["--resume_path", trained / "best.pth", "--video", *videos]
    run_command("inference", *options, "--result_path", tmp_path / "here")
    assert "caf\\xe9.avi frames 1-6" in capsys.readouterr().out
    check_texts(tmp_path / "here")
    assert [row["clip"] for row in table(tmp_path / "here" / "predictions.csv")] == ["caf\\xe9_00001", "gähn_00001"]
    for video in videos:
        assert len(list(iterate_video(tmp_path / "here" / f"{video.stem}_classified.mp4"))) == DURATION


def test_explained_videos(trained, videos, tmp_path, capsys):
    options = ["--resume_path", trained / "best.pth", "--result_path", tmp_path / "out", "--video", *videos]
    run_command("frame_saliency", *options)
    check_texts(tmp_path / "out")
    run_command("frame_saliency", *options)
    assert "0 clips explained, 2 kept from before, 0 left out" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "\\udc" not in page
    for video, shown in zip(videos, ("caf\\xe9_00001", "gähn_00001"), strict=True):
        clip = tmp_path / "out" / "video" / f"{video.stem}_00001"
        assert ClipResult.read(clip / "saliency.npz").facts["clip"] == shown
        assert clip.name in read_json(tmp_path / "out" / "metrics.json")["clips"]
        assert len(list(iterate_video(clip / "overlay.mp4"))) == DURATION
        assert json.dumps(shown) in page


def test_class_folders(tmp_path, capsys):
    """Class folders, videos and masks are prepared, trained on and explained."""
    classes = [os.fsdecode(name) for name in (LATIN, UTF8)]
    raw = place(tmp_path, LATIN)
    make_videos(raw, persons=(1, 2, 3), classes=classes, ranges=False)
    trimmed, images, annotation = tmp_path / "trimmed", tmp_path / "images", tmp_path / "a" / "kth1.json"
    trim = ["--raw_path", raw, "--trimmed_path", trimmed, "--n_frames", "6", "--size", "32", "32"]
    run_command("utils.trim_videos", *trim)
    places = ["--trimmed_path", trimmed, "--image_path", images]
    run_command("utils.extract_frames", *places)
    lists = [tmp_path / "trainlist.txt", tmp_path / "testlist.txt"]
    for path, persons in zip(lists, ((1, 2), (3,)), strict=True):
        path.write_bytes(b"".join(b"%b/person0%d_%b_d1_uncomp.avi\n" % (name, person, name)
                                  for name in (LATIN, UTF8) for person in persons))
    run_command("utils.annotate_kth", *places, "--annotation_path", annotation, "--split_files", *lists)
    assert "warning" not in capsys.readouterr().err
    labels, clips, problems = find_clips(annotation, images)
    assert sorted(labels) == sorted(classes) and len(clips) == 12 and not problems
    assert all((clip.path / "masks.npz").is_file() for clip in clips)
    data = SimpleNamespace(annotation=annotation, images=images)
    run_command("main", *train_options(data, tmp_path / "run"), "--feature_cache", tmp_path / "cache")
    assert load_model(tmp_path / "run" / "best.pth")[1].classes == labels
    options = [*data_options(data), "--resume_path", tmp_path / "run" / "best.pth", "--result_path", tmp_path / "out"]
    run_command("feature_saliency", *options, "--limit", "1", "--target", labels[0])
    run_command("inference", *options[:-1], tmp_path / "classified")
    assert "4 clips classified, 0 left out" in capsys.readouterr().out
    for folder in ("out", "classified", "run", "trimmed", "a"):
        check_texts(tmp_path / folder)
    with np.load(next((tmp_path / "out").glob("*/*/saliency.npz"))) as archive:
        assert str(archive["target"]) == names.readable(labels[0])
