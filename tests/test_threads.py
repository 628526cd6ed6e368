"""The number of threads, and how they wait."""

import json
import os
import subprocess
import sys

import pytest
import torch

from runtime import device, threads
from tests.runs import ROOT, refused, run_command

VARIABLES = (*threads.WAITING, *threads.COUNTS)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that makes a machine of 8 cores whose control groups are the given files: {path: content}."""
    def make(groups, files):
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content)
        (tmp_path / "groups").write_text(groups)
        monkeypatch.setattr(threads, "GROUPS", tmp_path / "groups")
        monkeypatch.setattr(threads, "MOUNTS", tmp_path)
        monkeypatch.setattr(threads, "_n_allowed", lambda: 8)
        monkeypatch.setattr(threads, "others_run", lambda: True)

    for name in VARIABLES:  # set first, so that what `prepare` sets is undone after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return make


@pytest.mark.parametrize(("groups", "files", "expected"), [
    ("0::/\n", {}, 8),
    ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
    ("0::/\n", {"cpu.max": "250000 100000\n"}, 3),
    ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
    ("0::/\n", {"cpu.max": "9900000 100000\n"}, 8),
    ("0::/\n", {"cpu.max": "broken"}, 8),
    ("0::/a/b\n", {"cpu.max": "max 100000", "a/cpu.max": "400000 100000", "a/b/cpu.max": "600000 100000"}, 4),
    ("0::/host/of/container\n", {"cpu.max": "200000 100000"}, 2),
    ("3:cpuset:/\n1:cpu,cpuacct:/x\n0::/\n", {
        "cpu,cpuacct/x/cpu.cfs_quota_us": "150000\n", "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"}, 2),
    ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ("3:cpuset:/\n", {"cpuset/cpu.cfs_quota_us": "100000", "cpuset/cpu.cfs_period_us": "100000"}, 8),
])
def test_cores_are_those_of_the_control_group(machine, groups, files, expected):
    machine(groups, files)
    assert threads.n_cores() == expected


def test_a_system_without_control_groups(machine, monkeypatch, tmp_path):
    machine("", {})
    monkeypatch.setattr(threads, "GROUPS", tmp_path / "absent")
    assert threads.n_cores() == 8


def environment():
    """Return the variables about threads that are set."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def test_the_environment_of_a_machine_without_limits(machine):
    machine("0::/", {})
    threads.prepare()
    assert environment() == {"OMP_WAIT_POLICY": "passive"}  # the number is left to PyTorch


def test_threads_spin_briefly_on_a_quiet_machine(machine, monkeypatch):
    machine("0::/", {})
    monkeypatch.setattr(threads, "others_run", lambda: False)
    threads.prepare()
    assert environment() == {"GOMP_SPINCOUNT": "10000"}


@pytest.mark.parametrize(("looks", "expected"), [
    (["1/300", "1/300", "1/300", "1/300", "1/300"], False),
    (["9/300", "4/300", "1/300", "5/300", "3/300"], False),  # a moment of other work is not a busy machine
    (["2/300", "4/300", "2/300", "5/300", "3/300"], True),
    (["unknown"], True),
])
def test_other_work_is_what_runs_at_every_look(tmp_path, monkeypatch, looks, expected):
    def next_look(path):
        path.write_text(f"0.50 0.40 0.30 {looks.pop(0)} 1234\n")
        return path

    loads = next_look(tmp_path / "loadavg")
    monkeypatch.setattr(threads, "LOADS", loads)
    monkeypatch.setattr(threads.time, "sleep", lambda seconds: looks and next_look(loads))
    assert threads.others_run() is expected


def test_a_system_that_does_not_tell_counts_as_busy(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "LOADS", tmp_path / "absent")
    assert threads.others_run() is True


def test_a_limit_becomes_the_number_of_threads(machine):
    machine("0::/", {"cpu.max": "250000 100000"})
    threads.prepare()
    assert environment() == {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "3"}


@pytest.mark.parametrize(("name", "value"), [
    ("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "5"), ("KMP_BLOCKTIME", "7")])
def test_a_choice_of_waiting_stays(machine, monkeypatch, name, value):
    machine("0::/", {})
    monkeypatch.setenv(name, value)
    threads.prepare()
    assert environment() == {name: value}


@pytest.mark.parametrize("name", threads.COUNTS)
def test_a_choice_of_the_number_stays(machine, monkeypatch, name):
    machine("0::/", {"cpu.max": "250000 100000"})
    monkeypatch.setenv(name, "5")
    threads.prepare()
    assert environment() == {"OMP_WAIT_POLICY": "passive", name: "5"}


def test_the_flag_wins(machine, monkeypatch):
    machine("0::/", {"cpu.max": "250000 100000"})
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    threads.prepare(4)
    assert environment()["OMP_NUM_THREADS"] == "4"


def test_a_busy_machine_is_mentioned(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (2.9, 0, 0))
    assert threads.busy() == ""
    monkeypatch.setattr(os, "getloadavg", lambda: (4.06, 0, 0))
    assert threads.busy() == "this machine is busy (load 4.1 for 2 cores), so this takes longer than usual"


def test_the_device_says_what_was_chosen(capsys, monkeypatch):
    monkeypatch.setattr(threads, "busy", lambda: "it is busy")
    before = torch.get_num_threads()
    try:
        device.choose_device(n_threads=3)
        assert torch.get_num_threads() == 3
        assert capsys.readouterr().out == "computing on cpu with 3 threads\nit is busy\n"
        device.choose_device()
        assert torch.get_num_threads() == 3
        device.choose_device(n_threads=1)
        assert "with 1 thread\n" in capsys.readouterr().out
    finally:
        torch.set_num_threads(before)


START = """
import contextlib, runpy, sys
sys.argv[0] = "inference.py"
with contextlib.suppress(SystemExit):
    runpy.run_path("inference.py", run_name="__main__")
import json, os, torch
chosen = os.environ.get("OMP_WAIT_POLICY") or os.environ["GOMP_SPINCOUNT"]
print(json.dumps([chosen, torch.get_num_threads()]))
"""


def test_a_script_prepares_before_pytorch_is_imported(tmp_path):
    """PyTorch reads OMP_NUM_THREADS only when it is imported; here the script ends before it chooses a device."""
    free = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-c", START, "--video", str(tmp_path / "none.avi"), "--gpu", "-1", "--threads", "3"]
    ended = subprocess.run(command, cwd=ROOT, env=free, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout.splitlines()[-1]) in (["passive", 3], ["10000", 3])


@pytest.mark.parametrize("value", ["0", "-1", "1025", "two"])
def test_a_wrong_number_is_refused(capsys, value):
    assert "not a whole number from 1 to 1024" in refused(capsys, run_command, "main", "--threads", value)
