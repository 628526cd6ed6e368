"""The script that makes videos of drawn people."""

import multiprocessing
import os
import signal

import numpy as np
import pytest

from data.datasets.kth import read_sequences
from data.synthetic.people import synthesize
from data.video import masks_path, read_masks, read_video, write_video
from tests.runs import refused
from utils import synthesize_kth
from utils.batch import Record

FEW = ("--persons", "2", "11", "--scenarios", "1", "--actions", "running")


def run(tmp_path, *options):
    """Call utils/synthesize_kth.py."""
    return synthesize_kth.main(["--output", str(tmp_path), "--passes", "1", "--workers", "1", *options])


def test_command_makes_videos_and_goes_on(tmp_path, capsys):
    run(tmp_path, *FEW)
    assert "running: 2 videos drawn, 0 kept" in capsys.readouterr().out
    first, second = sorted((tmp_path / "running").glob("*.avi"))
    frames, fps = read_video(first)
    masks = read_masks(masks_path(first))
    drawn = synthesize(1, 2, 1, "running", passes=1)
    assert (first.name, fps) == ("person02_running_d1_uncomp.avi", 25)
    assert np.abs(frames[..., 0].astype(int) - drawn[0]).mean() < 2
    np.testing.assert_array_equal(masks, drawn[1])
    assert read_sequences(tmp_path / "00sequences.txt")["person02_running_d1"] == drawn[2]

    kept, second_bytes = first.stat().st_mtime_ns, second.read_bytes()
    second.write_bytes(second_bytes[:5000])
    run(tmp_path, "--persons", "2", "11", "--scenarios", "1", "--workers", "2")
    out = capsys.readouterr().out
    assert "running: 1 videos drawn, 1 kept" in out and "walking: 2 videos drawn, 0 kept" in out
    assert first.stat().st_mtime_ns == kept
    assert second.read_bytes() == second_bytes, "whoever makes it, and whatever else is made"
    assert len(read_sequences(tmp_path / "00sequences.txt")) == 4


def test_command_refuses_other_options_and_starts_again(tmp_path, capsys):
    run(tmp_path, "--persons", "3", "--scenarios", "1", "--actions", "running")
    assert "made with seed 1, but now it is 5" in refused(capsys, run, tmp_path, *FEW, "--seed", "5")
    assert "evidence None, but now it is late" in refused(capsys, run, tmp_path, *FEW, "--evidence", "late")
    run(tmp_path, "--persons", "4", "--scenarios", "1", "--actions", "running", "--evidence", "late", "--overwrite")
    assert [path.name[:8] for path in tmp_path.glob("*/*.avi")] == ["person04"]
    ranges = read_sequences(tmp_path / "00sequences.txt")
    assert [last - first + 1 for first, last in ranges["person04_running_d1"]] == [30]


@pytest.mark.parametrize(("end", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_command_goes_on_after_a_kill(tmp_path, capsys, monkeypatch, end, status):
    """Ended when a video is there and not yet in the record."""
    update = Record.update

    def end_before_writing(record, entries):
        if any(entries.values()):
            assert all((tmp_path / key).is_file() for key in entries)
            os.kill(os.getpid(), end)
        update(record, entries)

    monkeypatch.setattr(Record, "update", end_before_writing)
    process = multiprocessing.get_context("fork").Process(target=run, args=(tmp_path, *FEW))
    process.start()
    process.join()
    assert process.exitcode == status
    assert list(tmp_path.glob("*/*.avi"))
    monkeypatch.undo()
    run(tmp_path, *FEW)
    assert "2 videos drawn, 0 kept" in capsys.readouterr().out


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_command_leaves_videos_of_others_alone(tmp_path, capsys, options):
    real = tmp_path / "walking" / "person01_walking_d1_uncomp.avi"
    write_video(real, np.zeros((2, 120, 160), np.uint8))
    assert f"holds walking/{real.name}, which" in refused(capsys, run, tmp_path, *options)
    assert {path.name for path in tmp_path.iterdir()} == {"walking", ".lock"} and real.is_file()
    real.unlink()
    (tmp_path / "00sequences.txt").write_text("person01_walking_d1 frames 1-20\n")
    assert "holds 00sequences.txt, which" in refused(capsys, run, tmp_path, *options)


@pytest.mark.parametrize(("options", "complaint"), [
    (("--persons", "0", "3"), "persons 1 to 99"),
    (("--persons", "100"), "persons 1 to 99"),
    (("--seed", "-1"), "not a whole number"),
    (("--evidence", "early", "--n_frames", "90"), "choose from 9 to 60"),
    (("--scenarios", "5"), "invalid choice"),
    (("--actions", "boxing"), "invalid choice"),
    (("--passes", "0"), "not a whole number"),
    (("--workers", "-1"), "not a whole number"),
])
def test_command_names_bad_input(tmp_path, capsys, options, complaint):
    assert complaint in refused(capsys, run, tmp_path, *options)
    assert not list(tmp_path.glob("*/*"))
