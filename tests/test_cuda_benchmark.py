"""The trial of everything on CUDA, which runs on the CPU here: its steps, and its exit status."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from tests.benchmarks import cuda
from tests.runs import refused, run_command

TINY = ["--device", "cpu", "--size", "32", "--frames", "6", "--patch", "16", "--backbone", "squeezenet1_1", "--passes",
        "2", "--n_epochs", "1"]


def rows_of(printed):
    """Return {what: found} of the printed table."""
    lines = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    return {line[0]: line[1] for line in lines[1:]}


def test_every_step_runs_on_the_cpu(capsys, monkeypatch):
    """Instead of torchrun, which takes seconds, main.py is called with the options for it."""
    def run(command, **_):
        assert command[2:4] == ["torch.distributed.run", "--standalone"]
        run_command("main", *command[command.index("main.py") + 1:])

    fake = SimpleNamespace(run=run, CalledProcessError=subprocess.CalledProcessError)
    monkeypatch.setattr(cuda, "subprocess", fake)
    assert cuda.main([*TINY, "--processes", "2"]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert len(rows) == 10 and not any("FAILED" in found for found in rows.values())
    assert rows["classification"].startswith("8 clips; largest difference of a probability from the CPU 0.0e+00")
    assert "15 arrays; largest difference from the CPU 0.0e+00" in rows["frame_saliency.py, --when, time step of TSR"]
    assert "ratio" in rows["TSR against the literal loop"] and "sampled error" in rows["TSR in bfloat16"]
    several, one = (float(number) for number in re.findall(r"\d\.\d+", rows["several processes"]))
    assert several == pytest.approx(one, abs=2e-4)


def test_a_step_that_fails_is_in_the_table(monkeypatch, capsys):
    def fail():
        raise RuntimeError("CUDA error:\nno kernel")

    steps = {"good": lambda: "fine", "bad": fail, "refused": lambda: sys.exit(2),
             "process": lambda: subprocess.run([sys.executable, "-c", "import sys; sys.exit('gone')"], check=True,
                                               capture_output=True, text=True)}
    monkeypatch.setattr(cuda.Trial, "steps", lambda trial: steps)
    assert cuda.main(TINY) == 1
    assert rows_of(capsys.readouterr().out) == {
        "good": "fine", "bad": "FAILED: RuntimeError: CUDA error: no kernel", "refused": "FAILED: SystemExit: 2",
        "process": "FAILED: gone"}


def test_without_a_gpu_it_ends_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "PyTorch finds no CUDA device here; pass --device cpu" in refused(capsys, cuda.main, [])
