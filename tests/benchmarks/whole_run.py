"""Time whole runs of the scripts, start included, and say what their time goes into.

    python3 -m tests.benchmarks.whole_run --videos data/raw_dataset/kth_data
    python3 -m tests.benchmarks.whole_run --before ../before      # a checkout of an earlier version, for ratios

Each script runs on the first --clips clips of as many videos, with the bundled model, as a command of its own. With
--before, the earlier version runs right before, so that a change of the load meets both; ratios are those of the sums
over --repeats pairs. CPU seconds are those of all processes of a run, and depend less on other work. The shares are
those of one more run with --threads 1, in which everything is done by one process; "start" is the time before the
first clip is read, and "rest" what is in no other column. At last main.py trains one head after another on the frames
of the videos, with a folder of features that is empty, then filled, and with none; printed is the time until the first
epoch begins.
"""

import argparse
import importlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import wraps
from pathlib import Path

from data.datasets import DATASETS
from tests.runs import ROOT

CLIP_FILES = "saliency.results.clip_files"
RUNS = {  # name: script and options
    "frame_saliency, no --when": ("frame_saliency", "--no_when"),
    "frame_saliency": ("frame_saliency",),
    "frame_saliency --tsr": ("frame_saliency", "--no_when", "--tsr", "--tsr_step", "time"),
    "feature_saliency": ("feature_saliency",),
    "inference": ("inference",),
}
PARTS = {  # share: the functions whose time it is, by the modules that call them
    "reading": ("frame_saliency.choose_clips", "frame_saliency.load_with_masks", "feature_saliency.choose_clips",
                "feature_saliency.load_frames", "inference.choose_clips", "inference.load_frames",
                "inference.read_frames"),
    "model": ("frame_saliency.predict", "saliency.frames.explain", "saliency.frames.decide", "feature_saliency.predict",
              "feature_saliency.explain", "inference.predict"),
    "flow and metrics": (f"{CLIP_FILES}.optical_flow", f"{CLIP_FILES}.measure", "saliency.flow.mean_flow"),
    "drawing": (f"{CLIP_FILES}.draw_frames", f"{CLIP_FILES}.draw_features", "frame_saliency.save_figures",
                "inference.write_video"),
    "writing": ("saliency.results.clip.ClipResult.write", f"{CLIP_FILES}.write_json", "frame_saliency.write_report"),
}
FIRST_EPOCH = """
import sys, time
began = time.monotonic()
import main
imported = time.monotonic()
def begin(*arguments, **options):
    print("first epoch", time.monotonic() - began, time.monotonic() - imported)
    raise SystemExit
main.train = begin
main.main(sys.argv[1:])
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=Path, default=DATASETS["kth"].raw_path, help="class folders of KTH videos")
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=1, help="pairs of runs")
    parser.add_argument("--before", type=Path, metavar="DIR", help="checkout of the version to compare with")
    parser.add_argument("--runs", nargs="+", choices=tuple(RUNS), default=list(RUNS), metavar="NAME")
    parser.add_argument("--backbone_weights", default="none", help="of the training")
    parser.add_argument("--no_training", action="store_true", help="leave main.py out")
    parser.add_argument("--shares", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def timed(command: list, folder: Path) -> tuple[float, float, str]:
    """Run a command of a checkout. Returns its seconds, its CPU seconds and what it printed; an error ends all."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ended = subprocess.run([sys.executable, *map(str, command)], cwd=folder, capture_output=True, text=True,
                           check=False)
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} in {folder}: {ended.stderr}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended.stdout


def compare(name: str, args: argparse.Namespace, videos: list[Path], work: Path) -> None:
    """Print a row of the table of times."""
    script, *options = RUNS[name]
    checkouts = {"before": args.before.absolute(), "now": ROOT} if args.before else {"now": ROOT}
    sums = defaultdict(lambda: [0.0, 0.0])
    for number in range(args.repeats):
        for version, folder in checkouts.items():
            place = work / version / str(number) / name / script
            seconds = timed([f"{script}.py", "--video", *videos, "--limit", args.clips, "--result_path", place,
                             *options], folder)
            sums[version] = [total + part for total, part in zip(sums[version], seconds[:2], strict=True)]
    cells = [f"{60 * args.clips * args.repeats / sums['now'][0]:.0f}"]
    for version in checkouts:
        cells += [f"{total / args.repeats:.1f}" for total in sums[version]]
    if args.before:
        cells += [f"{old / new:.1f}" for old, new in zip(sums["before"], sums["now"], strict=True)]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def watch(place: str, name: str, found: dict[str, float], inside: list) -> None:
    """Replace a function by one that adds its time to found[name], if no other such function is running."""
    owner, _, attribute = place.rpartition(".")
    try:
        owner = importlib.import_module(owner)
    except ModuleNotFoundError:  # a method of a class
        module, _, owner = owner.rpartition(".")
        owner = getattr(importlib.import_module(module), owner)
    function = getattr(owner, attribute)

    @wraps(function)
    def watched(*arguments, **options):
        if inside:
            return function(*arguments, **options)
        inside.append(name)
        start = time.monotonic()
        found.setdefault("start", start - found["began"])
        try:
            return function(*arguments, **options)
        finally:
            found[name] = found.get(name, 0) + time.monotonic() - start
            inside.clear()

    setattr(owner, attribute, watched)


def print_shares(script: str, options: list[str]) -> None:
    """Run a script in this process and print the seconds of its parts."""
    found, inside = {"began": time.monotonic()}, []
    module = importlib.import_module(script)
    for name, places in PARTS.items():
        for place in places:
            if not place.startswith(("frame_", "feature_", "inference")) or place.startswith(f"{script}."):
                watch(place, name, found, inside)
    module.main(options)
    whole = time.monotonic() - found.pop("began")
    shares = [found.get(name, 0.0) for name in ("start", *PARTS)]
    print("shares", *shares, whole - sum(shares))


def share_row(name: str, args: argparse.Namespace, videos: list[Path], work: Path) -> None:
    """Print a row of the table of shares."""
    script, *options = RUNS[name]
    command = ["-m", "tests.benchmarks.whole_run", "--shares", script, "--video", *videos, "--limit", args.clips,
               "--threads", 1, "--result_path", work / "shares" / name / script, *options]
    printed = timed(command, ROOT)[2].split("shares ")[-1].split()
    seconds = [float(number) for number in printed]
    print(f"| {name} | " + " | ".join(f"{part / sum(seconds):.0%}" for part in seconds) + " |", flush=True)


def train(args: argparse.Namespace, work: Path) -> None:
    """Print how long main.py takes until its first epoch begins, with and without features on disk."""
    trimmed, images, annotation = work / "trimmed", work / "images", work / "annotation.json"
    timed(["utils/trim_videos.py", "--raw_path", args.videos, "--trimmed_path", trimmed], ROOT)
    timed(["utils/extract_frames.py", "--trimmed_path", trimmed, "--image_path", images], ROOT)
    timed(["utils/annotate_kth.py", "--trimmed_path", trimmed, "--image_path", images, "--annotation_path",
           annotation], ROOT)
    data = ["--annotation_path", annotation, "--video_path", images, "--sample_size", 120, "--backbone",
            "mobilenet_v2", "--backbone_weights", args.backbone_weights]
    print(f"\n| main.py on {len(list(images.glob('*/*')))} clips | until the first epoch, s | without imports, s |"
          "\n|---|---|---|")
    for name, head, cache in (("empty folder of features", "lstm", "features"), ("filled, another head", "gru",
                              "features"), ("no folder", "gru", "none")):
        place = work / "features" if cache == "features" else cache
        printed = timed(["-c", FIRST_EPOCH, *data, "--head", head, "--feature_cache", place, "--result_path",
                         work / "runs" / name], ROOT)[2].split("first epoch ")[-1].split()
        print(f"| {name} | {' | '.join(f'{float(seconds):.1f}' for seconds in printed[:2])} |", flush=True)


def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    if args.shares:
        print_shares(args.shares[0], args.shares[1:])
        return
    videos = sorted(path.absolute() for path in args.videos.glob("*/*.avi"))
    if not videos:
        raise SystemExit(f"no video in class folders of {args.videos}; give --videos")
    args.videos, videos = args.videos.absolute(), videos[:args.clips]
    print(f"{os.cpu_count()} cores, load before the start {os.getloadavg()[0]:.1f}; {args.clips} clips, {args.repeats} "
          "runs of each version")
    columns = ["run", "clips per minute"] + (["s before", "CPU s before"] if args.before else [])
    columns += ["s", "CPU s"] + (["ratio", "ratio of CPU"] if args.before else [])
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.runs:
            compare(name, args, videos, Path(folder))
        columns = ["share of the time, one thread", "start", *PARTS, "rest"]
        print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        for name in args.runs:
            share_row(name, args, videos, Path(folder))
        if not args.no_training:
            train(args, Path(folder))


if __name__ == "__main__":
    main()
