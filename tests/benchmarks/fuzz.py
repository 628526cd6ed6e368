"""Damaged files thrown at the command lines: each run must succeed, or end with status 2 and one line on stderr.

    python3 -m tests.benchmarks.fuzz --minutes 10            # counts per kind; failures are kept and can be repeated
    python3 -m tests.benchmarks.fuzz --seed 3 --case 120     # one case again

A case damages one file of a good world (videos of many formats, images, checkpoints, results ...), gives half of the
videos odd names, and calls main(argv) in a fork of this process, or now and then the script itself. Failures are
tracebacks, signals, more time than LIMIT or memory than MEMORY, changed files outside the result folder, and files that
are left half-written.
"""

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import torch

from data.video import write_video
from runtime.names import readable
from tests.benchmarks import damage
from tests.runs import ROOT, run_command, train_options
from tests.tiny_data import make_data_set, moving_block

LIMIT = 120  # seconds; a good run takes one
MEMORY = 2 << 30  # bytes resident
DATA = "--annotation_path data/annotation/kth1.json --video_path data/image_data"
USE = f"{DATA} --resume_path run/best.pth --limit 1"
FRAME, FEATURE = f"frame_saliency {USE} --no_overlay", f"feature_saliency {USE}"
TRAIN = f"main {DATA} {{tiny}}"
TRIM = "utils.trim_videos --raw_path raw --n_frames 6 --size 24 24 --workers 1"
EXTRACT = "utils.extract_frames --trimmed_path raw --workers 1"
CLIP = "person22_walking_d1_1"
IMAGES = f"data/image_data/walking/{CLIP}"
# kind: (damaged file, how, folders of the world that are needed, commands with {out}, folder copied to out, weight)
KINDS = {
    "annotation": ("data/annotation/kth1.json", damage.json_file, "data run",
                   [f"inference {USE}", TRAIN, FRAME, FEATURE], None, 8),
    "jpeg": (f"{IMAGES}/image_00002.jpg", damage.image, "data run", [f"inference {USE}", FRAME], None, 8),
    "n_frames": (f"{IMAGES}/n_frames", damage.text, "data run", [f"inference {USE}"], None, 3),
    "masks": (f"{IMAGES}/masks.npz", damage.npz, "data run", [FRAME], None, 4),
    "video": ("walk.* raw.avi films/*", damage.video, "run films walk.avi walk.mp4 raw.avi",
              ["inference --resume_path run/best.pth --video {file}",
               "frame_saliency --resume_path run/best.pth --limit 1 --no_overlay --video {file}",
               "feature_saliency --resume_path run/best.pth --limit 1 --video {file} walk.mp4"], None, 8),
    "raw_video": ("raw/walking/person11_*.avi", damage.video, "raw", [TRIM, EXTRACT], None, 8),
    "raw_masks": ("raw/walking/person11_*.npz", damage.npz, "raw", [TRIM, EXTRACT], None, 4),
    "ranges": ("raw/00sequences.txt", damage.text, "raw", [f"{TRIM} --sequences raw/00sequences.txt"], None, 5),
    "checkpoint": ("run/best.pth", damage.checkpoint, "data run",
                   [f"inference {USE}", FRAME, FEATURE, TRAIN + " --backbone_weights run/best.pth"], None, 10),
    "last_pth": ("out/last.pth", damage.checkpoint, "data", [TRAIN + " --n_epochs 3"], "run", 6),
    "run_opts": ("out/opts.json", damage.json_file, "data", [TRAIN], "run", 2),
    "opts": ("out/opts.json", damage.json_file, "data run", [FRAME], "frame", 3),
    "clip_metrics": (f"out/walking/{CLIP}/metrics.json", damage.json_file, "data run", [FRAME], "frame", 4),
    "feature_clip_metrics": (f"out/walking/{CLIP}/metrics.json", damage.json_file, "data run", [FEATURE], "feature", 4),
    "metrics": ("out/metrics.json", damage.json_file, "data run", [FRAME], "frame", 3),
    "neighbour_metrics": ("feature_saliency/metrics.json", damage.json_file, "data run feature_saliency", [FRAME],
                          "frame", 2),
    "saliency_npz": (f"out/walking/{CLIP}/saliency.npz", damage.npz, "data run", [FRAME], "frame", 5),
    "trim_json": ("out/trim.json", damage.json_file, "raw", [TRIM], "trimmed", 4),
    "archive": ("served/walking.zip", damage.archive, "served", ["utils.download_kth --classes walking --retries 1"],
                None, 8),
}
RESULT = {"utils.trim_videos": "--trimmed_path", "utils.extract_frames": "--image_path",
          "utils.download_kth": "--output"}


def make_world(root):
    """Everything good, once."""
    data = make_data_set(root / "data")
    shutil.move(data.video, root / "walk.avi")
    write_video(root / "walk.mp4", moving_block(1, 5, 9)[0])
    damage.write_films(root / "films", moving_block(1, 5, 9)[0][..., 0])
    damage.write_uncompressed(root / "raw.avi", moving_block(1, 5, 9, 30)[0])
    for label, speed in (("walking", 1), ("running", 4)):
        (root / "raw" / label).mkdir(parents=True)
        for person in (11, 12):
            frames, masks = moving_block(speed, person, 30)
            path = root / "raw" / label / f"person{person}_{label}_d1_uncomp.avi"
            write_video(path, frames) if person == 11 else damage.write_uncompressed(path, frames)
            np.savez_compressed(path.with_suffix(".masks.npz"), masks=masks)
    lines = [f"person{p}_{label}_d1\t\tframes\t1-12, 15-30" for p in (11, 12) for label in ("walking", "running")]
    (root / "raw" / "00sequences.txt").write_text("\r\n".join(lines))
    (root / "served").mkdir()
    shutil.copy(root / "raw" / "00sequences.txt", root / "served")
    with zipfile.ZipFile(root / "served" / "walking.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(root / "raw" / "walking" / "person11_walking_d1_uncomp.avi", "person11_walking_d1_uncomp.avi")
    os.chdir(root)
    os.dup2(os.open("made.log", os.O_CREAT | os.O_WRONLY), 1)
    for command, out in ((TRAIN, "run"), (FRAME, "frame"), (FEATURE, "feature_saliency"), (TRIM, "trimmed")):
        script, arguments = parse(command, out)
        run_command(script, *arguments)
    shutil.copytree("feature_saliency", "feature")


def parse(command, out, file=""):
    """(script, its arguments) of a command in KINDS."""
    tiny = " ".join(map(str, train_options(argparse.Namespace(annotation="", images=""), "")[6:]))
    script, *arguments = command.replace("{tiny}", tiny).split()
    given = (str(file) if word == "{file}" else word for word in arguments)
    return script, [*given, RESULT.get(script, "--result_path"), out]


def make_case(world, box, rng, kind):
    """Copy what the kind needs into the folder `box` and damage one file. Returns (its path, what was done to it)."""
    pattern, harm, needed, _, results, _ = KINDS[kind]
    for name in needed.split():
        (shutil.copytree if (world / name).is_dir() else shutil.copy)(world / name, box / name)
    if results:
        shutil.copytree(world / results, box / "out")
    paths = [path for some in pattern.split() for path in sorted(box.glob(some))]
    path = paths[rng.integers(len(paths))]
    done = harm(rng, path) if harm is not damage.video or rng.random() < 0.7 else "nothing"
    return damage.renamed(rng, path) if harm is damage.video and rng.random() < 0.5 else path, done


def fork(script, arguments, box):
    """Call main(arguments) in a fork, with `box` as its folder. Returns its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        os.chdir(box)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(box.parent / name, os.O_CREAT | os.O_WRONLY), number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
        if script == "utils.download_kth":
            arguments = [*arguments, "--url", serve(box / "served")]
        status = importlib.import_module(script).main(arguments) or 0
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def start_script(script, arguments, box):
    """Start a script in a process of its own, and return the process."""
    command = [sys.executable, str(ROOT / (script.replace(".", "/") + ".py")), *arguments]
    with (box.parent / "stdout").open("w") as out, (box.parent / "stderr").open("w") as log:
        return subprocess.Popen(command, cwd=box, stdout=out, stderr=log, start_new_session=True).pid


def outcome_of(child, log):
    """Wait for a process, LIMIT seconds at most. Returns (status, stderr, seconds, bytes resident)."""
    seconds, ended, handle = 0.0, [], os.pidfd_open(child)
    while not ended and seconds < LIMIT:
        before = time.monotonic()
        ended, _, _ = select.select([handle], [], [], 1)
        seconds += min(time.monotonic() - before, 1)  # more: this process was stopped, and perhaps that one too
    os.close(handle)
    if not ended:
        os.killpg(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), log.read_text(errors="replace"), seconds, usage.ru_maxrss << 10


def serve(folder):
    """The address of a server of the folder's files, in a thread."""
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *args: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def contents(folder, but=()):
    return {path: hashlib.sha256(path.read_bytes()).digest() if path.is_file() else None
            for path in folder.rglob("*") if not path.is_relative_to(but or folder / "none")}


def half_written(path):
    """Why this file is no whole one, or None."""
    try:
        if ".part" in path.name:
            return "was left behind"
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix in (".npz", ".pth"):
            with zipfile.ZipFile(path) as archive:
                return archive.testzip()
        elif path.suffix in (".png", ".jpg") and cv2.imdecode(np.fromfile(path, np.uint8), 0) is None:
            return "is no picture"
    except Exception as error:
        return f"is not whole ({error})"


def judge(box, outcome, before, results_before, damaged):
    """Return sentences that say what is wrong with how a run ended."""
    status, stderr, seconds, memory = outcome
    lines, wrong = [line for line in stderr.splitlines() if not line.startswith("warning: ")], []
    if status not in (0, 2):
        wrong.append(f"status {status} after {seconds:.0f} s")
    if "Traceback" in stderr or len(lines) != (status == 2) or (lines and "error: " not in lines[0]):
        wrong.append(f"{len(lines)} lines on stderr beside warnings")
    if seconds > LIMIT:
        wrong.append(f"took {seconds:.0f} s")
    if memory > MEMORY:
        wrong.append(f"took {memory >> 20} MiB")
    after = contents(box.parents[1], box / "out")
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    wrong += [f"{path} was changed" for path in sorted(changed) if path.name not in ("stdout", "stderr")]
    for path, digest in contents(box / "out").items():
        if digest and results_before.get(path) != digest and path != damaged and half_written(path):
            wrong.append(f"{path} {half_written(path)}")
    return wrong


def run_case(world, folder, seed, number, share):
    """One case in an empty `folder`. Returns (kind, status, what was done, sentences about what is wrong)."""
    rng = np.random.default_rng([seed, number])
    weights = np.array([kind[-1] for kind in KINDS.values()], dtype=float)
    kind = str(rng.choice(list(KINDS), p=weights / weights.sum()))
    box = folder / "above" / "box"
    box.mkdir(parents=True)
    damaged, done = make_case(world, box, rng, kind)
    script, arguments = parse(str(rng.choice(KINDS[kind][3])), "out", damaged.relative_to(box))
    before, results = contents(box.parents[1], box / "out"), contents(box / "out")
    run = start_script if rng.random() < share and kind != "archive" else fork
    outcome = outcome_of(run(script, arguments, box), box.parent / "stderr")
    wrong = judge(box, outcome, before, results, damaged)
    done = f"{script} {' '.join(arguments)}: {damaged.name} {done}"
    wrong += outcome[1].splitlines()[-3:] if wrong else []
    return f"{kind}{' (script)' * (run is start_script)}", outcome[0], readable(done), wrong


def fuzz(folder, seed=0, minutes=1.0, first=0, n_cases=None, share=0.02, report=print):
    """Run cases until the time is over. Returns (Counter {(kind, status): cases}, [sentences about each failure])."""
    world, counts, failures, number = folder / "world", Counter(), [], first
    os.environ |= {"OMP_NUM_THREADS": "1", "no_proxy": "*", "OPENCV_LOG_LEVEL": "SILENT"}
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for script in {command.split()[0] for kind in KINDS.values() for command in kind[3]}:
        importlib.import_module(script)
    if not world.is_dir():
        world.mkdir(parents=True)
        maker = multiprocessing.get_context("fork").Process(target=make_world, args=(world,))
        maker.start()  # what it starts, threads say, is not inherited by the cases
        maker.join()
        if maker.exitcode:
            raise RuntimeError("the good world cannot be made, see above")
    ends = time.monotonic() + 60 * minutes
    while time.monotonic() < ends and (n_cases is None or number < first + n_cases):
        place = folder / f"case{number}"
        kind, status, done, wrong = run_case(world, place, seed, number, share)
        counts[kind, status if not wrong else "FAILED"] += 1
        if wrong:
            failures.append(f"--seed {seed} --case {number}: {done}\n    " + "\n    ".join(wrong))
            report(failures[-1])
        else:
            shutil.rmtree(place)
        number += 1
    return counts, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--script_share", type=float, default=0.02, help="of cases that run the script, not a fork")
    args = parser.parse_args()
    folder, one = Path(tempfile.mkdtemp(prefix="fuzz")), args.case is not None
    counts, failures = fuzz(folder, args.seed, 1e9 if one else args.minutes, args.case if one else args.first,
                            1 if one else None, args.script_share)
    for kind in sorted({kind for kind, _ in counts}):
        print(f"{kind:32}", ", ".join(f"{n} x {status}" for (own, status), n in sorted(counts.items(), key=str)
                                       if own == kind))
    print(f"{counts.total()} cases, {len(failures)} failed; failures are kept in {folder}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
