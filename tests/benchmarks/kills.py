"""SIGKILL at random moments; run again until done: what is there in the end equals a run that was never stopped.

    python3 -m tests.benchmarks.kills --training 50 --preparation 50 --saliency 20

Runs are forks of this process, which has imported everything; every tenth is started as a script, import and all. The
moment is uniform over the whole duration of a run from its start. After each kill every file in sight must be whole;
in the end all bytes must be those of the uninterrupted run (of .npz and .pth files, which hold times, all arrays and
values to the last bit).
"""

import argparse
import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import torch

from data.video import write_masks, write_video
from tests.benchmarks.fuzz import half_written
from tests.runs import ROOT, run_command, same, train_options
from tests.tiny_data import make_data_set, moving_block

FORK = multiprocessing.get_context("fork")
DATA = ["--annotation_path", "data/annotation/kth1.json", "--video_path", "data/image_data"]
USE = [*DATA, "--resume_path", "run/best.pth", "--tsr", "--limit", "3"]
TRAIN = [*DATA, "--result_path", "out", *train_options(argparse.Namespace(annotation="", images=""), "")[6:]]
PREPARE = [
    ("utils.trim_videos", "--raw_path raw --trimmed_path out/trimmed --n_frames 6 --size 24 24 --workers 2"),
    ("utils.extract_frames", "--trimmed_path out/trimmed --image_path out/images --workers 2"),
    ("utils.annotate_kth", "--image_path out/images --trimmed_path out/trimmed --annotation_path out/kth1.json "
                           "--validation_persons 12"),
]
WAYS = {  # kind: the lives it leads in turn, each a list of (script, arguments) that run one after the other
    "training": [
        [("main", [*TRAIN, "--n_epochs", "8"])],
        [("main", [*TRAIN, "--n_epochs", "4", "--finetune", "--backbone", "shufflenet_v2_x0_5", "--sample_duration",
                   "3"])],
    ],
    "preparation": [[(script, line.split()) for script, line in PREPARE]],
    "saliency": [
        [("frame_saliency", [*USE, "--tsr_step", "time", "--result_path", "out"])],
        [("feature_saliency", [*USE, "--result_path", "out"])],
    ],
}


def make_world(root):
    make_data_set(root / "data")
    for label, speed in (("walking", 1), ("running", 2)):
        for person in (11, 12):
            frames, masks = moving_block(speed, person, 30)
            path = root / "raw" / label / f"person{person}_{label}_d1_uncomp.avi"
            write_video(path, frames)
            write_masks(path.with_suffix(".masks.npz"), masks)
    os.chdir(root)
    run_command("main", *TRAIN, "--result_path", "run")


def live(commands, folder):
    """Run the commands in the folder, quietly."""
    os.chdir(folder)
    for number in (1, 2):
        os.dup2(os.open("../log", os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for script, arguments in commands:
        importlib.import_module(script).main(list(map(str, arguments)))


def start(commands, folder, as_script):
    """A process that runs the commands, as a fork or as scripts."""
    if not as_script:
        process = FORK.Process(target=live, args=(commands, folder))
        process.start()
        return process.sentinel, process
    lines = [" ".join([sys.executable, str(ROOT / (script.replace(".", "/") + ".py")), *map(str, arguments)])
             for script, arguments in commands]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return None, subprocess.Popen(["sh", "-c", " && ".join(lines)], cwd=folder, start_new_session=True, **quiet)


def run(commands, folder, moment=None, as_script=False):
    """Start the commands, kill them at a moment (seconds). Returns (whether they ended before, seconds)."""
    started = time.monotonic()
    _, process = start(commands, folder, as_script)
    if as_script:
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    else:
        process.join(moment)
        process.kill()
        process.join()
        status = process.exitcode
    if status not in (0, -signal.SIGKILL):
        raise RuntimeError(f"status {status} in {folder}, see {folder.parent / 'log'}")
    return status == 0, time.monotonic() - started


def values(path):
    """Return the part of a file that must be the same in the end."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return {name: (archive[name].dtype.str, archive[name].shape, archive[name].tobytes()) for name in archive}
    return torch.load(path, weights_only=True) if path.suffix == ".pth" else path.read_bytes()


def visible(folder):
    return {path.relative_to(folder): path for path in sorted(folder.rglob("*"))
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)}


def differences(folder, reference):
    """The names of the files in two folders that differ or are in one alone, hidden ones (but locks) included."""
    ours, theirs = ({path.relative_to(root) for path in root.rglob("*") if path.is_file() and path.name != ".lock"}
                    for root in (folder, reference))
    return sorted(map(str, ours ^ theirs)) + [str(name) for name in sorted(ours & theirs)
                                              if not same(values(folder / name), values(reference / name))]


def survive(kind, n_kills, world, seed=0, share=0.1, whole=2):
    """Kill runs of a kind until there were `n_kills`; `whole` runs are never stopped.

    Returns (Counter, [sentences about what did not survive]).
    """
    rng, counts, wrong, folder = np.random.default_rng(seed), Counter(), [], world / kind
    references, durations = [], []
    for number, way in enumerate(WAYS[kind]):
        places = [make_box(world, folder / f"whole{number}{k}") for k in range(whole)]
        durations.append(min(run(way, place)[1] for place in places))
        references.append(places[0] / "out")
        wrong += [f"{kind}, two whole runs: {name} differs" for name in differences(places[-1] / "out", references[-1])]
    while counts["kills"] < n_kills:
        number = counts["lives"] % len(WAYS[kind])
        place, done = make_box(world, folder / "life"), False
        while not done:
            as_script = rng.random() < share
            moment = rng.uniform(0, durations[number] + 4.0 * as_script) if counts["kills"] < n_kills else None
            done, _ = run(WAYS[kind][number], place, moment, as_script)
            counts["kills"] += not done
            counts["kills of scripts"] += as_script and not done
            counts["with something written"] += not done and (place / "out").is_dir() and bool(visible(place / "out"))
            for path in visible(place / "out").values() if (place / "out").is_dir() else []:
                if half_written(path):
                    wrong.append(f"{kind}, after kill {counts['kills']}: {path} {half_written(path)}")
        counts["lives"] += 1
        wrong += [f"{kind}, in the end: {name} differs" for name in differences(place / "out", references[number])]
        shutil.rmtree(place)
    counts["milliseconds of a whole run"] = round(1000 * np.mean(durations))
    return counts, wrong


def make_box(world, place):
    """A folder with what the commands read."""
    place.mkdir(parents=True)
    for name in ("data", "raw", "run"):
        (place / name).symlink_to(world / name)
    return place


def prepared(folder):
    """A folder with good input for all kinds."""
    world = Path(folder) / "world"
    world.mkdir()
    maker = FORK.Process(target=make_world, args=(world,))
    maker.start()
    maker.join()
    for script in ("main", "frame_saliency", "feature_saliency", *(name for name, _ in PREPARE)):
        importlib.import_module(script)
    return world


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for kind, count in (("training", 50), ("preparation", 50), ("saliency", 20)):
        parser.add_argument(f"--{kind}", type=int, default=count, metavar="KILLS",
                            help=f"kills in {kind}; 0 leaves it out")
    parser.add_argument("--whole", type=int, default=2, help="runs of each way that are never stopped")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    world, failed = prepared(tempfile.mkdtemp(prefix="kills")), []
    for kind in [kind for kind in WAYS if getattr(args, kind)]:
        counts, wrong = survive(kind, getattr(args, kind), world, args.seed, whole=args.whole)
        print(f"{kind}: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + f"; {len(wrong)} wrong")
        failed += wrong
    print("\n".join(failed) or "everything survived, to the last bit")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
