"""Clips become numbered images."""

import os
import shutil

import cv2
import numpy as np

from data.video import read_masks, read_video, write_masks, write_video
from tests.passing import extract, times_of
from tests.runs import bytes_of, refused


def test_extracted_clips(trimmed, images):
    clip = images / "walking" / "person11_walking_d1_2"
    names = [f"image_{t:05d}.jpg" for t in range(1, 11)] + ["masks.npz", "n_frames"]
    assert sorted(path.name for path in clip.iterdir()) == names
    assert (clip / "n_frames").read_text() == "10"
    pixels = cv2.imread(str(clip / "image_00001.jpg"), cv2.IMREAD_UNCHANGED)
    frames, _ = read_video(trimmed / "walking" / "person11_walking_d1_2.avi")
    assert pixels.shape == (30, 40) and np.abs(pixels.astype(int) - frames[0, ..., 0]).mean() < 3
    assert (read_masks(clip / "masks.npz") == read_masks(trimmed / "walking" / "person11_walking_d1_2.masks.npz")).all()
    assert len(list(images.glob("*/*/n_frames"))) == 12 and not list(images.glob("*/.*"))


def test_extraction_goes_on_where_it_was_killed(trimmed, images, tmp_path, capsys):
    shutil.copytree(images, tmp_path / "images")
    walking = tmp_path / "images" / "walking"
    (walking / "person01_walking_d1_1" / "image_00003.jpg").unlink()
    (walking / "person01_walking_d1_2" / "n_frames").unlink()
    (walking / "person02_walking_d1_1" / "n_frames").write_text("11")
    (walking / "person02_walking_d1_2" / "n_frames").write_bytes(b"\xff\xfe")
    (walking / "person11_walking_d1_1" / "masks.npz").unlink()
    os.utime(walking / "person11_walking_d1_2" / "n_frames", (1, 1))  # older than the clip: of another trimming
    shutil.copytree(walking / "person01_walking_d1_1", walking / ".person01_walking_d1_1.part123")
    before = times_of(tmp_path / "images" / "running")
    capsys.readouterr()
    extract(trimmed, tmp_path / "images")
    out = capsys.readouterr().out
    assert "running: 0 clips extracted, 6 kept" in out and "walking: 6 clips extracted, 0 kept" in out
    assert bytes_of(tmp_path / "images") == bytes_of(images)
    assert times_of(tmp_path / "images" / "running") == before
    extract(trimmed, tmp_path / "images", "--overwrite")
    assert "running: 6 clips extracted, 0 kept" in capsys.readouterr().out


def test_extraction_of_colour_and_of_broken_clips(trimmed, tmp_path, capsys):
    folder = tmp_path / "clips" / "wave"
    red = np.zeros((29, 16, 16, 3), np.uint8)
    red[..., 0] = 200
    write_video(folder / "red.mp4", red)
    (folder / "text.avi").write_text("not a video")
    write_video(folder / "masked.avi", red)
    write_masks(folder / "masked.masks.npz", np.ones((5, 16, 16)))
    (tmp_path / "images" / "wave" / "old").mkdir(parents=True)
    extract(tmp_path / "clips", tmp_path / "images")
    printed = capsys.readouterr()
    assert "wave: 1 clips extracted, 0 kept from before, 2 skipped" in printed.out
    assert "holds no masks (29, H, W) of type bool (shape (5, 16, 16), " in printed.err
    assert "text.avi (11 bytes)" in printed.err
    assert f"1 folders, such as {tmp_path / 'images' / 'wave' / 'old'}, belong to no clip" in printed.err
    assert (tmp_path / "images" / "wave" / "red" / "n_frames").read_text() == "29"
    blue, _, red = cv2.imread(str(tmp_path / "images" / "wave" / "red" / "image_00029.jpg")).mean(axis=(0, 1))
    assert red > 180 and blue < 20
    assert {p.name for p in (tmp_path / "images" / "wave").iterdir()} == {"red", "old"}


def test_nothing_to_extract(tmp_path, capsys):
    assert "utils/trim_videos.py" in refused(capsys, extract, tmp_path / "none", tmp_path / "images")
    for name in ("a.avi", "a.mp4"):
        (tmp_path / "clips" / "wave").mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / "wave" / name).write_text("x")
    line = refused(capsys, extract, tmp_path / "clips", tmp_path / "images")
    assert "wave/a.avi and wave/a.mp4 have the same name, " in line
    (tmp_path / "clips" / "wave" / "a.mp4").unlink()
    assert "none of the 1 clips could be extracted" in refused(capsys, extract, tmp_path / "clips", tmp_path / "images")
