"""Trimming into a folder that holds something already."""

import json
import multiprocessing
import os
import shutil
import signal

import pytest

from data.video import write_video
from runtime import files
from tests.passing import make_videos, passing, times_of, trim
from tests.runs import ROOT, bytes_of, refused

FORK = multiprocessing.get_context("fork")


@pytest.mark.parametrize("more, message", [
    (["--n_frames=9"], "made with n_frames 10, but now it is 9"),
    (["--size", "30", "30"], "made with size [40, 30], but now it is [30, 30]"),
    (["--color"], "made with color False, but now it is True"),
    (["--windows=2"], "made with windows 1, but now it is 2"),
    (["--start=3"], "made with start None, but now it is 3"),
    (["--sequences=none"], "made with ranges True, but now it is False"),
    (["--sequences=nowhere.txt"], "nowhere.txt"),
    (["--start=3", "--windows=2"], "leave one of them out"),
    (["--classes", "flying"], "holds running, walking"),
    (["--n_frames=0"], "--n_frames"),
    (["--size", "-1", "5"], "--size"),
    (["--workers=0"], "--workers"),
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


def test_trimming_survives_sigkill(raw, trimmed, tmp_path, monkeypatch):
    """Killed again and again when a file is written and not yet renamed: no clip is ever half there."""
    flush = files._flush
    for number in (1, 2, 5, 3, 1, 4):
        count = FORK.Value("i", 0)  # a new one, because a process that ends may hold its lock
        run = FORK.Process(target=trim_until, args=(number, count, flush, monkeypatch, raw, tmp_path))
        run.start()
        run.join()
        assert run.exitcode == -signal.SIGKILL
        for clip in tmp_path.glob("*/[!.]*.*"):
            assert clip.read_bytes() == (trimmed / clip.relative_to(tmp_path)).read_bytes()
    trim(raw, tmp_path)
    assert bytes_of(tmp_path) == bytes_of(trimmed)


def trim_until(number, count, flush, monkeypatch, raw, folder):
    """Trim, and kill this process when its workers have written the file of this number."""
    caller = os.getpid()

    def flush_or_end(path):
        flush(path)
        with count.get_lock():
            count.value += 1
            if count.value == number:
                os.kill(caller, signal.SIGKILL)

    monkeypatch.setattr(files, "_flush", flush_or_end)
    trim(raw, folder, "--workers=2")


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
