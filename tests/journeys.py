"""Run the commands of the documents one after the other, in a folder like that of a user with small videos.

    python3 -m tests.journeys <commands.txt     # in this folder and in one process; prints a JSON line per command
"""

import contextlib
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from tests.documents import words_of
from tests.original_projects import Original, file_of
from tests.runs import ROOT
from tests.sources import project_files
from utils import synthesize_kth

PATIENCE = 1800  # seconds that a command may take, however busy the machine is
PATHS = {"TRIMMED_PATH", "DRAWN_PATH", "IMAGE_PATH", "ANNOTATION_PATH", "DATASET"}  # of utils/generate_data.sh
PERSONS = ("1", "4", "9", "11", "15")  # one at least in each subset of the official split
SIX = {  # class: the class whose drawn videos stand in for it
    "boxing": "walking", "handclapping": "walking", "handwaving": "walking", "jogging": "running",
    "running": "running", "walking": "walking",
}


class Outcome(NamedTuple):
    """How a command ended: its exit status and what it printed."""

    status: int
    output: str


def furnish(root: Path) -> None:
    """Make the folder of a user: the project, and small drawn videos at all places that the documents name.

    data/raw_dataset/kth_data: KTH's layout, one video of one passage for each person and class.
    data/raw_dataset/kth_six: six classes of persons 1 and 11. walk.avi: a video. original.pth: a checkpoint of an
    original project. 00sequences.txt: all ranges. The rest is that of `furnish_folders`.
    """
    for path in project_files():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, root / path)
    raw = root / "data" / "raw_dataset"
    kth = raw / "kth_data"
    synthesize_kth.main(["--output", str(kth), "--persons", *PERSONS, "--scenarios", "1", "--passes", "1"])
    for path in (kth / "synthetic.json", *kth.glob("*/*.masks.npz")):
        path.unlink()  # as if these videos were the real ones
    ranges = (kth / "00sequences.txt").read_text()
    everything = "".join(ranges.replace(drawn, action) for action, drawn in SIX.items())
    for path in (root / "00sequences.txt", raw / "kth_six" / "00sequences.txt"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(everything)
    for action, drawn in SIX.items():
        for person in ("01", "11"):
            copy_video(kth / drawn / f"person{person}_{drawn}_d1_uncomp.avi",
                       raw / "kth_six" / action / f"person{person}_{action}_d1_uncomp.avi")
    furnish_folders(root)
    shutil.copy(kth / "running" / "person15_running_d1_uncomp.avi", root / "walk.avi")  # the shortest one
    torch.manual_seed(0)
    torch.save(file_of(Original(nested=True)), root / "original.pth")


def furnish_folders(root: Path) -> None:
    """Make the class folders of videos that are not KTH's, with the official splits of UCF101 and HMDB51.

    data/raw_dataset/folder and UCF-101 have the same three groups in two classes, hmdb51 has three films. In the
    splits, the first of them is for testing.
    """
    raw = root / "data" / "raw_dataset"
    lists = {"trainlist01.txt": [], "testlist01.txt": []}
    for label, action in (("stroll", "walking"), ("jog", "running")):
        films = []
        for number, person in enumerate(("01", "04", "09"), start=1):
            video = raw / "kth_data" / action / f"person{person}_{action}_d1_uncomp.avi"
            name = f"v_{label}_g{number:02d}_c01.avi"
            copy_video(video, raw / "folder" / label / name)
            copy_video(video, root / "UCF-101" / label / name)
            lists["testlist01.txt" if number == 1 else "trainlist01.txt"].append(f"{label}/{name}")
            film = f"film{number}_{label}_f_cm_np1_fr_med_0.avi"
            copy_video(video, root / "hmdb51" / label / film)
            films.append(f"{film} {2 if number == 1 else 1}")
        write_lines(root / "testTrainMulti_7030_splits" / f"{label}_test_split1.txt", films)
    for name, lines in lists.items():
        write_lines(root / "ucfTrainTestlist" / name, lines)


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, ""]))


def copy_video(source: Path, copy: Path) -> None:
    """Copy a video, and make its folder."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, copy)


def environment_with(folder: Path) -> dict[str, str]:
    """Return an environment in which python3 and torchrun are those of this Python. folder: for the two commands."""
    for name, module in (("python3", ""), ("torchrun", " -m torch.distributed.run")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
        (folder / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name not in PATHS}
    return kept | {"PATH": f"{folder}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def run_alone(line: str, folder: Path, environment: dict[str, str]) -> Outcome:
    """Run a command in a process of its own."""
    ended = subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True,
                           timeout=PATIENCE, check=False)
    return Outcome(ended.returncode, ended.stdout + ended.stderr)


def run_together(lines: list[str], folder: Path, environment: dict[str, str]) -> dict[str, Outcome]:
    """Run all commands in one process, and return {command: its outcome}."""
    ended = subprocess.run([sys.executable, "-m", "tests.journeys"], input="\n".join(lines), cwd=folder,
                           env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    found = {}
    for row in ended.stdout.splitlines():
        if row.startswith('{"line"'):
            row = json.loads(row)
            found[row["line"]] = Outcome(row["status"], row["output"])
    lost = Outcome(-1, f"the process of all commands has ended before this one\n{ended.stderr}")
    return {line: found.get(line, lost) for line in lines}


def run_here(line: str) -> Outcome:
    """Run a command that begins with python3 in this process."""
    _, *words = words_of(line)
    run = runpy.run_path
    if words[0] == "-m":
        run, words = partial(runpy.run_module, alter_sys=True), words[1:]  # so that its processes find its functions
    sys.argv, status, printed = words, 0, io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            run(words[0], run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            status = 1
            traceback.print_exc()
    return Outcome(status, printed.getvalue())


def main():
    """Run the commands on the standard input here, and print how each has ended."""
    environment, folder = dict(os.environ), Path.cwd()
    for line in sys.stdin.read().splitlines():
        outcome = run_here(line) if line.startswith("python3 ") else run_alone(line, folder, environment)
        os.chdir(folder)
        print(json.dumps({"line": line, **outcome._asdict()}), flush=True)


if __name__ == "__main__":
    main()
