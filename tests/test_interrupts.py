"""Ctrl-C in the middle of TSR, and going on."""

import signal

import pytest

from saliency.tsr.factored import FactoredRelevance
from tests.runs import bytes_of, use

UNLIKE = ("opts.json", "report.html")  # they tell of the folder
OPTIONS = ["--limit", 2, "--tsr", "--tsr_patch", 12, "--no_overlay", "--no_when"]


def results(folder):
    """Return what must be the same."""
    return {name: content for name, content in bytes_of(folder).items() if name not in UNLIKE}


def test_ctrl_c_in_tsr_keeps_whole_clips(data_set, trained, tmp_path, capsys, monkeypatch):
    changes, calls = FactoredRelevance.changes, []

    def changes_or_signal(*arguments):
        calls.append(1)
        if len(calls) == 4:  # the second step of the second clip
            signal.raise_signal(signal.SIGINT)
        return changes(*arguments)

    monkeypatch.setattr(FactoredRelevance, "changes", changes_or_signal)
    with pytest.raises(SystemExit) as caught:
        use("frame_saliency", data_set, trained, tmp_path / "stopped", *OPTIONS)
    assert caught.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1].endswith(
        "interrupted; what is complete is kept, run the same command to go on")
    assert len([name for name in bytes_of(tmp_path / "stopped") if name.endswith("saliency.npz")]) == 1
    assert not [name for name in bytes_of(tmp_path / "stopped") if ".part" in name]
    monkeypatch.undo()
    use("frame_saliency", data_set, trained, tmp_path / "stopped", *OPTIONS)
    assert "1 clip explained, 1 kept from before, 0 left out" in capsys.readouterr().out
    use("frame_saliency", data_set, trained, tmp_path / "whole", *OPTIONS)
    assert results(tmp_path / "stopped") == results(tmp_path / "whole")
