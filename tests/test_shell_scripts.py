"""The shell scripts, with a stand-in for Python that only writes down what it is asked to run."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from data.datasets.kth import OFFICIAL_SPLIT, parse_name

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [*sorted(ROOT.glob("utils/*.sh")), ROOT / ".ci/run"]
COMMANDS = [path for path in SCRIPTS if path.name != "environment.sh"]
STAND_IN = """#!/bin/bash
printf '%q ' "$@" >>"$CALLS"; echo >>"$CALLS"
case "$*" in ${FAILING:-nothing}*) exit 1;; esac
"""


@pytest.fixture
def call(tmp_path):
    """call(script, *arguments, **variables) in a copy of the scripts -> (completed process, commands of Python)."""
    for path in [*SCRIPTS, *ROOT.glob("requirements*.txt")]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    calls, python = tmp_path / "calls.txt", tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN)
    python.chmod(0o755)
    (tmp_path / ".venv/pyvenv.cfg").touch()

    def run(script, *arguments, **variables):
        calls.write_text("")
        environment = {name: value for name, value in os.environ.items() if not name.endswith(("_VENV", "_PATH"))}
        done = subprocess.run(["bash", str(tmp_path / script), *arguments], cwd="/", capture_output=True, text=True,
                              env=environment | {"CALLS": str(calls)} | variables, check=False)
        commands = [shlex.split(line) for line in calls.read_text().splitlines()]
        return done, [command for command in commands if command[0] != "-c"]

    return run


def installs(commands):
    return [command[-1] for command in commands if command[:3] == ["-m", "pip", "install"]]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_is_valid_bash(path):
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_packages_are_installed_once_and_again_when_they_change(call, tmp_path):
    assert installs(call("utils/test.sh")[1]) == ["requirements-dev.txt"]
    assert installs(call("utils/test.sh")[1]) == []
    with (tmp_path / "requirements.txt").open("a") as file:
        file.write("another\n")
    assert installs(call("utils/test.sh")[1]) == ["requirements-dev.txt"]


@pytest.mark.parametrize(("failing", "status"), [("nothing", 0), ("-m ruff", 1), ("-m pytest", 1)])
def test_ruff_and_pytest_both_run_and_both_count(call, failing, status):
    done, commands = call("utils/test.sh", "tests/test_kth.py", "-k", "a or b", FAILING=failing)
    assert done.returncode == status
    assert ["-m", "ruff", "check", "."] in commands
    assert ["-m", "pytest", "-q", "tests/test_kth.py", "-k", "a or b"] in commands


def test_demo_gives_every_script_what_it_accepts(call):
    done, commands = call("utils/demo.sh")
    assert done.returncode == 0, done.stderr
    names = [command[0].removesuffix(".py").replace("/", ".") for command in commands if command[0].endswith(".py")]
    assert names == ["utils.synthesize_kth", "utils.trim_videos", "utils.extract_frames", "utils.annotate_kth", "main",
                     "inference", "frame_saliency", "feature_saliency"]
    parsed = {name: importlib.import_module(name).build_parser().parse_args(command[1:])
              for name, command in zip(names, [c for c in commands if c[0].endswith(".py")], strict=True)}
    persons = set(parsed["utils.synthesize_kth"].persons)
    assert all(persons & set(part) for part in OFFICIAL_SPLIT.values())
    assert (ROOT / parsed["main"].backbone_weights).is_file()
    for name in ("frame_saliency", "feature_saliency"):
        held_out = {parse_name(clip)[0] for clip in parsed[name].clips}
        assert held_out <= persons & set(OFFICIAL_SPLIT["testing"])


def test_demo_stops_at_a_failure(call):
    done, commands = call("utils/demo.sh", FAILING="main.py")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "training failed" in done.stderr
    assert commands[-1][0] == "main.py"
    assert len(re.findall(r"^\w+: \d+ s$", done.stdout, re.MULTILINE)) == 3
