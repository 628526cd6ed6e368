"""A package that is missing ends in one line."""

import subprocess
import sys

import pytest

from runtime.packages import PACKAGES, require
from tests.runs import ROOT

WITHOUT = """
import runpy, sys
missing, sys.argv = sys.argv[1], [sys.argv[2], "--help"]
sys.modules[missing] = None
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_missing_packages_are_named_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["main.py"])
    with pytest.raises(SystemExit) as ended:
        require(("numpy", "no_such_package", "nor_this_one"))
    out, line = capsys.readouterr()
    assert (ended.value.code, out, line.count("\n")) == (2, "", 1)
    assert line.startswith("main.py: error: ") and "no_such_package, nor_this_one" in line
    assert sys.executable in line and "pip install -r requirements.txt" in line and "numpy" not in line


def test_a_script_says_which_package_is_missing():
    ended = subprocess.run([sys.executable, "-c", WITHOUT, "torch", "main.py"], cwd=ROOT, capture_output=True,
                           text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    assert all(part in ended.stderr for part in ("main.py: error: ", sys.executable, "torch", "pip install"))
    assert {"torch", "av"} <= set(PACKAGES)
