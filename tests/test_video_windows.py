"""The windows of long videos: each frame is decoded once per pass, and memory does not grow."""

import multiprocessing
import pickle
import sys
import tracemalloc
from functools import partial

import numpy as np
import pytest

from data import video as video_module
from data import windows
from data.clips import clips_of_videos, read_frames
from data.video import iterate_video, write_video
from data.video_windows import WindowReader, find_windows
from data.windows import find_motion, find_ranges
from tests.passing import passing
from tests.runs import KTH, run_command
from tests.tiny_data import DURATION, moving_block, numbered

LENGTH, PERIOD = 20 * DURATION, 10
linux = pytest.mark.skipif(sys.platform != "linux", reason="forks")


@pytest.fixture
def decoded(monkeypatch):
    """The number of frames that have been decoded for windows, in this process and in its forks."""
    count = multiprocessing.get_context("fork").Value("l", 0)

    shown = video_module._as_shown

    def counting(frame, size):
        with count.get_lock():
            count.value += 1
        return shown(frame, size)

    monkeypatch.setattr(video_module, "_as_shown", counting)
    return count


@pytest.fixture
def video(tmp_path):
    """A video whose frames differ too little to be motion, so that its windows follow each other."""
    write_video(tmp_path / "long.avi", 100 + 2 * (numbered(LENGTH, 16) % PERIOD))
    return tmp_path / "long.avi"


def numbers(frames):
    """Return the numbers of the frames, each modulo PERIOD."""
    return np.round((frames.mean((1, 2, 3)) - 100) / 2).astype(int).tolist()


def expected(first, stop):
    return [number % PERIOD for number in range(first, stop)]


@linux
def test_only_the_videos_that_a_limit_needs_are_opened(video, decoded, monkeypatch):
    monkeypatch.setattr("data.clips.n_cores", lambda: 2)
    broken = [video.with_name(f"{number}.avi") for number in range(5)]
    for path in broken:
        path.write_text("no video")
    whole, problems = clips_of_videos([broken[0], video, *broken[1:]], DURATION)
    assert len(whole) == 20 and problems[0].startswith("5 of 6 videos")
    decoded.value = 0
    clips, problems = clips_of_videos([broken[0], video, *broken[1:]], DURATION, limit=1)
    assert [clip.name for clip in clips] == [whole[0].name]
    assert decoded.value == LENGTH and problems[0].startswith("1 of 2 videos")
    assert len(clips_of_videos([*broken, video], DURATION, limit=1)[0]) == 1
    with pytest.raises(ValueError, match="none of the 5 videos"):
        clips_of_videos(broken, DURATION, limit=1)


@linux
def test_windows_in_order_are_read_in_one_pass(video, decoded):
    clips, _ = clips_of_videos([video], DURATION)
    assert decoded.value == LENGTH and len(clips) == 20
    decoded.value = 0
    for clip in clips:
        assert numbers(read_frames(clip)) == expected(clip.first, clip.first + DURATION)
    assert decoded.value == LENGTH
    read_frames(clips[3])  # an earlier window: the video is opened again
    read_frames(clips[7])
    read_frames(clips[7])
    assert decoded.value == LENGTH + 8 * DURATION


@linux
def test_classification_decodes_a_video_three_times(trained, video, decoded, tmp_path):
    """The search for windows is a pass, reading them is one, and so is the copy with the class written on it."""
    run_command("inference", "--resume_path", trained / "best.pth", "--video", video, "--result_path", tmp_path)
    assert decoded.value == 3 * LENGTH
    assert len(list(iterate_video(tmp_path / "long_classified.mp4"))) == LENGTH


def test_overlapping_and_short_windows(video, decoded):
    read = partial(WindowReader().read, video)
    for first, length in ((2, 6), (5, 6), (5, 3), (6, 8), (40, 1), (LENGTH - 6, 6), (LENGTH - 2, 6)):
        assert numbers(read(first, length)) == expected(first, min(first + length, LENGTH))
    assert decoded.value == LENGTH
    with pytest.raises(ValueError, match="holds no frame"):
        read(LENGTH + 5, 3)
    assert read(0, 2, size=4).shape == (2, 4, 4, 3)
    assert numbers(read(1, 2)) == [1, 2]


def test_a_reader_goes_from_video_to_video_and_to_another_process(video, tmp_path):
    write_video(tmp_path / "other.avi", numbered(DURATION, 16))
    reader = WindowReader()
    reader.read(video, 0, 2)
    assert numbers(reader.read(tmp_path / "other.avi", 0, 2)) != [0, 1]
    assert numbers(pickle.loads(pickle.dumps(reader)).read(video, 3, 1)) == [3]
    reader.read(video, 0, 2)
    video.unlink()
    assert numbers(reader.read(video, 1, 2)) == [1, 2]  # it is still open
    with pytest.raises(FileNotFoundError, match="no video at"):
        reader.read(video, 0, 2)


def test_motion_in_parts(monkeypatch):
    """A long video gives the ranges of its parts, also where daylight changes between them."""
    frames = np.concatenate([passing(seed=seed)[0] // (1 + seed) for seed in (0, 1, 2)])  # (270, 30, 40)
    whole = find_ranges(find_motion(frames[:90]))
    monkeypatch.setattr(windows, "PART", 90)
    found = find_ranges(find_motion(iter(frames)))
    assert len(found) == 6 and found[:2] == whole
    assert [(first % 90, last % 90) for first, last in found[2:4]] == whole
    monkeypatch.setattr(windows, "PART", 136)  # the video is shorter than two parts: one median, as for KTH's videos
    monkeypatch.setattr(windows, "_moving_area", lambda part: np.arange(len(part)))
    assert len(find_motion(frames)) == 270
    with pytest.raises(ValueError, match="no frame"):
        find_motion([])


def test_the_memory_of_the_search_does_not_grow(monkeypatch):
    monkeypatch.setattr(windows, "PART", 50)
    frames, peaks = moving_block(1, 1, 100)[0][..., 0], []
    for repeats in (2, 20):
        tracemalloc.start()
        find_motion(frame.copy() for _ in range(repeats) for frame in frames)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0], peaks


@pytest.mark.skipif(not KTH.is_dir(), reason="needs real KTH videos in ../shared/kth")
def test_kth_videos_are_searched_whole():
    """A video of KTH has the windows of one median over all its frames, however it is searched."""
    videos = sorted(KTH.rglob("person01_*_d1_*.avi"))
    assert videos
    for path in videos:
        assert sum(1 for _ in iterate_video(path)) < 2 * windows.PART
        read, frames = partial(WindowReader().read, path), np.stack(list(iterate_video(path)))
        for first, length, shown in find_windows(path, 30, 25.0):
            assert shown == (first + 1, first + length)
            np.testing.assert_array_equal(read(first, length), frames[first:first + length])
