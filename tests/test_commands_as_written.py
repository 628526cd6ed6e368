"""The commands of docs/usage.md, from videos to maps, run in their order in a copy of the project on drawn people."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.runs import ROOT

SECTION = "## KTH from beginning to end"
CHANGES = {  # what no test machine has, or has no time for
    " --use_cuda --gpu 0": "", "--n_epochs 50": "--n_epochs 1 --backbone_weights none",
    "<model_path>": "snapshots/kth_cnnlstm_resnet18/best.pth", " --limit 3 --tsr --sanity": " --limit 1 --overwrite",
}
SKIPPED = ("utils/download_kth.py", "--validation_persons")  # needs the network; names persons who are not drawn
DRAWN = "--persons 11 19 22 --scenarios 1 --passes 1"


def commands():
    """Return the commands of the section, in order, changed as CHANGES says."""
    text = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    section = text[text.index(SECTION):].split("\n## ")[0]
    lines = re.findall(r"^ *((?:python3|\./utils/)\S* .*|\./utils/\S+)$", section, re.MULTILINE)
    for old, new in CHANGES.items():
        lines = [line.replace(old, new) for line in lines]
    return [line for line in lines if not any(part in line for part in SKIPPED)]


@pytest.fixture
def project(tmp_path):
    """Return a copy of the project without tests, and an environment in which python3 is this Python."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in (name for name in files if not name.startswith("tests/") and (ROOT / name).is_file()):
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "copy" / name)
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environment = os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    return tmp_path / "copy", environment


def test_the_commands_of_the_documentation_run_in_their_order(project):
    folder, environment = project
    found = commands()
    assert [line.split()[1 if line.startswith("python3") else 0] for line in found[:6]] == [
        "utils/trim_videos.py", "./utils/generate_data.sh", "main.py", "inference.py", "frame_saliency.py",
        "feature_saliency.py"]
    for line in [f"python3 utils/synthesize_kth.py {DRAWN}", *found]:
        ended = subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, f"{line}\n{ended.stderr}"
    assert (folder / "snapshots" / "kth_cnnlstm_resnet18" / "curves.png").is_file()
    assert (folder / "results" / "inference" / "confusion.png").is_file()
    for script in ("frame_saliency", "feature_saliency"):
        assert list((folder / "results" / script).glob("*/*/saliency.npz"))
