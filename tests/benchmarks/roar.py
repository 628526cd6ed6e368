"""ROAR over frames: which method finds the frames without which a retrained model fails? On KTH, persons left out.

    python3 -m tests.benchmarks.roar --videos VIDEOS --backbone_weights PATH

VIDEOS holds the class folders of KTH videos; more than one such folder may be given. Persons with videos of both
classes are left out in turn; all others are always in training. The frozen backbone describes each frame, and the
background of each clip, once. tests/benchmarks/roar_frames.py has the experiment. Printed: the balanced accuracy of
retrained models per method and share of removed frames, beside random order and frame difference; the same without
retraining; and what follows, in words.
"""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from model.cnn_lstm import build_model
from model.fast.folding import folded
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, normalise
from model.vectors import FRAMES_AT_ONCE, with_background
from runtime.files import whole_file, write_json
from runtime.workers import n_cores
from saliency.baselines import frame_difference
from saliency.results.averages import format_table
from tests.benchmarks.kth_videos import KTH, centred_clips, ranges_beside
from tests.benchmarks.roar_frames import METHODS, SHARES, TRAINING, Clips, roar, sentences, summarise_roar

CLASSES = ["running", "walking"]


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--videos", type=Path, nargs="+", default=[KTH.raw_path], help="class folders of KTH videos")
    parser.add_argument("--sequences", type=Path, help="ranges; default: 00sequences.txt beside the class folders")
    parser.add_argument("--workdir", type=Path, default=Path("results/roar"))
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--backbone_weights", default="imagenet")
    parser.add_argument("--sample_size", type=int, default=120)
    parser.add_argument("--duration", type=int, default=30, help="frames per clip")
    parser.add_argument("--head", default="lstm", help="of the models that are retrained")
    parser.add_argument("--epochs", type=int, default=TRAINING.epochs)
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=tuple(METHODS), metavar="METHOD")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of the frames that are removed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=n_cores(), help="processes; 1: this one")
    return parser


def describe(args) -> Clips:
    """Return the vectors of all clips, from the file of an earlier run if there is one."""
    path = args.workdir / f"vectors_{args.backbone}_{args.sample_size}_{args.duration}.npz"
    if not path.is_file():
        model = folded(build_model("cnnlstm", 2, args.backbone, args.backbone_weights))
        clips = [row for folder in args.videos for row in described_clips(args, model, folder)]
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **{name: np.stack(values) for name, values in zip(Clips._fields, zip(*clips, strict=True),
                                                                             strict=True)})
    with np.load(path) as saved:
        return Clips(**{name: torch.from_numpy(saved[name]) for name in Clips._fields})


@torch.no_grad()
def described_clips(args, model, folder):
    """Yield the fields of Clips for each clip of the videos in a folder."""
    ranges = ranges_beside(folder, args.sequences)
    videos = sorted(path for name in CLASSES for path in folder.glob(f"{name}/*.avi"))
    for path in tqdm(videos, folder.name, unit="video", disable=None):
        for frames in centred_clips(path, ranges[KTH.sequence_name(path.stem)], args.duration, args.sample_size):
            pictures = with_background(normalise(frames, IMAGENET_MEAN, IMAGENET_STD))  # (T + 1, C, H, W)
            vectors = torch.cat([model.describe(part[:, None])[:, 0] for part in pictures.split(FRAMES_AT_ONCE)])
            yield (vectors[:-1].numpy(), vectors[-1].numpy(), CLASSES.index(path.parent.name),
                   KTH.person_of(path.stem), frame_difference(frames).sum((1, 2)))


def run_fold(task, clips, methods, shares, training):
    """Return (seed, result of tests.benchmarks.roar_frames.roar) of a task (seed, person left out)."""
    seed, person = task
    torch.set_num_threads(1)  # the matrices are small, and each process has a core of its own
    return seed, roar(clips, clips.persons == person, methods, shares, seed, training)


def left_out(clips: Clips) -> list[int]:
    """Return the persons with clips of both classes."""
    return [person for person in clips.persons.unique().tolist()
            if len(clips.labels[clips.persons == person].unique()) == len(CLASSES)]


def run_all(args, clips) -> list[dict]:
    """Return a table of `summarise_roar` per seed; persons and seeds are divided among processes."""
    tasks = [(seed, person) for seed in range(args.seeds) for person in left_out(clips)]
    work = partial(run_fold, clips=clips, methods=args.methods, shares=args.shares,
                   training=TRAINING._replace(head=args.head, epochs=args.epochs))
    runs = {seed: [] for seed in range(args.seeds)}
    with ExitStack() as stack:
        spread = map
        if args.workers > 1:
            pool = ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn"))
            spread = stack.enter_context(pool).map
        for seed, found in tqdm(spread(work, tasks), total=len(tasks), unit="model", disable=None):
            runs[seed].append(found)
    return [summarise_roar(folds) for folds in runs.values()]


def print_table(tables, kind):
    """Print the mean over seeds of the balanced accuracy per method and share, the lowest mean first."""
    rows = []
    for name in tables[0]:
        cells = {share: np.mean([table[name][kind][share] for table in tables]) for share in tables[0][name][kind]}
        mean = np.mean([value for share, value in cells.items() if share])
        rows.append({"method": name, **{f"{share:.0%}": value for share, value in cells.items()}, "mean": mean})
    print(format_table(sorted(rows, key=lambda row: row["mean"]), list(rows[0]), sort_by=""))


def as_text(content):
    """Return nested lists and dicts with text as keys, as JSON has them."""
    if isinstance(content, dict):
        return {str(key): as_text(value) for key, value in content.items()}
    return list(map(as_text, content)) if isinstance(content, list) else content


def main(argv=None):
    args, began = build_parser().parse_args(argv), time.monotonic()
    clips = describe(args)
    counts = ", ".join(f"{name} {int((clips.labels == number).sum())}" for number, name in enumerate(CLASSES))
    print(f"{len(clips.labels)} clips ({counts}); persons left out in turn: {', '.join(map(str, left_out(clips)))}")
    tables = run_all(args, clips)
    for kind, what in (("retrained", "retrained without the frames"), ("kept", "not retrained")):
        print(f"\nBalanced accuracy on the persons left out, {what}, per share of the frames that is removed; mean of "
              f"{args.seeds} seeds:")
        print_table(tables, kind)
    print("\n" + "\n".join(sentences(tables)))
    write_json(args.workdir / "roar.json", as_text(tables))
    print(f"\n{time.monotonic() - began:.0f} seconds, {sum(os.times()[:4]):.0f} seconds of processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
