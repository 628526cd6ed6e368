"""Clips cut from video files, and videos in which nothing is found."""

import numpy as np
import pytest

from data import clips
from data.clips import clips_of_videos, read_frames
from data.video import write_video
from tests.benchmarks.damage import write_uncompressed
from tests.runs import TRAINED_SCRIPTS, refused, run_command
from tests.tiny_data import DURATION, moving_block, numbered


def test_windows_of_a_video(tmp_path):
    for name, length in {"long": 20, "short": 4}.items():
        write_video(tmp_path / f"{name}.avi", numbered(length, 16) * 10)
    clips, problems = clips_of_videos([tmp_path / "long.avi", tmp_path / "short.avi"], 6)
    assert problems == []
    assert [(clip.name, clip.first, clip.length, clip.label) for clip in clips] == [
        ("long_00001", 0, 6, None), ("long_00007", 6, 6, None), ("long_00013", 12, 6, None),
        ("long_00015", 14, 6, None),  # ends with the video
        ("short_00001", 0, 4, None),
    ]
    assert [clip.first for clip in clips_of_videos([tmp_path / "long.avi"], 10)[0]] == [0, 10]
    assert [clip.first for clip in clips_of_videos([tmp_path / "long.avi"], 20)[0]] == [0]
    np.testing.assert_allclose(read_frames(clips[1])[:, 0, 0, 0], np.arange(60, 120, 10), atol=3)
    assert len(read_frames(clips[4])) == 4
    assert len(clips_of_videos([tmp_path / "long.avi"], 6, limit=2)[0]) == 2
    whole, _ = clips_of_videos([tmp_path / "long.avi", tmp_path / "short.avi"], None)
    assert [(clip.name, clip.length, len(read_frames(clip))) for clip in whole] == [
        ("long_00001", 20, 20), ("short_00001", 4, 4)]


def test_a_limit_takes_videos_in_turn_and_opens_no_more_than_it_needs(tmp_path, monkeypatch):
    paths, opened, original = [tmp_path / f"{name}.avi" for name in "abcd"], [], clips.in_parallel
    paths[1].write_text("a film")
    for path in (paths[0], *paths[2:]):
        write_video(path, numbered(12, 16) * 10)
    monkeypatch.setattr(clips, "in_parallel",
                        lambda search, part, count: opened.extend(part) or original(search, part, count))
    for limit, names, count in ((1, "a1", 1), (2, "a1 c1", 3), (3, "a1 c1 d1", 4), (4, "a1 a7 c1 d1", 4)):
        opened.clear()
        found, problems = clips_of_videos(paths, 6, limit)
        assert [clip.name.replace("_0000", "") for clip in found] == names.split()
        assert opened == paths[:count]
        assert len(problems) == (count > 1)  # the second file cannot be decoded


def test_windows_of_a_video_lie_where_something_moves(tmp_path):
    frames = np.full((90, 60, 80), 90, np.uint8)
    for t in range(20, 44):
        frames[t, 10:50, 3 * (t - 20):3 * (t - 20) + 10] = 200
    write_video(tmp_path / "passage.avi", frames)
    clips, _ = clips_of_videos([tmp_path / "passage.avi"], 16)
    assert len(clips) == 1
    assert 22 <= clips[0].first <= 26


def explain_videos(script, trained, results, *more):
    run_command(script, "--resume_path", trained / "best.pth", "--result_path", results, "--video", *more)


@pytest.mark.parametrize("script", TRAINED_SCRIPTS)
def test_a_bad_video_costs_only_itself(data_set, trained, tmp_path, capsys, script):
    (tmp_path / "bad.avi").write_text("a film")
    explain_videos(script, trained, tmp_path / "out", tmp_path / "bad.avi", data_set.video, "--limit", 1)
    printed = capsys.readouterr()
    assert f"1 of 2 videos cannot be decoded and are left out: {tmp_path / 'bad.avi'}" in printed.err
    assert "holds no frame" in printed.err and "1 clip " in printed.out
    line = refused(capsys, script, "--resume_path", trained / "best.pth", "--video", tmp_path / "bad.avi")
    assert "none of the 1 videos can be decoded" in line and "holds no frame" in line


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 700)])
def test_smallest_frames(trained, tmp_path, capsys, height, width):
    write_uncompressed(tmp_path / "video.avi", np.full((2, height, width, 3), 90, np.uint8))
    explain_videos("feature_saliency", trained, tmp_path / "out", tmp_path / "video.avi")
    assert "1 clip explained" in capsys.readouterr().out


def test_a_header_that_overstates_its_frames(trained, tmp_path, capsys):
    write_video(tmp_path / "video.avi", moving_block(1, 1, DURATION)[0])
    content = bytearray((tmp_path / "video.avi").read_bytes())
    for place in (48, content.find(b"strh") + 40):  # of the file, of its stream
        content[place : place + 4] = (10**9).to_bytes(4, "little")
    (tmp_path / "video.avi").write_bytes(content)
    explain_videos("inference", trained, tmp_path / "out", tmp_path / "video.avi")
    assert f"video.avi frames 1-{DURATION}: " in capsys.readouterr().out
