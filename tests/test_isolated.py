"""Workers in processes of their own, which may die, hang or fail."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from runtime.isolated import run_isolated
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
        raise ValueError("no\nframes")
    if what == "bug":
        raise KeyError("x")
    if what == "exit":
        os._exit(3)
    return what.upper()


def test_a_dying_worker_costs_only_its_item(monkeypatch):
    stop_clock(monkeypatch, lambda item: item == "hang")
    items = ["a", "abort", "b", "hang", "value", "bug", "killed", "exit", "c"]
    outcomes = {item: (result, error) for item, result, error in run_isolated(misbehave, items, 3, 0.7)}
    assert outcomes == {
        "a": ("A", None), "b": ("B", None), "c": ("C", None),
        "abort": (None, "the process working on it died (Aborted)"),
        "killed": (None, "the process working on it died (Killed)"),
        "exit": (None, "the process working on it died (exit status 3)"),
        "hang": (None, "took longer than 0.7 seconds"),
        "value": (None, "no frames"),
        "bug": (None, "KeyError: 'x'"),
    }  # fmt: skip
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
