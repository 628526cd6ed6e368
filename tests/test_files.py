"""Files and folders that are whole or not there, and one writer per folder."""

import errno
import os
import subprocess
import sys

import pytest

from runtime import files
from runtime.files import sole_writer, whole_folder, write_csv
from tests.runs import ROOT


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


def test_a_folder_is_replaced_at_once_or_not_at_all(tmp_path, monkeypatch):
    """Killed while the old one is taken apart, the new one is in place."""
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "old").write_text("old")
    seen = []
    monkeypatch.setattr("runtime.files.shutil.rmtree", lambda folder, **options: seen.append(
        sorted(path.name for path in (tmp_path / "clip").iterdir())))
    with whole_folder(tmp_path / "clip") as folder:
        (folder / "new").write_text("new")
    assert seen == [["new"]]


def test_a_folder_takes_its_place_when_its_files_are_on_the_disk(tmp_path, monkeypatch):
    flushed = []

    def note(descriptor):
        flushed.append((os.fstat(descriptor).st_size, (tmp_path / "clip").exists()))

    monkeypatch.setattr("runtime.files.os.fsync", note)
    with whole_folder(tmp_path / "clip") as folder:
        (folder / "a").write_text("a")
        (folder / "b").write_text("bb")
    assert sorted(flushed) == [(1, False), (2, False)]
    assert sorted(path.name for path in (tmp_path / "clip").iterdir()) == ["a", "b"]


def test_a_table(tmp_path):
    write_csv(tmp_path / "table.csv", [["clip", "p"], ["a, b", 0.5]])
    assert (tmp_path / "table.csv").read_text().splitlines() == ["clip,p", '"a, b",0.5']


@pytest.mark.skipif(files.fcntl is None, reason="Windows has no such locks")
def test_a_file_system_without_locks_is_used_with_a_warning(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(files.fcntl, "lockf", refuse)
    (tmp_path / ".maps.part7.npz").write_text("half")
    with pytest.warns(UserWarning, match="has no locks .*start only one run at a time"), sole_writer(tmp_path):
        assert not (tmp_path / ".maps.part7.npz").exists()
