"""Videos become clips of a fixed length."""

import json
import shutil

import numpy as np
import pytest

from data.video import masks_path, read_masks, read_video, write_video
from tests.passing import passing, trim
from tests.runs import KTH, bytes_of, refused
from utils import trim_videos

needs_real_videos = pytest.mark.skipif(not (KTH / "kth_data").is_dir(), reason="real KTH videos are not here")


def test_trimmed_clips(raw, trimmed, capsys):
    clips = sorted(trimmed.glob("*/*.avi"))
    assert len(clips) == 2 * 3 * 2 and clips[0].name == "person01_running_d1_1.avi"
    frames, _ = read_video(trimmed / "walking" / "person11_walking_d1_2.avi")
    assert frames.shape == (10, 30, 40, 3) and (frames[..., :1] == frames).all()
    record = json.loads((trimmed / "trim.json").read_text())
    first = record["videos"]["walking/person11_walking_d1_uncomp.avi"]["clips"]["person11_walking_d1_2"]
    assert abs(first - 61) <= 1  # ten frames in the middle of frames 56-75
    masks = read_masks(trimmed / "walking" / "person11_walking_d1_2.masks.npz")
    assert (masks == passing()[1][first - 1 : first + 9]).all() and masks.any(axis=(1, 2)).all()
    assert (frames[..., 0][masks].mean() - frames[..., 0][~masks].mean()) > 100  # the masks fit the frames
    assert not [path for path in trimmed.rglob(".*") if path.name != ".lock"]


def test_without_ranges_and_with_options(raw, tmp_path, capsys):
    """Windows found from motion are where those of the ranges are; size, several windows, a fixed start."""
    one = ("--classes", "walking", "--workers=1")
    trim(raw, tmp_path / "a", "--sequences=none", *one)
    assert "\nranges of 3 videos found from motion\n" in capsys.readouterr().out
    trim(raw, tmp_path / "b", *one)
    assert f"ranges of 3 videos from {raw}/00sequences.txt, of 0 videos found from" in capsys.readouterr().out
    a, b = (bytes_of(tmp_path / name) for name in "ab")
    found, known = (json.loads(each.pop("trim.json"))["videos"] for each in (a, b))
    assert [entry["clips"] for entry in found.values()] == [entry["clips"] for entry in known.values()] and a == b
    trim(raw, tmp_path / "c", "--windows=2", "--size", "20", "24", *one)
    assert len(list((tmp_path / "c" / "walking").glob("person11_walking_d1_[12]_[12].avi"))) == 4
    assert read_masks(tmp_path / "c" / "walking" / "person11_walking_d1_1_1.masks.npz").shape == (10, 24, 20)
    trim(raw, tmp_path / "d", "--start=16", *one)
    frames, _ = read_video(tmp_path / "d" / "walking" / "person11_walking_d1_1.avi")
    assert len(list((tmp_path / "d" / "walking").glob("*.avi"))) == 3
    assert np.abs(frames[..., 0].astype(int) - passing()[0][15:25]).mean() < 5


def test_colour_and_names_of_any_class(tmp_path):
    """Videos of one name in two classes, upper-case endings, no KTH names, nothing known of the ranges."""
    frames = np.stack([passing()[0]] * 2 + [np.full((90, 30, 40), 20, np.uint8)], axis=-1)
    for label in ("sit down", "wave"):
        write_video(tmp_path / "raw" / label / "1.avi", frames)
    (tmp_path / "raw" / "wave" / "1.avi").rename(tmp_path / "raw" / "wave" / "1.AVI")
    (tmp_path / "raw" / "wave" / "notes.txt").write_text("not a video")
    trim(tmp_path / "raw", tmp_path / "out", "--color")
    assert {path.name for path in tmp_path.glob("out/*/*.avi")} == {"sit down_1_1.avi", "sit down_1_2.avi",
                                                                   "wave_1_1.avi", "wave_1_2.avi"}  # fmt: skip
    read, _ = read_video(tmp_path / "out" / "wave" / "wave_1_1.avi")
    assert (read[..., 0].mean() - read[..., 2].mean()) > 30


def test_unreadable_videos_are_counted(raw, tmp_path, capsys):
    shutil.copytree(raw, tmp_path / "raw")
    folder = tmp_path / "raw" / "walking"
    good = (folder / "person11_walking_d1_uncomp.avi").read_bytes()
    (folder / "person11_walking_d1_uncomp.avi").write_bytes(good[: len(good) // 2])  # first range readable, second gone
    masks_path(folder / "person11_walking_d1_uncomp.avi").unlink()
    (folder / "person12_walking_d1_uncomp.avi").write_bytes(b"")
    (folder / "person13_walking_d1_uncomp.avi").write_text("a text\n" * 99)
    write_video(folder / "person14_walking_d1_uncomp.avi", passing()[0][:9])
    write_video(folder / "person15_walking_d1_uncomp.avi", np.full((40, 30, 40), 9, np.uint8))
    masks_path(folder / "person01_walking_d1_uncomp.avi").write_text("not masks")
    trim(tmp_path / "raw", tmp_path / "out")
    printed = capsys.readouterr()
    assert "running: 3 videos trimmed, 0 kept from before, 0 skipped" in printed.out
    assert "walking: 2 videos trimmed, 0 kept from before, 5 skipped" in printed.out and "9 clips of" in printed.out
    for reason in ("person11_walking_d1_uncomp.avi: range 51-80 lies beyond the last frame", "(0 bytes) holds no frame",
                   "(693 bytes) holds no frame", "it has 9 frames, but 10 are needed", "nothing moves in it",
                   "holds no masks"):  # fmt: skip
        assert reason in printed.err
    assert len(printed.err.strip().split("\n")) == 6
    for path in folder.glob("*.avi"):
        path.write_bytes(b"")
    assert "none of the 7 videos could be trimmed" in refused(
        capsys, trim, tmp_path / "raw", tmp_path / "none", "--classes", "walking"
    )


def test_clip_names_that_clash(tmp_path, capsys):
    for name in ("1.avi", "1.mp4"):
        write_video(tmp_path / "raw" / "wave" / name, passing(20, [(5, 15)])[0])
    line = refused(capsys, trim, tmp_path / "raw", tmp_path / "out")
    assert "wave/1.avi and wave/1.mp4 have the same name, wave_1, " in line
    (tmp_path / "raw" / "sit").mkdir()
    line = refused(capsys, trim, tmp_path / "raw", tmp_path / "out", "--classes", "sit")
    assert "--classes sit: " in line and "raw holds wave" in line


@needs_real_videos
def test_real_running_clips_show_somebody(tmp_path):
    """person07_running_d3 passes in 28 to 30 frames: the windows hold the pass, with ranges and without."""
    raw = tmp_path / "kth_data" / "running"
    raw.mkdir(parents=True)
    shutil.copy(KTH / "kth_data" / "running" / "person07_running_d3_uncomp.avi", raw)
    shutil.copy(KTH / "00sequences.txt", tmp_path)
    for name, more in (("ranges", []), ("motion", ["--sequences=none"])):
        trim_videos.main([f"--raw_path={raw.parent}", f"--trimmed_path={tmp_path / name}", *more])
        clips = sorted((tmp_path / name).glob("running/*.avi"))
        assert [path.name for path in clips] == [f"person07_running_d3_{k}.avi" for k in (1, 2, 3, 4)]
        for path in clips:
            frames = read_video(path)[0][..., 0].astype(int)
            assert frames.shape == (30, 120, 120)
            shows = (np.abs(frames - np.median(frames, axis=0)) > 20).sum(axis=(1, 2)) > 30
            assert shows.sum() >= 26


def test_a_clip_in_which_nothing_moves_is_told(tmp_path, capsys):
    frames, _ = passing(90, ((15, 35),))
    write_video(tmp_path / "raw" / "wave" / "a.avi", frames)
    trim(tmp_path / "raw", tmp_path / "out", "--start=60")
    assert "warning: wave/a.avi: nothing moves in the clip a_1" in capsys.readouterr().err


def test_colour_motion_gives_clips(tmp_path):
    frames = np.full((80, 30, 40, 3), (0, 120, 0), np.uint8)
    for t in range(20, 50):
        frames[t, 8:22, t - 12:t - 4] = (236, 0, 0)
    write_video(tmp_path / "raw" / "ball" / "a.avi", frames)
    trim(tmp_path / "raw", tmp_path / "out", "--color")
    assert len(list((tmp_path / "out" / "ball").glob("*.avi"))) == 1
