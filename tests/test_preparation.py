"""From videos to annotated images: isolated workers, windows, trimming, extraction, annotation, and being killed."""

import faulthandler
import json
import multiprocessing
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from data import video
from data.annotation import read_annotation
from data.clips import clips_of_videos, read_frames
from data.video import iterate_video, masks_path, read_masks, read_video, write_masks, write_video
from data.windows import find_motion, find_ranges, place_windows
from runtime.files import sole_writer
from runtime.isolated import run_isolated
from tests.benchmarks.damage import write_uncompressed
from utils import annotate_kth, extract_frames, trim_videos

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "kth"
PASSES = ((15, 35), (55, 75))  # frames in which somebody passes through the picture, [start, stop)
FORK = multiprocessing.get_context("fork")
needs_real_videos = pytest.mark.skipif(not (REAL / "kth_data").is_dir(), reason="real KTH videos are not here")


def passing(n_frames=90, passes=PASSES, seed=0):
    """Somebody (a bright block) passes: frames (N, 30, 40) uint8 and masks (N, 30, 40) bool."""
    ground = np.random.default_rng(seed).integers(60, 90, (30, 40))
    masks = np.zeros((n_frames, 30, 40), dtype=bool)
    for start, stop in passes:
        for t in range(start, stop):
            left = round((t - start + 0.5) / (stop - start) * 40) - 3
            masks[t, 8:24, max(0, left) : left + 6] = True
    return np.where(masks, 230, ground).astype(np.uint8), masks


def make_videos(raw, persons=(11, 1, 2), classes=("walking", "running"), ranges=True):
    frames, masks = passing()
    lines = []
    for label in classes:
        (raw / label).mkdir(parents=True)
        for person in persons:
            name = f"person{person:02d}_{label}_d1"
            write_video(raw / label / f"{name}_uncomp.avi", frames)
            write_masks(masks_path(raw / label / f"{name}_uncomp.avi"), masks)
            lines.append(f"{name}\t\tframes\t11-40, 51-80")
    if ranges:
        (raw / "00sequences.txt").write_text("\r\n".join(lines))
    return raw


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return make_videos(tmp_path_factory.mktemp("raw") / "kth_data")


def trim(raw, trimmed, *more):
    trim_videos.main([f"--raw_path={raw}", f"--trimmed_path={trimmed}", "--n_frames=10", "--size", "40", "30", *more])


def extract(trimmed, images, *more):
    extract_frames.main([f"--trimmed_path={trimmed}", f"--image_path={images}", *more])


@pytest.fixture(scope="module")
def trimmed(raw, tmp_path_factory):
    trim(raw, tmp_path_factory.mktemp("out") / "trimmed")
    return tmp_path_factory.getbasetemp() / "out0" / "trimmed"


@pytest.fixture(scope="module")
def images(trimmed):
    extract(trimmed, trimmed.parent / "images")
    return trimmed.parent / "images"


def bytes_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def times_of(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*.*") if p.is_file() and p.suffix in (".avi", ".jpg")}


def refused(capsys, function, *args):
    """The one line with which a command ends."""
    with pytest.raises(SystemExit) as caught:
        function(*args)
    line = capsys.readouterr().err.strip().split("\n")[-1]
    assert caught.value.code == 2 and "error: " in line
    return line


# Isolated workers


def abort():
    faulthandler.disable()  # pytest's would print all its stack
    os.abort()


def misbehave(what):
    if what == "abort":
        abort()
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "sleep":
        time.sleep(60)
    if what == "value":
        raise ValueError("no\nframes")
    if what == "bug":
        raise KeyError("x")
    if what == "exit":
        os._exit(3)
    return what.upper()


def test_a_dying_worker_costs_only_its_item():
    items = ["a", "abort", "b", "sleep", "value", "bug", "killed", "exit", "c"]
    started = time.monotonic()
    outcomes = {item: (result, error) for item, result, error in run_isolated(misbehave, items, 3, 0.7)}
    assert time.monotonic() - started < 5
    assert outcomes == {
        "a": ("A", None), "b": ("B", None), "c": ("C", None),
        "abort": (None, "the process working on it died (Aborted)"),
        "killed": (None, "the process working on it died (Killed)"),
        "exit": (None, "the process working on it died (exit status 3)"),
        "sleep": (None, "took longer than 0.7 seconds"),
        "value": (None, "no frames"),
        "bug": (None, "KeyError: 'x'"),
    }  # fmt: skip
    assert not multiprocessing.active_children()


def test_processes_end_with_the_generator():
    results = run_isolated(misbehave, ["a", "sleep", "sleep"], 3, 60)
    assert next(results) == ("a", "A", None) and len(multiprocessing.active_children()) == 2
    results.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, -1])
def test_work_needs_workers(workers):
    with pytest.raises(ValueError, match=f"{workers} worker processes"):
        list(run_isolated(misbehave, ["a"], workers, 1))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_caller(end):
    code = ("import os, time\nfrom runtime.isolated import run_isolated\n"
            "def work(item):\n    os.write(1, b'here\\n')\n    time.sleep(60)\n"
            "list(run_isolated(work, [1, 2], 2, 60))")  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as caller:
        for _ in range(2):
            caller.stdout.readline()
        caller.send_signal(end)
        caller.communicate(timeout=10)  # returns when the workers have ended, who hold the other end of the pipe too


# Files


def test_two_runs_do_not_write_into_one_folder(tmp_path):
    code = f"from runtime.files import sole_writer\nwith sole_writer({str(tmp_path)!r}): print('in')"
    other = [sys.executable, "-c", code]
    with sole_writer(tmp_path):
        (tmp_path / "walking").mkdir()
        (tmp_path / "walking" / ".a.part7.avi").write_text("half")
        answer = subprocess.run(other, cwd=ROOT, capture_output=True, text=True, check=False)
        assert answer.returncode == 1 and "another run is writing into" in answer.stderr
    assert not (tmp_path / "walking" / ".a.part7.avi").exists()
    assert subprocess.run(other, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "in\n"


def write_beyond_limit(path):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails as it does on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
    write_video(path, passing()[0])


def test_a_full_disk_is_noticed(tmp_path):
    ((_, _, error),) = run_isolated(write_beyond_limit, [tmp_path / "walk.avi"], 1, 30)
    assert "of 90 frames" in error and "is the disk full?" in error
    assert not list(tmp_path.iterdir())


def test_frames_are_resized_while_decoding(tmp_path):
    frames, _ = passing()
    write_video(tmp_path / "walk.avi", frames)
    assert read_video(tmp_path / "walk.avi", max_frames=7, size=(20, 10))[0].shape == (7, 10, 20, 3)
    whole, fps = read_video(tmp_path / "walk.avi")
    assert whole.shape == (90, 30, 40, 3) and fps == 25
    assert np.abs(whole[..., 0].astype(int) - frames).mean() < 3


@pytest.mark.parametrize("width", [16, 18, 1])
def test_uncompressed_video(tmp_path, width):
    """The form of AVI that OpenCV's own conversion dies of."""
    frames = np.random.default_rng(0).integers(0, 255, (30, 12, width, 3), dtype=np.uint8)
    for upside_down in (True, False):
        write_uncompressed(tmp_path / "raw.avi", frames, upside_down)
        ((_, (read, fps), _),) = run_isolated(read_video, [tmp_path / "raw.avi"], 1, 30)
        assert (read == frames).all() and fps == 25
    write_uncompressed(tmp_path / "raw.avi", frames)
    (tmp_path / "cut.avi").write_bytes((tmp_path / "raw.avi").read_bytes()[: -12 * width * 3 // 2])
    ((_, (read, _), _),) = run_isolated(read_video, [tmp_path / "cut.avi"], 1, 30)
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


# Windows


def test_motion_is_found_where_somebody_passes():
    frames, _ = passing()
    for (start, stop), (a, b) in zip(PASSES, find_ranges(find_motion(frames)), strict=True):
        assert start < a and b <= stop  # inside the pass: at the border a person counts less
        assert abs((a + b + 1) / 2 - 1 - (start + stop) / 2) <= 1 and b - a + 1 >= 12
    assert not find_motion(np.full((20, 8, 8), 77, dtype=np.uint8)).any()
    assert not find_motion(frames[:1]).any()


def test_ranges_are_runs_of_motion():
    moving = np.zeros(60, dtype=bool)
    moving[:10] = moving[20:23] = moving[50:] = True
    assert find_ranges(moving) == [(1, 10), (51, 60)]  # three frames are nobody
    assert find_ranges(np.zeros(5, dtype=bool)) == []


@pytest.mark.parametrize("first, last, seen, n_windows, expected", [
    (1, 100, (), 1, [35]),  # nothing moves: the middle of the range
    (1, 100, (20, 70), 1, [30]),  # the middle of the motion
    (1, 100, (0, 20), 1, [0]),  # not before the range
    (51, 100, (90, 100), 1, [70]),  # nor after it
    (11, 40, (12, 20), 1, [10]),  # a range of one window
    (51, 78, (60, 70), 1, [49]),  # 28 frames: widened by one on both sides
    (1, 26, (), 1, [0]),  # at the start of the video
    (175, 200, (), 1, [170]),  # and at its end
    (1, 100, (10, 90), 3, [10, 35, 60]),  # spread over the motion
    (1, 100, (40, 60), 2, [32, 37]),  # little motion: overlapping, five frames apart
    (51, 80, (), 2, [48, 53]),  # a range too short for two
])  # fmt: skip
def test_place_windows(first, last, seen, n_windows, expected):
    moving = np.zeros(200, dtype=bool)
    moving[slice(*seen) if seen else slice(0)] = True
    assert place_windows(first, last, moving, 30, n_windows) == expected


def test_video_of_one_window():
    assert place_windows(5, 25, np.zeros(30, dtype=bool), 30, 3) == [0]


# Trimming


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
    assert json.loads(a.pop("trim.json"))["videos"] == json.loads(b.pop("trim.json"))["videos"] and a == b
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
                   "(693 bytes) holds no frame", "it has 9 frames and 10 are needed", "nothing moves in it",
                   "holds no masks"):  # fmt: skip
        assert reason in printed.err
    assert len(printed.err.strip().split("\n")) == 6
    for path in folder.glob("*.avi"):
        path.write_bytes(b"")
    assert "none of the 7 videos could be trimmed" in refused(
        capsys, trim, tmp_path / "raw", tmp_path / "none", "--classes", "walking"
    )


def test_a_decoder_that_aborts(raw, tmp_path, capsys, monkeypatch):
    def read(path, size):
        return abort() if "person01" in path.name else read_video(path, size=size)

    monkeypatch.setattr(trim_videos, "read_video", read)
    trim(raw, tmp_path, "--classes", "walking")
    printed = capsys.readouterr()
    assert "walking: 2 videos trimmed, 0 kept from before, 1 skipped" in printed.out
    assert "walking/person01_walking_d1_uncomp.avi: the process working on it died (Aborted)" in printed.err


@pytest.mark.parametrize("more, message", [
    (["--n_frames=9"], "made with n_frames 10, now it is 9"),
    (["--size", "30", "30"], "made with size [40, 30], now it is [30, 30]"),
    (["--color"], "made with color False, now it is True"),
    (["--windows=2"], "made with windows 1, now it is 2"),
    (["--start=3"], "made with start None, now it is 3"),
    (["--sequences=none"], "made with ranges True, now it is False"),
    (["--sequences=nowhere.txt"], "nowhere.txt"),
    (["--start=3", "--windows=2"], "leave one of them out"),
    (["--classes", "flying"], "holds running, walking"),
    (["--n_frames=0"], "--n_frames"),
    (["--size", "-1", "5"], "--size"),
    (["--workers=0"], "0 worker processes"),
    (["--workers=-1"], "-1 worker processes"),
    (["--raw_path=nowhere"], "utils/download_kth.py"),
    (["--raw_path=utils"], "utils/synthesize_kth.py"),
])  # fmt: skip
def test_refused_options(raw, trimmed, capsys, monkeypatch, more, message):
    monkeypatch.chdir(ROOT)
    before = bytes_of(trimmed)
    assert message in refused(capsys, trim, raw, trimmed, *more)
    assert bytes_of(trimmed) == before


def test_trimming_goes_on_where_it_was_killed(raw, trimmed, tmp_path, capsys):
    """Killed with clips missing, unrecorded or half-written, run again: the same bytes, whole clips left alone."""
    shutil.copytree(trimmed, tmp_path / "out", ignore=shutil.ignore_patterns(".lock"))
    walking = tmp_path / "out" / "walking"
    before = times_of(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "trim.json").read_text())
    del record["videos"]["walking/person01_walking_d1_uncomp.avi"]  # not yet recorded
    (tmp_path / "out" / "trim.json").write_text(json.dumps(record))
    (walking / "person02_walking_d1_1.avi").unlink()
    (walking / "person11_walking_d1_2.masks.npz").unlink()
    (walking / ".person02_walking_d1_1.part123.avi").write_text("half a clip")
    (tmp_path / "out" / ".trim.part123.json").write_text("{")
    trim(raw, tmp_path / "out")
    out = capsys.readouterr().out
    assert "running: 0 videos trimmed, 3 kept" in out and "walking: 3 videos trimmed, 0 kept" in out
    assert bytes_of(tmp_path / "out") == bytes_of(trimmed)
    after = times_of(tmp_path / "out")
    assert all(after[path] == before[path] for path in before if path.parent.name == "running")
    (raw / "running" / "person01_running_d1_uncomp.avi").touch()
    trim(raw, tmp_path / "out")
    assert times_of(tmp_path / "out") == after


def test_trimming_survives_sigkill(raw, trimmed, tmp_path):
    """Killed at random moments, run again and again: no clip is ever half there, the same bytes in the end."""
    rng = np.random.default_rng(0)
    for _ in range(8):
        run = FORK.Process(target=trim, args=(raw, tmp_path, "--workers=2"))
        run.start()
        run.join(rng.uniform(0.02, 0.25))
        run.kill()
        run.join()
        for clip in tmp_path.glob("*/[!.]*.*"):
            assert clip.read_bytes() == (trimmed / clip.relative_to(tmp_path)).read_bytes()
    trim(raw, tmp_path)
    assert bytes_of(tmp_path) == bytes_of(trimmed)


def test_overwrite_starts_again(raw, tmp_path, capsys):
    trim(raw, tmp_path, "--windows=2", "--classes", "walking")
    trim(raw, tmp_path, "--overwrite", "--classes", "walking")
    assert len(list(tmp_path.glob("*/*.avi"))) == 6 and not list(tmp_path.glob("*/*_1_1.*"))
    assert "3 videos trimmed, 0 kept" in capsys.readouterr().out


def test_a_replaced_video_is_cut_again(tmp_path, capsys):
    make_videos(tmp_path / "raw", persons=(11,), classes=("walking",))
    trim(tmp_path / "raw", tmp_path / "out")
    write_video(tmp_path / "raw" / "walking" / "person11_walking_d1_uncomp.avi", passing(seed=1)[0])
    capsys.readouterr()
    trim(tmp_path / "raw", tmp_path / "out")
    assert "1 videos trimmed, 0 kept" in capsys.readouterr().out


@pytest.mark.parametrize("record", [None, "", "[]", "{}", '{"options": {}, "videos": [1]}',
                                    '{"options": {}, "videos": {"a": {"bytes": 1, "clips": 1}}}'])  # fmt: skip
def test_folder_of_something_else(raw, tmp_path, capsys, record):
    """Clips that this script did not make are neither mixed with others nor removed."""
    (tmp_path / "walking").mkdir()
    (tmp_path / "walking" / "mine.avi").write_text("precious")
    if record is not None:
        (tmp_path / "trim.json").write_text(record)
    line = refused(capsys, trim, raw, tmp_path, *([] if record is not None else ["--overwrite"]))
    assert "trim.json" in line
    assert (tmp_path / "walking" / "mine.avi").read_text() == "precious"
    assert str(raw) in refused(capsys, trim, raw, raw, "--overwrite")


def test_clip_names_that_clash(tmp_path, capsys):
    for name in ("1.avi", "1.mp4"):
        write_video(tmp_path / "raw" / "wave" / name, passing(20, [(5, 15)])[0])
    line = refused(capsys, trim, tmp_path / "raw", tmp_path / "out")
    assert "wave/1.avi and wave/1.mp4 have one name, wave_1, " in line
    (tmp_path / "raw" / "sit").mkdir()
    line = refused(capsys, trim, tmp_path / "raw", tmp_path / "out", "--classes", "sit")
    assert "--classes sit: " in line and "raw holds wave" in line


@needs_real_videos
def test_real_running_clips_show_somebody(tmp_path):
    """person07_running_d3 passes in 28 to 30 frames: the windows hold the pass, with ranges and without."""
    raw = tmp_path / "kth_data" / "running"
    raw.mkdir(parents=True)
    shutil.copy(REAL / "kth_data" / "running" / "person07_running_d3_uncomp.avi", raw)
    shutil.copy(REAL / "00sequences.txt", tmp_path)
    for name, more in (("ranges", []), ("motion", ["--sequences=none"])):
        trim_videos.main([f"--raw_path={raw.parent}", f"--trimmed_path={tmp_path / name}", *more])
        clips = sorted((tmp_path / name).glob("running/*.avi"))
        assert [path.name for path in clips] == [f"person07_running_d3_{k}.avi" for k in (1, 2, 3, 4)]
        for path in clips:
            frames = read_video(path)[0][..., 0].astype(int)
            assert frames.shape == (30, 120, 120)
            shows = (np.abs(frames - np.median(frames, axis=0)) > 20).sum(axis=(1, 2)) > 30
            assert shows.sum() >= 26


# Variable frame rate


def with_durations(mp4, durations):
    """The bytes of an MP4 file with other durations of its frames: another table stts, and larger boxes around it."""
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


# Extraction


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
    assert f"1 folders such as {tmp_path / 'images' / 'wave' / 'old'} are of no clip" in printed.err
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
    assert "wave/a.avi and wave/a.mp4 have one name, " in line
    (tmp_path / "clips" / "wave" / "a.mp4").unlink()
    assert "none of the 1 clips could be extracted" in refused(capsys, extract, tmp_path / "clips", tmp_path / "images")


# Annotation


def annotate(images, path, *more):
    annotate_kth.main([f"--image_path={images}", f"--annotation_path={path}", f"--trimmed_path={images}/none", *more])
    return read_annotation(path)


def make_clips(root, *clips):
    for clip in clips:
        (root / clip).mkdir(parents=True)
        (root / clip / "image_00001.jpg").write_text("jpg")
    return root


def subsets_of(read):
    parts = {part for part, _ in read.clips.values()}
    return {part: {clip for clip, (own, _) in read.clips.items() if own == part} for part in parts}


def test_official_split(images, tmp_path, capsys):
    read = annotate(images, tmp_path / "kth1.json")
    assert read.labels == ["running", "walking"] and len(read.clips) == 12
    persons = {subset: {clip[:8] for clip in clips} for subset, clips in subsets_of(read).items()}
    assert persons == {"training": {"person11"}, "validation": {"person01"}, "testing": {"person02"}}
    assert "training: 2 running, 2 walking\nvalidation: 2 running, 2 walking\n" in capsys.readouterr().out


def test_split_by_named_persons(images, tmp_path):
    read = annotate(images, tmp_path / "kth1.json", "--validation_persons", "11", "--testing_persons", "1")
    persons = {subset: {clip[:8] for clip in clips} for subset, clips in subsets_of(read).items()}
    assert persons == {"training": {"person02"}, "validation": {"person11"}, "testing": {"person01"}}
    read = annotate(images, tmp_path / "kth1.json", "--validation_persons", "11", "1")
    assert set(subsets_of(read)) == {"training", "validation"}  # testing may be empty when persons are named


@pytest.mark.parametrize("clips, more, message", [
    ("1 2 11", "--validation_persons 11 --testing_persons 11", "nobody can be in both"),
    ("1 2 11", "--validation_persons 5", "no clip of person 5; there are clips of persons 1 2 11"),
    ("1 2 11", "--validation_persons 1 2 11", "nobody is left for training"),
    ("1 2 11", "--testing_persons 2", "nobody is left for validation"),
    ("1 2", "", "nobody is left for training; name persons with --validation_persons and --testing_persons"),
    ("2 11", "", "nobody is left for validation"),
    ("1 11", "", "nobody is left for testing"),
    ("1 2 11 26", "", "the official split has no person 26"),
    ("", "", "utils/extract_frames.py"),
])  # fmt: skip
def test_splits_that_leave_a_subset_empty(tmp_path, capsys, clips, more, message):
    make_clips(tmp_path, *(f"walking/person{int(person):02d}_walking_d1_1" for person in clips.split()))
    assert message in refused(capsys, annotate, tmp_path, tmp_path / "kth1.json", *more.split())
    assert not (tmp_path / "kth1.json").exists()


def test_split_by_group_and_by_video(tmp_path, capsys):
    ucf = [f"Walking/v_Walking_g{g:02d}_c0{c}" for g in range(1, 11) for c in (1, 2, 3)]
    own = [f"wave/clip{v}_{k}" for v in range(10) for k in (1, 2)]
    videos = {f"wave/clip{v}.avi": {"clips": {f"clip{v}_1": 1, f"clip{v}_2": 9}} for v in range(10)}
    make_clips(tmp_path, *ucf, *own)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "trim.json").write_text(json.dumps({"options": {}, "videos": videos}))
    read = annotate(tmp_path, tmp_path / "a.json")
    parts = {subset: {clip.rsplit("_", 1)[0] for clip in clips} for subset, clips in subsets_of(read).items()}
    assert {subset: len(groups) for subset, groups in parts.items()} == {"training": 12, "validation": 4, "testing": 4}
    assert not (parts["training"] & parts["validation"] or parts["training"] & parts["testing"])
    printed, warned = capsys.readouterr()
    assert "warning: wave: 20 clips without person or group are split by video; a person or a scene" in warned
    assert "training: 18 Walking, 12 wave\nvalidation: 6 Walking, 4 wave\ntesting: 6 Walking, 4 wave" in printed
    assert annotate(tmp_path, tmp_path / "b.json") == read != annotate(tmp_path, tmp_path / "c.json", "--seed=1")
    (tmp_path / "none" / "trim.json").write_text("[1]")
    assert "not a record" in refused(capsys, annotate, tmp_path, tmp_path / "d.json")


def test_clips_that_cannot_be_annotated(tmp_path, capsys):
    make_clips(tmp_path, *(f"wave/clip{k}" for k in range(5)), *(f"jump/hop{k}" for k in range(2)))
    (tmp_path / "wave" / "empty").mkdir()
    assert "2 groups or videos (hop0, hop1) cannot fill 3" in refused(capsys, annotate, tmp_path, tmp_path / "a.json")
    make_clips(tmp_path, "jump/hop2")
    assert "empty" not in annotate(tmp_path, tmp_path / "a.json").clips
    assert "1 folders without images are left out" in capsys.readouterr().err
    line = refused(capsys, annotate, tmp_path, tmp_path / "a.json", "--validation_persons", "1")
    assert "no clip has a name like" in line
    make_clips(tmp_path, "jump/clip1")
    line = refused(capsys, annotate, tmp_path, tmp_path / "a.json")
    assert f"{tmp_path / 'jump' / 'clip1'} and {tmp_path / 'wave' / 'clip1'} have one name, clip1, " in line


def test_generate_data(trimmed, tmp_path, monkeypatch):
    """The script, from another folder: what it would run is noted, then run here."""
    noted, python = tmp_path / "noted", tmp_path / "python"
    python.write_text(f'#!/usr/bin/env bash\nprintf "%s\\n" "$PWD" "$*" >> "{noted}"\n')
    python.chmod(0o755)
    places = {"TRIMMED_PATH": str(trimmed), "IMAGE_PATH": str(tmp_path / "images"), "PYTHON": str(python),
              "ANNOTATION_PATH": str(tmp_path / "kth1.json")}  # fmt: skip
    command = [ROOT / "utils" / "generate_data.sh", "--validation_persons", "1", "--testing_persons", "11"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | places, check=True)
    here, first, there, second = noted.read_text().splitlines()
    assert here == there == str(ROOT)
    for script, line in ((extract_frames, first), (annotate_kth, second)):
        name, *options = line.split()
        assert name == f"utils/{Path(script.__file__).name}"
        script.main(options)
    assert {clip[:8] for clip in subsets_of(read_annotation(tmp_path / "kth1.json"))["training"]} == {"person02"}
    failing = subprocess.run(command[:1], env=os.environ | {"PYTHON": "false"}, check=False)
    assert failing.returncode == 1
