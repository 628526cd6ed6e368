"""Workers in processes of their own, which may die, hang or fail."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest

from runtime import isolated
from runtime.errors import UserError, told
from runtime.isolated import IsolatedCalls, run_isolated
from tests.clock import hang, stop_clock
from tests.passing import abort
from tests.runs import ROOT


def misbehave(what):
    """Die, hang or fail as a worker may."""
    if what == "abort":
        abort()
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        hang()
    if what == "value":
        raise UserError("no\nframes")
    if what == "memory":
        raise MemoryError
    if what == "bug":
        raise KeyError("x")
    if what == "exit":
        os._exit(3)
    return what.upper()


def test_a_dying_worker_costs_only_its_item(monkeypatch):
    stop_clock(monkeypatch, lambda item: item == "hang")
    items = ["a", "abort", "b", "hang", "value", "memory", "killed", "exit", "c"]
    outcomes = {item: (result, error) for item, result, error in run_isolated(misbehave, items, 3, 0.7)}
    assert outcomes == {
        "a": ("A", None), "b": ("B", None), "c": ("C", None),
        "abort": (None, "the process working on it died (Aborted)"),
        "killed": (None, "the process working on it died (Killed)"),
        "exit": (None, "the process working on it died (exit status 3)"),
        "hang": (None, "took longer than 0.7 seconds"),
        "value": (None, "no frames"),
        "memory": (None, told(MemoryError())),
    }  # fmt: skip
    assert not multiprocessing.active_children()


def test_a_fault_of_ours_is_raised_and_ends_all_processes():
    with pytest.raises(KeyError, match="x") as caught:
        list(run_isolated(misbehave, ["bug", "hang"], 2, 600))
    assert "in misbehave" in str(caught.value.__cause__)  # the traceback in the other process
    assert not multiprocessing.active_children()


def test_processes_end_with_the_generator():
    results = run_isolated(misbehave, ["a", "hang", "hang"], 3, 600)
    assert next(results) == ("a", "A", None) and len(multiprocessing.active_children()) == 2
    results.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, -1])
def test_work_needs_workers(workers):
    with pytest.raises(ValueError, match=f"{workers} worker processes"):
        list(run_isolated(misbehave, ["a"], workers, 1))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_caller(end):
    code = ("import os, signal\nfrom runtime.isolated import run_isolated\n"
            "def work(item):\n    os.write(1, b'here\\n')\n    signal.pause()\n"
            "list(run_isolated(work, [1, 2], 2, 600))")  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as caller:
        for _ in range(2):
            caller.stdout.readline()
        caller.send_signal(end)
        caller.communicate(timeout=300)  # returns when the workers have ended, who hold the other end of the pipe too


class Counter:
    """A function with a state, which may misbehave."""

    def __init__(self):
        self.calls = 0

    def __call__(self, what):
        misbehave(what)
        self.calls += 1
        return self.calls, os.getpid()


def test_calls_of_one_process(monkeypatch):
    call = IsolatedCalls(Counter, 600)
    (first, process), (second, same) = call("a"), call("b")
    assert (first, second) == (1, 2) and process == same != os.getpid()
    for what, reason in (("abort", "Aborted"), ("value", "no frames"), ("exit", "status 3")):
        with pytest.raises(UserError, match=reason):
            call(what)
        assert call("a")[0] == 1  # a new process
    with pytest.raises(KeyError, match="x"):
        call("bug")
    assert call("a")[0] == 1
    with pytest.raises(UserError, match="no frames"):
        IsolatedCalls(partial(misbehave, "value"), 600)("a")  # where the function is made
    call.time_limit = 0.01
    with pytest.raises(ValueError, match=r"made no progress for 0\.01 seconds"):
        call("hang")
    call.time_limit = 600
    assert call("a")[0] == 1
    call.close()
    call.close()
    assert call("a")[0] == 1


def test_the_process_of_calls_ends_with_them():
    before = set(multiprocessing.active_children())
    call = IsolatedCalls(Counter, 600)
    assert set(multiprocessing.active_children()) == before
    call("a")
    assert len(set(multiprocessing.active_children()) - before) == 1
    del call  # kills the process and waits for its end
    assert set(multiprocessing.active_children()) == before


def slowly(steps):
    """Work that tells of its progress."""
    for _ in range(steps):
        isolated.show_progress()
    return steps


def hopefully(_):
    isolated.show_progress()
    hang()


@pytest.mark.parametrize("since_progress", [False, True])
def test_progress_renews_the_time_limit(monkeypatch, since_progress):
    """The clock advances by a second at each look, so that 100 steps take longer than the limit of 20 seconds."""
    isolated.show_progress()  # does nothing in a process that works for nobody
    monkeypatch.setattr(isolated, "PROGRESS_INTERVAL", 0)
    ticks = itertools.count()
    monkeypatch.setattr(isolated, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    ((_, result, error),) = run_isolated(slowly, [300], 1, 20, since_progress)
    assert (result, error) == ((300, None) if since_progress else (None, "took longer than 20 seconds"))
    monkeypatch.setattr(isolated, "PROGRESS_INTERVAL", 10**9)
    if since_progress:
        monkeypatch.undo()
        ((_, result, error),) = run_isolated(hopefully, [1], 1, 0.3, since_progress)
        assert (result, error) == (None, "made no progress for 0.3 seconds")
