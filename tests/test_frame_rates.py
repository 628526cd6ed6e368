"""Videos of other frame rates than the model's, and data sets whose videos differ."""

import json
from fractions import Fraction

import numpy as np
import pytest

from data.clips import clips_of_videos, read_frames
from data.video import at_rate, masks_path, read_masks, read_video, timed_frames, write_masks, write_video
from model.checkpoint import load_model
from model.prediction import predict
from opts import PRETRAINED
from tests.passing import passing, trim
from tests.runs import KTH, run_command, table
from tests.test_video import encode
from tests.tiny_data import DURATION


def taken(times, rate, stride=1):
    """Return the indices of the frames that are taken, of frames with these times."""
    return [index for index, _ in at_rate(((time, None) for time in times), rate, stride)]


def test_the_frame_nearest_to_each_time_is_taken():
    for rate in (25, 29.97, 30):
        assert taken(np.arange(9) / rate, rate) == list(range(9))  # nothing changes
    assert taken(np.arange(10) / 50, 25) == [0, 2, 4, 6, 8]
    assert taken(np.arange(4) / 12.5, 25) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert taken([0, 0.02, 0.04, 0.12, 0.14, 0.16], 25) == [0, 2, 2, 3, 5]  # 20, 20 and 80 ms in turn
    assert taken(np.arange(10) / 50, 25, stride=2) == [0, 4, 8] and taken(range(7), None, stride=3) == [0, 3, 6]
    assert taken([0], 25) == [0] and taken([], 25) == []


def in_time(frames, rate):
    """Return frames (N, H, W) of 25 per second at another rate, between two frames by interpolation."""
    places = np.arange(0, len(frames) - 1e-9, 25 / rate)
    low = places.astype(int)
    part = (places - low)[:, None, None]
    after = frames[np.minimum(low + 1, len(frames) - 1)]
    return ((1 - part) * frames[low] + part * after).round().astype(np.uint8)


def test_windows_are_named_in_frames_of_the_file(tmp_path):
    frames, _ = passing(90)
    for rate in (25, 50):
        write_video(tmp_path / f"at{rate}.avi", in_time(frames, rate), rate)
    normal, problems = clips_of_videos([tmp_path / "at25.avi"], 10, rate=25)
    assert problems == [] and len(normal) >= 2
    fast, problems = clips_of_videos([tmp_path / "at50.avi"], 10, rate=25)
    assert problems == ["1 of 1 videos are read at 25 frames per second, the frame nearest to each time: at50.avi has "
                        "50"]
    for one, other in zip(normal, fast, strict=True):
        assert (other.first, other.length) == (one.first, 10) and other.name == f"at50_{2 * one.first + 1:05d}"
        assert other.shown == (2 * one.first + 1, 2 * one.first + 19)
        assert np.abs(read_frames(other).astype(int) - read_frames(one)).mean() < 2
    native, problems = clips_of_videos([tmp_path / "at50.avi"], 10)
    assert problems == [] and max(clip.first for clip in native) > 90
    every_third, _ = clips_of_videos([tmp_path / "at25.avi"], 10, rate=25, stride=3)
    assert all(clip.shown[1] - clip.shown[0] == 27 for clip in every_third)


def test_the_scripts_read_videos_at_the_rate_of_the_model(tmp_path, capsys):
    write_video(tmp_path / "fast.avi", in_time(passing(60, ((15, 35),))[0], 50), 50)
    for more, count in (((), 2), (("--fps", "native"), 4), (("--stride", 2), 1)):
        run_command("inference", "--video", tmp_path / "fast.avi", "--result_path", tmp_path / f"out{count}", *more)
        printed = capsys.readouterr()
        assert len(table(tmp_path / f"out{count}" / "predictions.csv")) <= count
        assert ("read at 25 frames per second" in printed.err) == ("native" not in more)
        _, fps = read_video(tmp_path / f"out{count}" / "fast_classified.mp4")
        assert fps == {2: 25, 4: 50, 1: 12.5}[count]
    assert "fast.avi frames " in printed.out


def test_a_stride_reads_every_nth_image_and_mask(data_set, trained, tmp_path, capsys):
    options = ["--annotation_path", data_set.annotation, "--video_path", data_set.images, "--resume_path",
               trained / "best.pth", "--limit", 1, "--stride", 2, "--result_path", tmp_path / "out"]
    run_command("frame_saliency", *options, "--no_overlay", "--no_when")
    with np.load(next((tmp_path / "out").rglob("saliency.npz"))) as arrays:
        assert len(arrays["frames"]) == DURATION // 2
    assert f"are shorter than the model's {DURATION} frames" in capsys.readouterr().err


def test_preparation_keeps_one_rate(tmp_path, capsys):
    raw, (frames, masks) = tmp_path / "raw" / "walk", passing()
    for name, rate in (("a", 25), ("b", 25), ("c", 50)):
        write_video(raw / f"{name}.avi", in_time(frames, rate), rate)
        write_masks(masks_path(raw / f"{name}.avi"), masks.repeat(rate // 25, 0))
    (tmp_path / "00sequences.txt").write_text("c\t\tframes\t31-70, 111-150")
    trim(tmp_path / "raw", tmp_path / "out", "--sequences=none")
    assert "1 of 3 videos have another frame rate; of these, the frame nearest to each time" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "trim.json").read_text())
    assert record["options"]["frame_rate"] == 25 and {video["fps"] for video in record["videos"].values()} == {25}
    starts = {key: list(video["clips"].values()) for key, video in record["videos"].items()}
    assert starts["walk/c.avi"] == [2 * start - 1 for start in starts["walk/a.avi"]] and len(starts["walk/a.avi"]) == 2
    for clip in ("a_1", "c_1"):
        read, fps = read_video(tmp_path / "out" / "walk" / f"{clip}.avi")
        seen = read_masks(tmp_path / "out" / "walk" / f"{clip}.masks.npz")
        assert fps == 25 and len(seen) == len(read) == 10
        assert read[..., 0][seen].mean() - read[..., 0][~seen].mean() > 100  # the masks fit the frames
    trim(tmp_path / "raw", tmp_path / "slow", "--sequences=none", "--fps=12.5")
    assert json.loads((tmp_path / "slow" / "trim.json").read_text())["options"]["frame_rate"] == 12.5


def test_a_video_that_starts_later(tmp_path):
    frames = np.repeat(passing(20, ((5, 15),))[0][..., None], 3, 3)
    encode(tmp_path / "late.mp4", "libx264", "yuv420p", frames, [7000 + 40 * number for number in range(20)])
    np.testing.assert_allclose([time for time, _ in timed_frames(tmp_path / "late.mp4")], np.arange(20) / 25)


def test_times_that_jump_do_not_make_a_video_endless(tmp_path):
    times = [0, 40, 80, 10**9, 10**9 + 40]
    frames = np.repeat(passing(5, ())[0][..., None], 3, 3)
    encode(tmp_path / "jump.mkv", "libx264", "yuv420p", frames, times)
    assert len(list(at_rate(timed_frames(tmp_path / "jump.mkv"), 25))) == 5


@pytest.mark.skipif(not (KTH / "kth_data").is_dir(), reason="needs real KTH videos in ../shared/kth")
def test_real_videos_at_other_rates_give_the_same_windows_and_probabilities(tmp_path):
    model, info = load_model(PRETRAINED)
    videos = sorted((KTH / "kth_data").rglob("*.avi"))[::3][:5]
    for path in videos:
        frames, found = read_video(path)[0][:300, ..., 0], {}
        for rate in (25, 50, 12.5):
            video = tmp_path / f"at{Fraction(rate).numerator}.avi"
            write_video(video, in_time(frames, rate), rate)
            clips, _ = clips_of_videos([video], info.sample_duration, rate=info.frame_rate)
            found[rate] = [(clip.first, predict(model, info, read_frames(clip)).probabilities[0]) for clip in clips]
        for rate in (50, 12.5):
            assert len(found[rate]) == len(found[25])
            for (first, probability), (same, expected) in zip(found[rate], found[25], strict=True):
                assert abs(first - same) <= 0.08 * 25, (path.name, rate, found)
                assert abs(probability - expected) <= 0.05, (path.name, rate, found)


