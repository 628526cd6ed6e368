"""What several test files share: a tiny data set in the real layout, a trained run, command lines called in-process."""

import importlib
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from data.annotation import write_annotation
from data.video import write_masks, write_video

torch.set_num_threads(1)
cv2.setNumThreads(1)

SIZE, DURATION = 32, 6
PERSONS = {11: "training", 12: "training", 19: "validation", 22: "testing"}


def moving_block(speed, seed, length=DURATION, size=SIZE):
    """Frames (T, size, size, 3) uint8 of a bright block that moves, and where it is, (T, size, size) bool."""
    noise = np.random.default_rng(seed)
    ground = noise.integers(60, 100, (size, size, 1)).repeat(3, 2).astype(np.uint8)
    masks = np.zeros((length, size, size), dtype=bool)
    for t in range(length):
        left = 2 + seed % 3 + speed * t
        masks[t, 8:24, left % size:left % size + 5] = True
    return np.where(masks[..., None], np.uint8(230), ground), masks


def write_clip(folder, frames, masks=None, n_frames=True):
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        cv2.imwrite(str(folder / f"image_{number:05d}.jpg"), frame[..., ::-1])
    if n_frames:
        (folder / "n_frames").write_text(str(len(frames)))
    if masks is not None:
        write_masks(folder / "masks.npz", masks)


def make_data_set(root):
    """Two clips per person and class; returns the paths of the annotation, the images and a video of two windows."""
    clips, seed = {}, 0
    for person, subset in PERSONS.items():
        for label, speed in (("walking", 1), ("running", 4)):
            for take in (1, 2):
                name, seed = f"person{person}_{label}_d1_{take}", seed + 1
                write_clip(root / "image_data" / label / name, *moving_block(speed, seed))
                clips[name] = (subset, label)
    write_annotation(root / "annotation" / "kth1.json", ["running", "walking"], clips)
    write_video(root / "walk.avi", moving_block(1, 99, 2 * DURATION)[0])
    return SimpleNamespace(
        root=root, annotation=root / "annotation" / "kth1.json", images=root / "image_data", video=root / "walk.avi"
    )


@pytest.fixture(scope="session")
def data_set(tmp_path_factory):
    """Read only: tests that change something take `own_data_set`."""
    return make_data_set(tmp_path_factory.mktemp("data_set"))


@pytest.fixture
def own_data_set(data_set, tmp_path):
    shutil.copytree(data_set.root, tmp_path / "data")
    return SimpleNamespace(
        root=tmp_path / "data", annotation=tmp_path / "data" / "annotation" / "kth1.json",
        images=tmp_path / "data" / "image_data", video=tmp_path / "data" / "walk.avi",
    )


def data_options(data):
    return ["--annotation_path", data.annotation, "--video_path", data.images]


def train_options(data, folder, *more):
    """A run that takes less than a second. Of options given twice the later one counts."""
    return [
        *data_options(data), "--result_path", folder, "--backbone", "squeezenet1_1", "--backbone_weights", "none",
        "--sample_size", SIZE, "--sample_duration", DURATION, "--n_epochs", 2, "--hidden_size", 16, "--batch_size", 4,
        *more,
    ]


@pytest.fixture(scope="session")
def trained(data_set, tmp_path_factory):
    """The folder of a run of two epochs. Read only."""
    folder = tmp_path_factory.mktemp("snapshots") / "run"
    run_command("main", *train_options(data_set, folder))
    return folder


def run_command(script, *arguments):
    """Call main([...]) of a script such as "inference" or "utils.trim_videos"."""
    return importlib.import_module(script).main(list(map(str, arguments)))


def refused(capsys, script, *arguments):
    """Call a script that must end with status 2 and one line on stderr beside warnings; that line is returned."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run_command(script, *arguments)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert caught.value.code == 2, lines
    assert len(lines) == 1, lines
    assert "error: " in lines[0]
    assert "Traceback" not in lines[0]
    return lines[0]


def bytes_of(folder):
    """Everything in a folder, to see that nothing was changed: {path: content}."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
