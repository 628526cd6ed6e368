"""runtime/workers.py: processes that work for this one, which may fail or die."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from runtime import workers
from runtime.errors import UserError
from runtime.workers import in_parallel, useful_writers, writers
from tests.runs import ROOT


def write(path):
    path.write_text(str(os.getpid()))


def fail(error):
    raise error


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt_parent(path):
    os.kill(os.getppid(), signal.SIGINT)
    path.touch()


def misbehave(what):
    """Fail as work on a file may."""
    if what == "user":
        raise UserError("no\nframes")
    if what == "memory":
        raise MemoryError
    if what == "bug":
        raise KeyError("x")
    if what == "b":
        warnings.warn("heard of b", stacklevel=1)
    return what.upper()


def processes_of(folder):
    return {path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("count", [1, 2])
def test_what_users_can_mend_costs_only_its_item(count):
    with pytest.warns(UserWarning, match="heard of b"):
        outcomes = {item: outcome for item, *outcome in in_parallel(misbehave, ["a", "user", "memory", "b"], count)}
    assert outcomes["a"] == ["A", None] and outcomes["b"] == ["B", None] and outcomes["user"] == [None, "no frames"]
    assert outcomes["memory"][1].startswith("out of memory")
    assert not multiprocessing.active_children()


def test_a_fault_of_ours_is_raised():
    with pytest.raises(KeyError, match="x") as caught:
        list(in_parallel(misbehave, ["bug", "user"], 2))
    assert "in misbehave" in str(caught.value.__cause__)  # the traceback in the other process


def test_a_process_that_dies_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(OSError, match=r"a process that worked for this one died.* run the same command to go on"):
        list(in_parallel(die, [1, 2], 2))
    with pytest.raises(OSError, match="what is complete is kept"), writers(1) as submit:
        submit(die)
        submit(write, tmp_path / "file")


def test_processes_end_with_their_parent():
    code = ("import os, signal\nfrom runtime.workers import in_parallel\n"
            "def work(item):\n    os.write(1, b'here\\n')\n    signal.pause()\n"
            "list(in_parallel(work, [1, 2], 2))")  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as parent:
        for _ in range(2):
            parent.stdout.readline()
        parent.kill()
        parent.communicate(timeout=300)  # returns when the processes have ended, who hold the other end of the pipe too


@pytest.mark.parametrize("count", [0, 1, 2])
def test_all_tasks_are_done_when_the_block_ends(tmp_path, count):
    with writers(count) as submit:
        for number in range(5):
            submit(write, tmp_path / str(number))
    assert len(list(tmp_path.iterdir())) == 5
    assert (processes_of(tmp_path) == {str(os.getpid())}) == (count == 0)
    assert len(processes_of(tmp_path)) <= max(count, 1)


def test_processes_that_are_spawned_do_the_same(tmp_path, monkeypatch):
    """This is how processes start where they cannot be forked."""
    monkeypatch.setattr(workers, "CONTEXT", multiprocessing.get_context("spawn"))
    with writers(1) as submit:
        submit(write, tmp_path / "file")
    assert processes_of(tmp_path) != {str(os.getpid())}


def test_an_error_is_raised_and_the_other_tasks_are_done(tmp_path):
    with pytest.raises(OSError, match="no room") as caught, writers(2) as submit:
        submit(fail, OSError(28, "no room"))
        submit(write, tmp_path / "file")
    assert (tmp_path / "file").is_file()
    assert "in fail" in str(caught.value.__cause__)  # the traceback in the other process


def test_at_most_two_tasks_wait(monkeypatch):
    """With a process that ends a task only when its result is asked for."""
    ended = []

    class Slow:
        def submit(self, _, function, arguments):
            return SimpleNamespace(result=lambda: (ended.append(arguments[0]), []))

    monkeypatch.setattr(workers, "_pool", lambda count: nullcontext(Slow()))
    with writers(1) as submit:
        for number in range(5):
            submit(print, number)
            assert ended == list(range(number - 2))  # one that works and two that wait
    assert ended == [0, 1, 2, 3, 4]


def test_warnings_reach_this_process():
    with pytest.warns(UserWarning, match="of a task"), writers(1) as submit:
        submit(warnings.warn, "of a task")


def test_ctrl_c_waits_for_tasks_that_have_begun(tmp_path):
    with pytest.raises(KeyboardInterrupt), writers(1) as submit:
        submit(interrupt_parent, tmp_path / "file")
        threading.Event().wait(60)  # until the signal
    assert (tmp_path / "file").is_file()


def test_the_number_of_writers(monkeypatch):
    monkeypatch.setattr(workers, "n_cores", lambda: 4)
    assert [useful_writers(*given) for given in ((0, None), (1, None), (2, None), (9, None), (9, 1), (9, 2))] == [
        0, 0, 2, 2, 0, 2]
    monkeypatch.setattr(workers, "n_cores", lambda: 1)
    assert useful_writers(9) == 0
