"""A few of the kills of tests.benchmarks.kills."""

import sys

import pytest

from tests.benchmarks.kills import DATA, TRAIN, WAYS, prepared, survive


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with good input for all kinds."""
    return prepared(tmp_path_factory.mktemp("kills"))


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("kind", WAYS)
def test_sigkill(world, kind, monkeypatch):
    short = {
        "training": [("main", [*TRAIN, "--n_epochs", "4"])],
        "saliency": [("feature_saliency", [*DATA, "--resume_path", "run/best.pth", "--limit", "2", "--result_path",
                                           "out"])],
    }
    monkeypatch.setitem(WAYS, kind, [short.get(kind, WAYS[kind][0])])
    counts, wrong = survive(kind, 2, world, share=0.0, whole=1)
    assert counts["kills"] == 2 and not wrong, wrong
