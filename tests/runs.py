"""Command lines called in this process on the tiny data set, and what they leave on the disk."""

import csv
import importlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from data.clips import find_clips
from data.training_clips import ClipDataset
from model.checkpoint import load_model
from model.preprocessing import normalise
from tests.tiny_data import CLIP, DURATION, SIZE

ROOT = Path(__file__).resolve().parents[1]
KTH = ROOT.parent / "shared" / "kth"  # real videos, which only some machines have
TRAINED_SCRIPTS = ("inference", "frame_saliency", "feature_saliency")


def data_options(data):
    """Return the options that name the data set."""
    return ["--annotation_path", data.annotation, "--video_path", data.images]


def train_options(data, folder, *more):
    """Return the options of a run that takes less than a second. Of options given twice the later one counts."""
    return [
        *data_options(data), "--result_path", folder, "--backbone", "squeezenet1_1", "--backbone_weights", "none",
        "--sample_size", SIZE, "--sample_duration", DURATION, "--n_epochs", 2, "--hidden_size", 16, "--batch_size", 4,
        *more,
    ]


def run_command(script, *arguments):
    """Call main([...]) of a script such as "inference" or "utils.trim_videos"."""
    return importlib.import_module(script).main(list(map(str, arguments)))


def use(script, data, trained, results, *more):
    """Call a script that uses the model of a run."""
    run_command(script, *data_options(data), "--resume_path", trained / "best.pth", "--result_path", results, *more)


def refused(capsys, script, *arguments):
    """Call a script, or a function, that must end with status 2 and one line on stderr beside warnings.

    Return that line.
    """
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        script(*arguments) if callable(script) else run_command(script, *arguments)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert caught.value.code == 2, lines
    assert len(lines) == 1, lines
    assert "error: " in lines[0]
    assert "Traceback" not in lines[0]
    return lines[0]


def bytes_of(folder):
    """Return everything in a folder, to see that nothing was changed: {path: content}."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def saved(folder):
    """Return the arrays in saliency.npz of a clip's folder."""
    with np.load(folder / "saliency.npz", allow_pickle=False) as archive:
        return dict(archive)


def table(path):
    """Return the rows of a CSV file as dicts."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def as_seen(data, trained, name=CLIP):
    """Return the model of a run, its ModelInfo, and a clip of the data set as the model reads it."""
    model, info = load_model(trained / "best.pth")
    _, clips, _ = find_clips(data.annotation, data.images, names=[name])
    dataset = ClipDataset(clips, info.classes, info.sample_size, info.sample_duration,
                          partial(normalise, mean=info.mean, std=info.std))
    return model, info, dataset[0][0]


def same(a, b):
    """Return whether two values from checkpoints are equal to the last bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
