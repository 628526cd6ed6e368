"""Time gradients and TSR on a busy machine, with each way in which PyTorch's threads can wait and each number of them.

    python3 -m tests.benchmarks.busy                                 # with no other process, and with one per core
    python3 -m tests.benchmarks.busy --burners 2 --rounds 5 --frames 30

Processes that compute without end keep the cores busy. In every round, each way is timed once, in a new interpreter, so
that a change of the load meets all ways alike. Printed: the median over the rounds, in seconds, and its ratio to the
first way, which is PyTorch's default. A work that takes longer than --time_limit is stopped and counts as that long.
The load that was there before the first burner is printed, too: figures for 0 burners are those of a quiet machine only
if it is near 0.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median

import torch

from data.clips import resize, to_duration
from data.synthetic.people import synthesize
from model.checkpoint import load_model
from model.fast.folding import folded
from model.prediction import predict
from opts import PRETRAINED
from saliency.gradient import frame_gradient
from saliency.tsr import temporal_saliency_rescaling
from tests.runs import ROOT

WORKS = ("gradient", "tsr")
CHOSEN = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "MKL_NUM_THREADS")
WAYS = {  # name: the environment in which the interpreter starts
    "PyTorch's default": {},
    "passive waiting": {"OMP_WAIT_POLICY": "passive"},
    "short spinning": {"GOMP_SPINCOUNT": "10000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
BURNER = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(10000))"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--burners", type=int, nargs="+", default=[0, os.cpu_count()], help="other busy processes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=30, help="frames of the clip")
    parser.add_argument("--size", type=int, default=120, help="side of the frames in pixels")
    parser.add_argument("--time_limit", type=float, default=300, help="seconds that a work may take")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser


def work_of(name: str, frames: int, size: int) -> partial:
    """Return a function that computes the gradient of one drawn clip, or the time step of its TSR."""
    model, info = load_model(PRETRAINED)
    drawn, _, ranges = synthesize(0, 1, 1, "walking", passes=1)
    clip = resize(to_duration(drawn[ranges[0][0] - 1:ranges[0][1]], frames), size)[..., None].repeat(3, -1)
    model = folded(model)
    seen = predict(model, info, clip)
    if name == "gradient":
        return partial(frame_gradient, model, seen.tensor, seen.target)
    return partial(temporal_saliency_rescaling, model, seen.tensor, seen.target, step="time")


def time_works(frames: int, size: int) -> None:
    """Print the number of threads, and the seconds of each work; the gradient is computed before, to warm up."""
    works = [work_of(name, frames, size) for name in WORKS]
    print(torch.get_num_threads(), flush=True)
    for work in (works[0], *works):
        start = time.perf_counter()
        work()
        print(time.perf_counter() - start, flush=True)


def time_apart(way: str, args: argparse.Namespace) -> tuple[str, list[float]]:
    """Return the number of threads and the seconds of each work in a new interpreter; `time_limit` if it took longer.

    The start of the interpreter does not count.
    """
    environment = {key: value for key, value in os.environ.items() if key not in CHOSEN} | WAYS[way]
    command = [sys.executable, "-m", "tests.benchmarks.busy", "--child", "--frames", str(args.frames), "--size",
               str(args.size)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE) as child:
        threads = child.stdout.readline().strip()
        alarm = threading.Timer(args.time_limit * len(WORKS), child.kill)
        alarm.start()
        seconds = [float(line) for line in child.stdout.read().split()][1:]
        alarm.cancel()
    if not threads:
        raise RuntimeError(f"the work ended with status {child.returncode} before it began")
    return threads, (seconds + [args.time_limit] * len(WORKS))[:len(WORKS)]


@contextmanager
def burning(count: int) -> Iterator[None]:
    """Keep `count` cores busy during the block."""
    burners = [subprocess.Popen([sys.executable, "-c", BURNER]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    if args.child:
        time_works(args.frames, args.size)
        return
    print(f"{os.cpu_count()} cores, load before the start {os.getloadavg()[0]:.1f}; {args.frames} frames of "
          f"{args.size} x {args.size} pixels, median of {args.rounds}")
    print("| other processes | work | way | threads | seconds | ratio |\n|---|---|---|---|---|---|")
    for count in args.burners:
        with burning(count):
            rounds = [{way: time_apart(way, args) for way in WAYS} for _ in range(args.rounds)]
        for number, name in enumerate(WORKS):
            middle = {way: median(found[way][1][number] for found in rounds) for way in WAYS}
            for way, seconds in middle.items():
                print(f"| {count} | {name} | {way} | {rounds[0][way][0]} | {seconds:.2f} | "
                      f"{seconds / next(iter(middle.values())):.3f} |", flush=True)


if __name__ == "__main__":
    main()
