"""Which files --video and the class folders mean, and what is told about those that are left out."""

import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from data.annotation import write_annotation
from data.video import VIDEO_SUFFIXES, read_video, write_video
from data.video_files import video_files
from tests.passing import passing
from tests.runs import TRAINED_SCRIPTS, refused, run_command, train_options
from tests.test_annotate_kth import annotate, make_clips
from tests.tiny_data import numbered

CODECS = {".m4v": "mp4v", ".wmv": "WMV2", ".flv": "FLV1", ".3gp": "mp4v", ".ts": "mp4v"}  # those that OpenCV can write


def write_as(path, frames):
    """Write frames (N, H, W) uint8 in the format of the path's suffix."""
    if path.suffix == ".gif":
        first, *rest = map(Image.fromarray, frames)
        first.save(path, save_all=True, append_images=rest, duration=40)
        return
    code = cv2.VideoWriter_fourcc(*CODECS[path.suffix])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 25, frames.shape[:0:-1])
    assert writer.isOpened()
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()


def test_a_file_given_twice_is_taken_once(data_set, trained, tmp_path, capsys):
    (tmp_path / "link.avi").symlink_to(data_set.video)
    again = data_set.video.parent / "image_data" / ".." / "walk.avi"
    run_command("inference", "--resume_path", trained / "best.pth", "--result_path", tmp_path / "out", "--video",
                data_set.video, again, data_set.video, tmp_path / "link.avi")
    assert "2 clips classified, 0 left out" in capsys.readouterr().out
    assert video_files([again, data_set.video]) == [again] and video_files(None) is None


@pytest.mark.parametrize("script", TRAINED_SCRIPTS)
def test_a_folder_stands_for_its_videos(data_set, trained, tmp_path, capsys, script):
    folder = tmp_path / "some [videos]"
    (folder / "more").mkdir(parents=True)
    for name in ("b.avi", "a.avi"):
        shutil.copy(data_set.video, folder / name)
    (folder / "b.txt").write_text("notes")
    (folder / ".hidden.avi").write_text("")
    run_command(script, "--resume_path", trained / "best.pth", "--result_path", tmp_path / "out", "--video", folder,
                folder / "a.avi", "--limit", 3 if script == "inference" else 1)
    printed = capsys.readouterr()
    assert ("3 clips classified" if script == "inference" else "1 clip explained") in printed.out
    assert f"--video {folder}: 2 files or folders in it are no videos and are left out: b.txt, more" in printed.err
    recipe = (tmp_path / "out" / "opts.json").read_text()
    assert '"video a"' in recipe and '"video b"' in recipe  # the digests of the files


@pytest.mark.parametrize(("path", "sentence"), [
    ("https://example.org/walk.mp4", "no video at https:/example.org/walk.mp4"), ("/dev/null", "no video at /dev/null"),
    ("tests", "--video tests is a folder without videos (.avi, .mp4, "), ("absent.avi", "no video at absent.avi"),
])
def test_what_is_no_file_is_refused_in_one_line(trained, tmp_path, capsys, monkeypatch, path, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    line = refused(capsys, "inference", "--resume_path", trained / "best.pth", "--video", path)
    assert sentence in line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("suffix", [*CODECS, ".gif"])
def test_videos_of_every_kind_are_read(tmp_path, suffix):
    frames = numbered(8, 64)[..., 0] * 20
    write_as(tmp_path / f"clip{suffix}", frames)
    read, _ = read_video(tmp_path / f"clip{suffix}")
    assert read.shape == (8, 64, 64, 3)
    np.testing.assert_allclose(read[..., 0].mean((1, 2)), frames.mean((1, 2)), atol=8)


def test_class_folders_hold_videos_of_every_kind(tmp_path, capsys):
    """Each of them is cut; what is no video is counted and named."""
    raw, frames = tmp_path / "raw", passing(40, ((5, 30),))[0]
    frames = np.stack([cv2.resize(frame, (64, 48)) for frame in frames])
    (raw / "wave" / "deeper").mkdir(parents=True)
    write_video(raw / "beside.avi", frames)
    write_as(raw / "wave" / "first.gif", frames)
    (raw / "wave" / "first.gif").rename(raw / "wave" / "first.GIF")
    for suffix in CODECS:
        write_as(raw / "wave" / f"take{suffix[1:]}{suffix}", frames)
    (raw / "wave" / "notes.txt").write_text("notes")
    run_command("utils.trim_videos", "--dataset", "folder", "--raw_path", raw, "--trimmed_path", tmp_path / "trimmed",
                "--n_frames", 6, "--context", 0)
    printed = capsys.readouterr()
    assert f"wave: {1 + len(CODECS)} videos trimmed, 0 kept from before, 0 skipped" in printed.out
    assert f"1 videos lie beside the class folders of {raw} and are left out: beside.avi" in printed.err
    others = "are no videos and are left out: wave/deeper, wave/notes.txt"
    assert f"2 files or folders in the class folders of {raw} {others}" in printed.err
    assert {".m4v", ".wmv", ".flv", ".3gp", ".ts", ".ogv", ".gif"} < set(VIDEO_SUFFIXES)


def test_a_data_set_of_one_class_is_refused(data_set, tmp_path, capsys):
    make_clips(tmp_path / "images", *(f"all/v_g0{group}_c01" for group in range(1, 5)))
    line = refused(capsys, annotate, tmp_path / "images", tmp_path / "one.json")
    assert "all 4 clips are of one class, all, but a classifier needs two classes; is" in line
    assert f"{tmp_path / 'images'} one level too deep" in line and not (tmp_path / "one.json").exists()
    clips = {f"person{person}_walking_d1_{take}": ("training", "walking") for person in (11, 12) for take in (1, 2)}
    write_annotation(tmp_path / "one.json", ["walking"], clips)
    line = refused(capsys, "main", *train_options(data_set, tmp_path / "run", "--annotation_path",
                                                  tmp_path / "one.json"))
    assert "one.json has one class, walking, but a classifier needs two; put each class into a folder of its" in line
    assert not (tmp_path / "run").exists()
