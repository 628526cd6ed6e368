"""The shell script that extracts and annotates."""

import os
import subprocess
from pathlib import Path

from data.annotation import read_annotation
from tests.runs import ROOT
from tests.tiny_data import subsets_of
from utils import annotate_kth, extract_frames


def test_generate_data(trimmed, tmp_path, monkeypatch):
    """The script, from another folder: what it would run is noted, then run here."""
    noted, python = tmp_path / "noted", tmp_path / "python"
    python.write_text(f'#!/usr/bin/env bash\nprintf "%s\\n" "$PWD" "$*" >> "{noted}"\n')
    python.chmod(0o755)
    places = {"TRIMMED_PATH": str(trimmed), "IMAGE_PATH": str(tmp_path / "images"), "PYTHON": str(python),
              "ANNOTATION_PATH": str(tmp_path / "kth1.json")}  # fmt: skip
    command = [ROOT / "utils" / "generate_data.sh", "--validation_persons", "1", "--testing_persons", "11"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | places, check=True)
    here, first, there, second = noted.read_text().splitlines()
    assert here == there == str(ROOT)
    for script, line in ((extract_frames, first), (annotate_kth, second)):
        name, *options = line.split()
        assert name == f"utils/{Path(script.__file__).name}"
        script.main(options)
    assert {clip[:8] for clip in subsets_of(read_annotation(tmp_path / "kth1.json"))["training"]} == {"person02"}
    failing = subprocess.run(command[:1], env=os.environ | {"PYTHON": "false"}, check=False)
    assert failing.returncode == 1
