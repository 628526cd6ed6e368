"""Videos and masks: reading, writing, and files that are damaged or too large."""

import multiprocessing
import resource
import signal
import struct
from fractions import Fraction
from itertools import repeat

import av
import cv2
import numpy as np
import pytest

from data import video
from data.clips import clips_of_videos, read_frames
from data.video import (
    at_rate,
    frame_rate,
    iterate_video,
    read_masks,
    read_video,
    timed_frames,
    write_masks,
    write_video,
)
from tests.benchmarks.damage import write_uncompressed
from tests.passing import extract, passing, trim
from tests.runs import KTH


def colours(count=8, height=100, width=120):
    """Return frames (count, height, width, 3) uint8 of smooth colours that move."""
    noise = np.random.default_rng(1).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return np.stack([np.roll(cv2.resize(noise, (width, height)), 3 * t, 1) for t in range(count)])


def read_by_opencv(path):
    """Return the frames as OpenCV decodes them, (N, H, W, 3) RGB."""
    capture = cv2.VideoCapture(str(path))
    return np.stack([frame[..., ::-1] for _, frame in iter(capture.read, (False, None))])


def encode(path, codec, pixels, frames, times=None):
    """Write frames with a codec or at times, in milliseconds, that `write_video` does not offer."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 25)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame).reformat(format=pixels)
            picture.pts, picture.time_base = times[number] if times else 40 * number, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@pytest.mark.skipif(not KTH.is_dir(), reason="needs real KTH videos in ../shared/kth")
def test_frames_of_kth_are_those_of_opencv():
    """DivX, as all earlier versions of this project have read it."""
    path = min((KTH / "kth_data").rglob("*.avi"))
    np.testing.assert_array_equal(read_video(path)[0], read_by_opencv(path))


@pytest.mark.parametrize("size", [(100, 120), (100, 121), (31, 17)])
def test_frames_of_motion_jpeg_are_those_of_opencv(tmp_path, size):
    """Clips that OpenCV has written, as earlier versions did, and clips that are written now."""
    frames = colours(5, *size)
    writer = cv2.VideoWriter(str(tmp_path / "old.avi"), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter_fourcc(*"MJPG"), 25,
                             size[::-1])
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, 95)
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()
    write_video(tmp_path / "new.avi", frames)
    found = {name: read_video(tmp_path / f"{name}.avi") for name in ("old", "new")}
    for name, (read, fps) in found.items():
        np.testing.assert_array_equal(read, read_by_opencv(tmp_path / f"{name}.avi"))
        assert fps == 25
    old, new = (np.abs(found[name][0].astype(int) - frames).mean() for name in ("old", "new"))
    assert new < 1.1 * old  # the quality is that of earlier versions


@pytest.mark.parametrize(("suffix", "codec", "pixels"), [
    (".mp4", "libsvtav1", "yuv420p"), (".mkv", "libsvtav1", "yuv420p10le"), (".mp4", "libx264", "yuv444p10le"),
    (".mkv", "libx265", "yuv420p12le"), (".gif", "gif", "rgb8"), (".webm", "libvpx-vp9", "yuv420p"),
])
def test_codecs_of_phones_and_of_the_web(tmp_path, suffix, codec, pixels):
    frames = colours()
    encode(tmp_path / f"clip{suffix}", codec, pixels, frames)
    read, fps = read_video(tmp_path / f"clip{suffix}")
    assert read.shape == frames.shape and fps == 25
    assert np.abs(read.astype(int) - frames).mean() < 25  # GIF has 256 colours


def write_with_matrix(path, frames, matrix):
    """Write an MP4 whose track has the display matrix (a, b, c, d)."""
    write_video(path, frames)
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    a, b, c, d = (round(65536 * value) for value in matrix)
    content[at:at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


@pytest.mark.parametrize(("matrix", "shown"), [
    ((1, 0, 0, 1), lambda frame: frame), ((0, 1, -1, 0), lambda frame: np.rot90(frame, -1)),
    ((-1, 0, 0, -1), lambda frame: np.rot90(frame, 2)), ((0, -1, 1, 0), np.rot90), ((-1, 0, 0, 1), np.fliplr),
    ((1, 0, 0, -1), np.flipud), ((0, 1, 1, 0), lambda frame: frame.transpose(1, 0, 2)),
])
def test_frames_are_rotated_and_mirrored_as_players_do(tmp_path, matrix, shown):
    frames = colours(3)
    write_video(tmp_path / "plain.mp4", frames)
    write_with_matrix(tmp_path / "phone.mp4", frames, matrix)
    plain, read = (list(iterate_video(tmp_path / f"{name}.mp4")) for name in ("plain", "phone"))
    np.testing.assert_array_equal(read, [shown(frame) for frame in plain])


def test_a_damaged_packet_costs_its_frames(tmp_path):
    frames = colours(20)
    encode(tmp_path / "film.mp4", "mpeg4", "yuv420p", frames)
    with av.open(str(tmp_path / "film.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place, size = packets[14].pos, packets[14].size
    content = bytearray((tmp_path / "film.mp4").read_bytes())
    content[place:place + size] = bytes(size)
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.warns(UserWarning, match=r"film\.mp4 is damaged in 1 places; the (19|20) frames"):
        read, _ = read_video(tmp_path / "film.mp4")
    assert np.abs(read[:14].astype(int) - frames[:14]).mean() < 10 and len(read) >= 19


def test_a_file_without_end_is_given_up(tmp_path, monkeypatch):
    """Packets come for ever, but no frame."""
    write_video(tmp_path / "walk.avi", passing()[0])
    monkeypatch.setattr(video, "TIME_LIMIT", 0.01)
    monkeypatch.setattr(video, "_packets", lambda container, stream: chain_of_nothing(container, stream))

    def chain_of_nothing(container, stream):
        first = next(packet for packet in container.demux(stream) if packet.size)
        yield first
        yield from repeat(type("Nothing", (), {"decode": lambda self: []})())

    with pytest.raises(ValueError, match=r"yields no further frame for 0\.01 seconds after [01] frames"):
        list(iterate_video(tmp_path / "walk.avi"))


def test_times_are_those_of_the_file(tmp_path):
    write_video(tmp_path / "slow.mp4", colours(5), fps=12.5)
    np.testing.assert_allclose([time for time, _ in timed_frames(tmp_path / "slow.mp4")], np.arange(5) / 12.5)


def write_beyond_limit(path):
    """Write a video as far as the disk has room."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails as it does on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    with pytest.raises(OSError, match="File too large"):
        write_video(path, passing()[0])


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_full_disk_is_noticed(tmp_path, suffix):
    process = multiprocessing.get_context("fork").Process(target=write_beyond_limit, args=(tmp_path / f"walk{suffix}",))
    process.start()
    process.join()
    assert process.exitcode == 0 and not list(tmp_path.iterdir())


def test_frames_are_resized_while_decoding(tmp_path):
    frames, _ = passing()
    write_video(tmp_path / "walk.avi", frames)
    assert read_video(tmp_path / "walk.avi", max_frames=7, size=(20, 10))[0].shape == (7, 10, 20, 3)
    whole, fps = read_video(tmp_path / "walk.avi")
    assert whole.shape == (90, 30, 40, 3) and fps == 25
    assert np.abs(whole[..., 0].astype(int) - frames).mean() < 3


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_equal_frames_give_equal_files(tmp_path, suffix, capfd):
    frames = np.random.default_rng(0).integers(0, 255, (5, 41, 59, 3), dtype=np.uint8)
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}{suffix}", frames, fps=8)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    read, fps = read_video(tmp_path / f"b{suffix}")
    assert read.shape == ((5, 42, 60, 3) if suffix == ".mp4" else (5, 41, 59, 3)) and fps == 8
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("width", [16, 18, 1])
def test_uncompressed_video(tmp_path, width):
    """Such frames are usually stored with the bottom row first, and their rows are padded."""
    frames = np.random.default_rng(0).integers(0, 255, (30, 12, width, 3), dtype=np.uint8)
    for upside_down in (True, False):
        write_uncompressed(tmp_path / "raw.avi", frames, upside_down)
        read, fps = read_video(tmp_path / "raw.avi")
        assert (read == frames).all() and fps == 25
    (tmp_path / "cut.avi").write_bytes((tmp_path / "raw.avi").read_bytes()[: -12 * width * 3 // 2])
    with pytest.warns(UserWarning, match="is damaged in 1 places; the 29 frames"):
        assert (read_video(tmp_path / "cut.avi")[0] == frames[:29]).all()


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


def levels_of(frames):
    """Return the mean grey level of each frame."""
    return np.array([np.mean(frame) for frame in frames])


def test_variable_frame_rate(tmp_path):
    """Frames of 20, 20 and 80 ms in turn are decoded one by one, and cut at one rate: those nearest to each time."""
    levels = 30 + np.arange(60) * 37 % 180
    video = tmp_path / "raw" / "wave" / "phone.mp4"
    video.parent.mkdir(parents=True)
    times = np.cumsum([0, *([20, 20, 80] * 20)])[:60].tolist()
    frames = np.broadcast_to(levels[:, None, None, None], (60, 48, 64, 3)).astype(np.uint8)
    encode(video, "libx264", "yuv420p", frames, times)
    np.testing.assert_allclose([1000 * time for time, _ in timed_frames(video)], times, atol=1)
    np.testing.assert_allclose(levels_of(iterate_video(video)), levels, atol=6)
    windows, _ = clips_of_videos([video], 25)
    for clip in windows:
        np.testing.assert_allclose(levels_of(read_frames(clip)), levels[clip.first : clip.first + 25], atol=6)
    trim(video.parents[1], tmp_path / "clips", "--start=6", "--n_frames=50")
    extract(tmp_path / "clips", tmp_path / "images")
    images = sorted((tmp_path / "images" / "wave" / "phone_1").glob("*.jpg"))
    places = [place for place, _ in at_rate(timed_frames(video), frame_rate(video))]
    expected = levels[places][np.searchsorted(places, 5):][:50]
    np.testing.assert_allclose(levels_of(cv2.imread(str(path)) for path in images), expected, atol=6)
