"""runtime/workers.py: processes that work while this one goes on."""

import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from pathlib import Path

import pytest

from runtime import workers
from runtime.workers import Workers, useful_workers


def write(path):
    path.write_text(str(os.getpid()))


def fail(error):
    raise error


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt_parent(path):
    os.kill(os.getppid(), signal.SIGINT)
    path.touch()


class Unusual(Exception):
    """An exception that pickle cannot send."""

    def __init__(self, text, more):
        super().__init__(text)


def fail_oddly(error):
    raise Unusual(error, 1)


def processes_of(folder):
    return {path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_all_tasks_are_done_when_the_block_ends(tmp_path, count):
    with Workers(count) as some:
        for number in range(5):
            some.submit(write, tmp_path / str(number))
    assert len(list(tmp_path.iterdir())) == 5
    assert (processes_of(tmp_path) == {str(os.getpid())}) == (count == 0)
    assert len(processes_of(tmp_path)) <= max(count, 1)


def test_processes_that_are_spawned_do_the_same(tmp_path, monkeypatch):
    """This is how processes start where they cannot be forked."""
    monkeypatch.setattr(workers, "CONTEXT", multiprocessing.get_context("spawn"))
    with Workers(1) as some:
        some.submit(write, tmp_path / "file")
    assert processes_of(tmp_path) != {str(os.getpid())}


@pytest.mark.parametrize(("function", "error", "kind", "text"), [
    (fail, OSError(28, "no room"), OSError, "no room"), (fail, ValueError("a sentence"), ValueError, "a sentence"),
    (fail_oddly, "odd", RuntimeError, "Unusual: odd"),
])
def test_an_error_is_raised_and_the_other_tasks_are_done(tmp_path, function, error, kind, text):
    with pytest.raises(kind, match=text) as caught, Workers(2) as some:
        some.submit(function, error)
        some.submit(write, tmp_path / "file")
    assert (tmp_path / "file").is_file()
    assert f"in {function.__name__}" in str(caught.value.__cause__)  # the traceback in the other process


def test_a_task_that_cannot_be_sent_is_an_error_at_once():
    with pytest.raises((AttributeError, pickle.PicklingError)), Workers(1) as some:
        some.submit(lambda: None)


def test_a_process_that_dies_is_an_error_that_says_how(tmp_path):
    with pytest.raises(OSError, match=r"died \(Killed\); what is complete is kept: run the same command"), \
            Workers(1) as some:
        some.submit(die)
        for number in range(2):
            some.submit(write, tmp_path / str(number))


def test_warnings_reach_this_process():
    with pytest.warns(UserWarning, match="of a task"), Workers(1) as some:
        some.submit(warnings.warn, "of a task")


def test_ctrl_c_waits_for_tasks_that_have_begun(tmp_path):
    with pytest.raises(KeyboardInterrupt), Workers(1) as some:
        some.submit(interrupt_parent, tmp_path / "file")
        threading.Event().wait(60)  # until the signal
    assert (tmp_path / "file").is_file()


def test_the_number_of_workers(monkeypatch):
    monkeypatch.setattr(workers, "n_cores", lambda: 4)
    assert [useful_workers(*given) for given in ((0, None), (1, None), (2, None), (9, None), (9, 1), (9, 2))] == [
        0, 0, 2, 2, 0, 2]
    monkeypatch.setattr(workers, "n_cores", lambda: 1)
    assert useful_workers(9) == 0


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_no_process_is_left():
    with Workers(2) as some:
        children = list(some._processes.values())
        some.submit(write, Path(os.devnull))
    assert not any(child.is_alive() for child in children)
