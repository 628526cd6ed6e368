"""Graphics cards that are not there, the number of threads, and how they wait."""

import json
import os
import subprocess
import sys

import pytest
import torch

import runtime
from runtime import device
from tests.bad_cases import options_of
from tests.runs import ROOT, refused


@pytest.mark.parametrize(("flags", "available", "complaint"), [
    (["--use_cuda"], False, "PyTorch finds no CUDA device here; leave out --use_cuda and --gpu"),
    (["--gpu", "7"], True, "GPU 7 was asked for, but the GPUs of this machine are 0 to 0"),
])
def test_graphics_cards_that_are_not_there(good, results, capsys, monkeypatch, flags, available, complaint):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(available))
    assert complaint in refused(capsys, "inference", *options_of("inference", good, results), *flags)


def test_the_number_of_threads_is_told_and_stays(capsys):
    before = torch.get_num_threads()
    try:
        device.choose_device(n_threads=3)
        device.choose_device()
        assert capsys.readouterr().out == 2 * "computing on cpu with 3 threads\n"
        with device.fewer_threads(2):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("looks", "expected"), [
    (["1/300"] * 5, False), (["9/300", "4/300", "1/300", "5/300", "3/300"], False), (["2/300"] * 5, True)])
def test_other_work_is_what_runs_at_every_look(monkeypatch, looks, expected):
    looks = iter(looks)
    monkeypatch.setattr(runtime.Path, "read_text", lambda path: f"0.50 0.40 0.30 {next(looks)} 1234\n")
    monkeypatch.setattr(runtime.time, "sleep", lambda seconds: None)
    assert runtime.others_compute() is expected


def test_waiting_threads_do_not_spin_for_ever():
    """PyTorch reads the variables when it is imported, so the package runtime sets one of them before."""
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    code = f"import json, os, runtime; print(json.dumps([os.environ.get(name) for name in {names}]))"
    free = {name: value for name, value in os.environ.items() if name not in names}
    for given, expected in (({}, (["passive", None], [None, "10000"])), (
            {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "5"}, (["active", "5"],))):
        ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=free | given, stdout=subprocess.PIPE,
                               check=True)
        assert json.loads(ended.stdout) in expected
