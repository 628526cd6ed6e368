"""The benchmark for GPUs runs on the CPU, in a tiny form."""

import torch

from tests.benchmarks import cuda
from tests.runs import refused

TINY = ["--device", "cpu", "--size", "32", "--frames", "6", "--patch", "16", "--backbone", "squeezenet1_1", "--passes",
        "1", "--points", "2", "--clips", "2", "--train_clips", "2"]


def test_every_step_runs_on_the_cpu(capsys):
    assert cuda.main(TINY) == 0
    printed = capsys.readouterr().out
    lines = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    rows = {line[0]: line[1] for line in lines[1:]}
    assert len(rows) == 10 and "FAILED" not in printed
    assert rows["training, whole network"].count("of a plain loop") == 3
    assert "0.0e+00" in rows["inference.py and frame_saliency.py"] and "ratio" in rows["TSR, squeezenet1_1 + LSTM"]


def test_without_a_gpu_it_ends_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "PyTorch finds no CUDA device here; pass --device cpu" in refused(capsys, cuda.main, [])
