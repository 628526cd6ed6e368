"""Fixtures of several test files: the tiny data set, a trained run, videos to prepare, a server, a browser."""

import shutil
import signal

import cv2
import pytest
import torch

from runtime import progress
from tests import toys
from tests.browser import chromium
from tests.kth_server import serving
from tests.passing import extract, make_videos, trim
from tests.runs import run_command, train_options
from tests.tiny_data import CLIP, make_data_set, places_in

torch.set_num_threads(1)
cv2.setNumThreads(1)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in commands that a shell script starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_set(tmp_path_factory):
    """The tiny data set, read only: tests that change something take `own_data_set`."""
    return make_data_set(tmp_path_factory.mktemp("data_set"))


@pytest.fixture
def own_data_set(data_set, tmp_path):
    """A copy of the tiny data set."""
    return places_in(shutil.copytree(data_set.root, tmp_path / "data"))


@pytest.fixture(scope="session")
def trained(data_set, tmp_path_factory):
    """The folder of a run of two epochs, read only."""
    folder = tmp_path_factory.mktemp("snapshots") / "run"
    run_command("main", *train_options(data_set, folder))
    return folder


@pytest.fixture(scope="module")
def good(trained, tmp_path_factory):
    """Good input next to a copy of the run, which a bug may damage."""
    root = make_data_set(tmp_path_factory.mktemp("good")).root
    return shutil.copytree(trained, root / "run")


@pytest.fixture
def results(tmp_path):
    """A folder with results of earlier runs, which must outlive every bad command."""
    folder = tmp_path / "results"
    (folder / "walking" / CLIP).mkdir(parents=True)
    for name in ("best.pth", "log.csv", "metrics.json", "predictions.csv", "kth1.json", f"walking/{CLIP}/saliency.npz"):
        (folder / name).write_text("kept")
    return folder


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    """Videos of three persons who walk and run, with ranges, read only."""
    return make_videos(tmp_path_factory.mktemp("raw") / "kth_data")


@pytest.fixture(scope="session")
def trimmed(raw, tmp_path_factory):
    """The clips of `raw`, read only."""
    folder = tmp_path_factory.mktemp("out") / "trimmed"
    trim(raw, folder)
    return folder


@pytest.fixture(scope="session")
def images(trimmed):
    """The images of `trimmed`, read only."""
    extract(trimmed, trimmed.parent / "images")
    return trimmed.parent / "images"


@pytest.fixture
def server(monkeypatch):
    """A server of KTH's archives."""
    with serving(monkeypatch) as server:
        yield server


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A browser without a window."""
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def case():
    """A model whose scores depend on all frames, in double precision, and a clip (5, 3, 40, 40)."""
    return toys.sensitive()


@pytest.fixture
def linear():
    """A linear model and a clip (3, 3, 5, 5)."""
    torch.manual_seed(5)
    return toys.Linear(), torch.randn(3, 3, 5, 5, dtype=torch.float64)


@pytest.fixture
def clock(monkeypatch):
    """The clock of the progress bars: a list with its time in seconds, which the test may change."""
    time = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: time[0])
    monkeypatch.setattr(progress, "_announced", set())
    return time


@pytest.fixture
def slow(monkeypatch, clock):
    """A function that makes each call of module.name last `seconds` on this clock."""
    def make_slow(module, name, seconds):
        function = getattr(module, name)

        def slowly(*arguments, **options):
            clock[0] += seconds
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, slowly)
    return make_slow
