"""Videos and masks: reading, writing, and files that are damaged or too large."""

import resource
import signal
import struct

import cv2
import numpy as np
import pytest

from data import video
from data.clips import clips_of_videos, read_frames
from data.video import iterate_video, read_masks, read_video, write_masks, write_video
from runtime.isolated import run_isolated
from tests.benchmarks.damage import write_uncompressed
from tests.passing import extract, passing, trim


def write_beyond_limit(path):
    """Write a video as far as the disk has room."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails as it does on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
    write_video(path, passing()[0])


def test_a_full_disk_is_noticed(tmp_path):
    ((_, _, error),) = run_isolated(write_beyond_limit, [tmp_path / "walk.avi"], 1, 300)
    assert "of 90 frames" in error and "make sure that the disk has room" in error
    assert not list(tmp_path.iterdir())


def test_frames_are_resized_while_decoding(tmp_path):
    frames, _ = passing()
    write_video(tmp_path / "walk.avi", frames)
    assert read_video(tmp_path / "walk.avi", max_frames=7, size=(20, 10))[0].shape == (7, 10, 20, 3)
    whole, fps = read_video(tmp_path / "walk.avi")
    assert whole.shape == (90, 30, 40, 3) and fps == 25
    assert np.abs(whole[..., 0].astype(int) - frames).mean() < 3


@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".avi"])
def test_equal_frames_give_equal_files(tmp_path, suffix, capfd):
    frames = np.random.default_rng(0).integers(0, 255, (5, 40, 60, 3), dtype=np.uint8)
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}{suffix}", frames, fps=8)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    read, fps = read_video(tmp_path / f"b{suffix}")
    assert len(read) == 5 and fps == 8
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("width", [16, 18, 1])
def test_uncompressed_video(tmp_path, width):
    """The form of AVI that OpenCV's own conversion dies of."""
    frames = np.random.default_rng(0).integers(0, 255, (30, 12, width, 3), dtype=np.uint8)
    for upside_down in (True, False):
        write_uncompressed(tmp_path / "raw.avi", frames, upside_down)
        ((_, (read, fps), _),) = run_isolated(read_video, [tmp_path / "raw.avi"], 1, 300)
        assert (read == frames).all() and fps == 25
    write_uncompressed(tmp_path / "raw.avi", frames)
    (tmp_path / "cut.avi").write_bytes((tmp_path / "raw.avi").read_bytes()[: -12 * width * 3 // 2])
    ((_, (read, _), _),) = run_isolated(read_video, [tmp_path / "cut.avi"], 1, 300)
    assert (read == frames[:29]).all()


def test_memory_is_bounded(tmp_path, monkeypatch):
    frames, masks = passing()
    write_video(tmp_path / "walk.avi", frames)
    write_masks(tmp_path / "walk.masks.npz", masks)
    monkeypatch.setattr(video, "MAX_BYTES", 10 * 30 * 40 * 3)
    with pytest.raises(ValueError, match="10 frames fill"):
        read_video(tmp_path / "walk.avi")
    with pytest.raises(ValueError, match="holds no masks"):
        read_masks(tmp_path / "walk.masks.npz")


@pytest.mark.parametrize("kind", ["empty", "text", "npy", "other name", "wrong type", "truncated", "pickle"])
def test_broken_masks(tmp_path, kind):
    path = tmp_path / "a.masks.npz"
    with path.open("wb") as file:
        if kind == "text":
            file.write(b"masks")
        if kind == "npy":
            np.save(file, np.zeros((2, 2, 2), dtype=bool))
        if kind in ("other name", "wrong type", "pickle"):
            array = np.array([{}], dtype=object) if kind == "pickle" else np.zeros((2, 2, 2))
            np.savez(file, **{"mask" if kind == "other name" else "masks": array})
    if kind == "truncated":
        write_masks(path, np.random.default_rng(0).random((9, 9, 9)) > 0.5)
        path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(ValueError, match="holds no masks"):
        read_masks(path)


def with_durations(mp4, durations):
    """Return the bytes of an MP4 file with other durations of its frames.

    Its table stts is another, and the boxes around it are larger.
    """
    start = mp4.index(b"stts") - 4
    end = start + int.from_bytes(mp4[start : start + 4], "big")
    entries = b"".join(struct.pack(">II", 1, duration) for duration in durations)
    table = struct.pack(">I4sII", 16 + len(entries), b"stts", 0, len(durations)) + entries
    content = bytearray(mp4[:start] + table + mp4[end:])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        at = mp4.rindex(box, 0, start) - 4
        content[at : at + 4] = struct.pack(">I", int.from_bytes(mp4[at : at + 4], "big") + len(content) - len(mp4))
    return bytes(content)


def levels_of(frames):
    """Return the mean grey level of each frame."""
    return np.array([np.mean(frame) for frame in frames])


def test_variable_frame_rate(tmp_path):
    """Frames of 20, 20 and 80 ms in turn: decoded, cut and extracted one by one, in order, none doubled or dropped."""
    levels = 30 + np.arange(60) * 37 % 180
    video = tmp_path / "raw" / "wave" / "phone.mp4"
    write_video(video, np.broadcast_to(levels[:, None, None], (60, 48, 64)).astype(np.uint8))
    video.write_bytes(with_durations(video.read_bytes(), [256, 256, 1024] * 20))
    capture = cv2.VideoCapture(str(video))
    times = [capture.get(cv2.CAP_PROP_POS_MSEC) for _ in iter(capture.grab, False)]
    assert np.diff(times)[:6].round().tolist() == [20, 20, 80, 20, 20, 80]
    np.testing.assert_allclose(levels_of(iterate_video(video)), levels, atol=6)
    windows, _ = clips_of_videos([video], 25)
    for clip in windows:
        np.testing.assert_allclose(levels_of(read_frames(clip)), levels[clip.first : clip.first + 25], atol=6)
    trim(video.parents[1], tmp_path / "clips", "--start=6", "--n_frames=50")
    extract(tmp_path / "clips", tmp_path / "images")
    images = sorted((tmp_path / "images" / "wave" / "phone_1").glob("*.jpg"))
    np.testing.assert_allclose(levels_of(cv2.imread(str(path)) for path in images), levels[5:55], atol=6)
