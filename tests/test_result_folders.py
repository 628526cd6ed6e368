"""Result folders that cannot be written, and a full disk."""

import errno
import multiprocessing
import os
import sys

import pytest

from runtime.files import sole_writer
from tests.bad_cases import SCRIPTS, options_of
from tests.runs import TRAINED_SCRIPTS, bytes_of, data_options, refused, run_command, train_options

PATIENCE = 600  # seconds


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_folder_without_permission(good, results, capsys, script):
    results.chmod(0o500)
    try:
        assert "choose another folder" in refused(capsys, script, *options_of(script, good, results))
    finally:
        results.chmod(0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, where nobody can make a folder")
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_folder_that_cannot_be_made(good, capsys, script):
    assert "choose another folder" in refused(capsys, script, *options_of(script, good, "/proc/results"))


def hold(folder, held, released):
    """Write into the folder until released."""
    with sole_writer(folder):
        held.set()
        released.wait(PATIENCE)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_folder_in_which_another_run_is_at_work(good, results, capsys):
    context = multiprocessing.get_context("fork")
    held, released = context.Event(), context.Event()
    process = context.Process(target=hold, args=(results, held, released))
    process.start()
    try:
        assert held.wait(PATIENCE)
        before = bytes_of(results)
        for script in SCRIPTS:
            line = refused(capsys, script, *options_of(script, good, results))
            assert "another run is writing into" in line
        assert bytes_of(results) == before
    finally:
        released.set()
        process.join()


@pytest.mark.parametrize("script", ["main", *TRAINED_SCRIPTS])
def test_a_full_disk_is_one_line_and_leaves_no_half_file(data_set, trained, tmp_path, capsys, monkeypatch, script):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    options = train_options(data_set, tmp_path) if script == "main" else [
        *data_options(data_set), "--resume_path", trained / "best.pth", "--result_path", tmp_path, "--limit", 1]
    monkeypatch.setattr("runtime.files.os.fsync", full)
    line = refused(capsys, script, *options)
    assert "No space left on device" in line and "make room and run the same command" in line
    assert set(bytes_of(tmp_path)) <= {".lock"}
    if script == "main":
        monkeypatch.undo()
        run_command(script, *options)
