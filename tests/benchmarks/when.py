"""Does a map say when? Real windows that show the person in some of their frames only, of persons left out.

    python3 -m tests.benchmarks.leave_one_out --videos VIDEOS --backbone_weights PATH     # trains the models
    python3 -m tests.benchmarks.when --videos VIDEOS

A window of 30 frames overlaps a passage by its first or last 10 frames, or holds a short passage in its middle; nobody
is in its other frames (the ranges of 00sequences.txt say so). A window counts if the prediction is right because of
the person: the probability of the predicted class falls by 0.3 or more when the visible frames become the background.
Printed per method and position: the AUROC of the map's sum per frame against the frames that show the person, mean
over the windows that count, beside the same figure of a model with a random head; and the areas under precision and
recall (Crabbé and van der Schaar 2021). The worst position is the figure that matters, because a fixed preference in
time scores 1.00 in one position.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from data.video import read_video
from model.checkpoint import load_model
from model.fast.folding import folded
from model.prediction import predict
from saliency.baselines import frame_difference
from saliency.explain import explain
from saliency.fills import background
from saliency.methods import METHODS
from saliency.metrics import auc, aup, aur
from saliency.results.averages import finite_mean, format_table
from saliency.sanity import random_head_models
from saliency.when import Decision, decide
from saliency.when.intervals import mean_effect
from tests.benchmarks.kth_videos import KTH, add_model_options, ranges_beside, rows_of_persons

SHOWN = 10  # frames with the person in windows of the positions first and last
SHORT = 22  # frames of a passage that fits into the middle of a window, with nobody before and after
POSITIONS = ("first", "last", "middle")
TABLES = {  # what is printed: {key of a row: prefix of its columns}
    "AUROC of the sum per frame": {"auroc": "", "random_head": "random head, "},
    "Area under precision (AUP) and recall (AUR) of the sum per frame": {"aup": "AUP, ", "aur": "AUR, "},
}
WHEN = "when"  # among the methods: the profiles of a decision


class Window(NamedTuple):
    position: str
    video: Path
    start: int  # of the window in the video, from 0
    visible: np.ndarray  # (T,) bool


def partly_visible(video: Path, ranges: list[tuple[int, int]], total: int, duration: int = 30) -> list[Window]:
    """Return the windows of a video that show a person in their first, last or middle frames only.

    ranges: (first, last), 1-based and inclusive. total: frames of the video.
    """
    seen = np.zeros(total, bool)
    for first, last in ranges:
        seen[first - 1:last] = True
    found = []
    for first, last in ranges:
        starts = {"first": last - SHOWN, "last": first - 1 + SHOWN - duration}
        if last - first + 1 <= SHORT:
            starts["middle"] = (first - 1 + last) // 2 - duration // 2
        for position, start in starts.items():
            if not 0 <= start <= total - duration:
                continue
            own = np.zeros(total, bool)
            own[first - 1:last] = True
            visible, expected = seen[start:start + duration], own[start:start + duration]
            if np.array_equal(visible, expected) and (position == "middle" or visible.sum() == SHOWN):
                found.append(Window(position, video, start, visible.copy()))
    return found


def time_profiles(model: torch.nn.Module, clip: torch.Tensor, target: int, methods: list[str],
                  options: dict[str, dict]) -> dict[str, np.ndarray]:
    """Return the sum per frame (T,) of each method's map, and "METHOD, evidence": the magnitude of its signed sum.

    The method WHEN stands for the profiles of `decision_profiles`.
    """
    found = explain(model, clip, target, [name for name in methods if name != WHEN], options=options)
    profiles = {name: values.sum((1, 2), dtype=np.float64) for name, values in found.maps.items()}
    profiles |= {f"{name}, evidence": np.abs(values.sum((1, 2), dtype=np.float64))
                 for name, values in found.evidence.items()}
    if "time_contribution" in found.arrays:
        profiles["tsr"] = found.arrays["time_contribution"]
    if WHEN in methods:
        profiles |= decision_profiles(decide(model, clip, target))
    return profiles


def decision_profiles(decision: Decision) -> dict[str, np.ndarray]:
    """Return profiles (T,) of a decision: the shortest intervals, the effects of all intervals, and the prefixes.

    "when, NAME": 1 in the shortest interval of this kind. "when, NAME, all": the mean over all intervals that contain
    the frame of the magnitude of their effect per frame. "when, prefix": how much the frame changes the probability of
    the explained class if only the background follows.
    """
    profiles, frames = {}, np.arange(1, decision.length + 1)
    for name, span in decision.spans().items():
        first, last = span or (0, 0)
        profiles[f"{WHEN}, {name}"] = ((frames >= first) & (frames <= last)).astype(float)
    for name, table in {"kept": decision.intervals.kept, **decision.intervals.drop}.items():
        effect = mean_effect(table.abs(), decision.intervals.segment, decision.length)
        profiles[f"{WHEN}, {name}, all"] = effect.cpu().numpy()
    curve = torch.cat([decision.prefixes.empty[None], decision.prefixes.padded])[:, decision.target]  # (T + 1,)
    profiles[f"{WHEN}, prefix"] = np.abs(np.diff(curve.cpu().numpy()))
    return profiles


def check_window(model, info, frames, window, label):
    """Return the prediction for a window, whether it is right, and how far its probability falls without the person."""
    seen = predict(model, info, frames)
    visible = torch.from_numpy(window.visible)
    hidden = torch.where(visible[:, None, None, None], background(seen.tensor), seen.tensor)
    with torch.no_grad():
        without = model(hidden[None])[0].softmax(0)[seen.target]
    return seen, seen.predicted == label, float(seen.probabilities[seen.target] - without)


def explain_person(args, person, folder, methods, options):
    """Return one row per window of a person: position, label, right, drop, and the AUROCs of windows that count."""
    model, info = load_model(folder / "model" / "last.pth")
    fast, heads = folded(model), list(random_head_models(model, args.draws))
    rows, explained = [], dict.fromkeys(POSITIONS, 0)
    ranges = ranges_beside(args.videos, args.sequences)
    for path in sorted(args.videos.glob(f"*/person{person:02d}_*.avi")):
        frames, _ = read_video(path, size=(info.sample_size, info.sample_size))
        of_video = [(a, min(b, len(frames))) for a, b in ranges[KTH.sequence_name(path.stem)] if a <= len(frames)]
        for window in tqdm(partly_visible(path, of_video, len(frames), info.sample_duration), path.stem, disable=None):
            clip = frames[window.start:window.start + info.sample_duration]
            seen, right, drop = check_window(fast, info, clip, window, path.parent.name)
            row = {"video": path.stem, "position": window.position, "label": path.parent.name, "right": right,
                   "drop": drop, "counts": right and drop >= args.drop}
            if row["counts"] and explained[window.position] < args.clips:
                explained[window.position] += 1
                profiles = time_profiles(fast, seen.tensor, seen.target, methods, options)
                profiles["frame_difference"] = frame_difference(clip).sum((1, 2))
                for key, metric in (("auroc", auc), ("aup", aup), ("aur", aur)):
                    row[key] = {name: metric(values, window.visible) for name, values in profiles.items()}
                of_heads = [time_profiles(head, seen.tensor, seen.target, methods, options) for head in heads]
                row["random_head"] = {name: finite_mean([auc(each[name], window.visible) for each in of_heads])
                                      for name in of_heads[0]} if heads else {}
            rows.append(row)
    return rows


def summarise(rows: list[dict], kinds: dict[str, str]) -> list[dict]:
    """Return a row per method: the mean of each kind of figure per position, and the worst of them.

    kinds: {key of a row: prefix of its columns}; windows without the first of them are left out.
    """
    table, first = [], next(iter(kinds))
    counted = [row for row in rows if first in row]
    for name in dict.fromkeys(name for row in counted for name in row[first]):
        line = {"method": name}
        for kind, prefix in kinds.items():
            means = {}
            for position in POSITIONS:
                values = [row[kind][name] for row in counted if row["position"] == position and name in row[kind]]
                if values:
                    means[position] = finite_mean(values)
            line |= {prefix + position: value for position, value in means.items()}
            if means:
                line[f"{prefix}worst"] = min(means.values())
        table.append(line)
    return table


def print_table(rows):
    print("\nwindows per position: in all, predicted right, right because of the person")
    for position in POSITIONS:
        some = [row for row in rows if row["position"] == position]
        right, counts = (sum(row[key] for row in some) for key in ("right", "counts"))
        print(f"  {position}: {len(some)}, {right}, {counts}")
    for label in sorted({row["label"] for row in rows}):
        some = [row for row in rows if row["label"] == label]
        print(f"  {label}: {len(some)}, {sum(row['right'] for row in some)}, {sum(row['counts'] for row in some)}")
    for what, kinds in TABLES.items():
        table = summarise(rows, kinds)
        columns = ["method", *(prefix + name for prefix in kinds.values() for name in ("worst", *POSITIONS))]
        columns = [column for column in columns if any(column in line for line in table)]
        if table:
            print(f"\n{what} against the frames that show the person; frame_difference knows no model")
            print(format_table(table, columns))


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_model_options(parser)
    parser.add_argument("--methods", nargs="+", choices=(*METHODS, WHEN), default=(*METHODS, WHEN),
                        metavar="METHOD")
    parser.add_argument("--clips", type=int, default=3, help="windows explained per person and position")
    parser.add_argument("--drop", type=float, default=0.3,
                        help="least fall of the probability without the person, for windows that count")
    return parser


def main(argv=None):
    args = build_parser().parse_args(argv)
    options = {name: {} for name in args.methods} | {"tsr": {"step": "time"}}
    explain = partial(explain_person, args, methods=list(args.methods), options=options)
    print_table(rows_of_persons(args, "when.json", explain))
    return 0


if __name__ == "__main__":
    sys.exit(main())
