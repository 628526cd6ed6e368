"""Is a map about the class? A walker beside a runner, and walking before running, of persons left out.

    python3 -m tests.benchmarks.leave_one_out --videos VIDEOS --backbone_weights PATH     # trains the models
    python3 -m tests.benchmarks.class_pointing --videos VIDEOS

In space, two clips of a person stand side by side on a canvas twice as wide; in time, one clip follows the other.
Both orders are used, and both classes are explained. Printed for every method that has a sign: the share of the
positive evidence for a class that lies on the clip of that class (chance: 0.5), mean over pairs with its 95 % bootstrap
interval, beside the same figure of models with a random head.
"""

import argparse
import sys
from functools import partial
from itertools import product

import numpy as np
import torch
from tqdm import tqdm

from model.checkpoint import load_model
from model.fast.folding import folded
from model.preprocessing import normalise
from saliency.explain import explain
from saliency.methods import METHODS
from saliency.results.averages import format_table, summarise
from saliency.sanity import random_head_models
from tests.benchmarks.kth_videos import KTH, add_model_options, centred_clips, ranges_beside, rows_of_persons

SIGNED = {name: (name, {}) for name, method in METHODS.items() if method.signed}  # label: (method, its options)
SIGNED["integrated_gradients"] = ("integrated_gradients", {"points": 8})  # of 32, to save time
SIGNED["smoothgrad_x_difference"] = ("smoothgrad_x_difference", {"samples": 8})  # of 25
SIGNED["occlusion_block"] = ("occlusion_block", {"pixels": 40})  # of 20
SIGNED["occlusion_block, whole clip, 60 pixels"] = ("occlusion_block", {"frames": 1000, "pixels": 60})
WHOLE_CLIP = ("occlusion_block, whole clip, 60 pixels",)  # constant over time
FRAMES_ONLY = ("freeze", "occlusion_frame", "interval", "shapley_frame")  # constant within a frame
WIDTH_AXIS, TIME_AXIS = 3, 0  # of a clip (T, C, H, W)


def pairs_of(args, person: int, info) -> list[dict[str, torch.Tensor]]:
    """Return pairs {class: normalised clip (T, C, H, W)} of a person, spread over videos and passages."""
    ranges, clips = ranges_beside(args.videos, args.sequences), {}
    for label in info.classes:
        paths = sorted(args.videos.glob(f"{label}/person{person:02d}_*.avi"))
        found = [centred_clips(path, ranges[KTH.sequence_name(path.stem)], info.sample_duration,
                               info.sample_size) for path in paths]
        longest = max(map(len, found), default=0)
        clips[label] = [some[i] for i in range(longest) for some in found if i < len(some)]  # one of each video first
    count = min(args.pairs, *(len(some) for some in clips.values()))
    return [{label: normalise(some[i], info.mean, info.std)
             for label, some in clips.items()} for i in range(count)]


def pointing_shares(model: torch.nn.Module, pair: dict[str, torch.Tensor], classes: list[str], axis: int,
                    methods: list[str]) -> dict[str, float]:
    """Return {name in SIGNED: share of the positive evidence for a class that lies on its clip}, NaN without any.

    The share is the mean over both orders and both classes. axis: 3 puts the clips side by side, 0 one after the other.
    """
    shares = {name: [] for name in methods}
    for order, target in product((classes, classes[::-1]), classes):
        canvas = torch.cat([pair[label] for label in order], axis)
        for name in methods:
            method, options = SIGNED[name]
            found = explain(model, canvas, classes.index(target), [method], options={method: options})
            positive = np.maximum(found.evidence[method], 0)  # (T, H, W)
            halves = np.split(positive, 2, axis=2 if axis == WIDTH_AXIS else 0)
            total = positive.sum(dtype=np.float64)
            own = halves[order.index(target)].sum(dtype=np.float64)
            shares[name].append(float(own / total) if total > 0 else np.nan)
    return {name: float(np.nanmean(values)) if np.isfinite(values).any() else np.nan
            for name, values in shares.items()}


def explain_person(args, person, folder):
    """Return one row per pair of a person: {"space" or "time": {"trained" or "random_head": {method: share}}}."""
    model, info = load_model(folder / "model" / "last.pth")
    models = {"trained": [folded(model)], "random_head": list(random_head_models(model, args.draws))}
    rows = []
    for pair in tqdm(pairs_of(args, person, info), f"person {person:02d}", unit="pair", disable=None):
        row = {}
        for name, axis in (("space", WIDTH_AXIS), ("time", TIME_AXIS)):
            constant = WHOLE_CLIP if axis == TIME_AXIS else FRAMES_ONLY  # maps that cannot tell the two clips apart
            methods = [method for method in args.methods if method not in constant]
            row[name] = {kind: {method: float(np.nanmean([found[method] for found in shares])) for method in methods}
                         for kind, some in models.items()
                         if (shares := [pointing_shares(each, pair, info.classes, axis, methods) for each in some])}
        rows.append(row)
    return rows


def print_table(rows):
    for place in ("space", "time"):
        table = []
        for method in rows[0][place]["trained"]:
            line = {"method": method}
            for kind in rows[0][place]:
                line[kind] = summarise([{"share": row[place][kind][method]} for row in rows])["share"]
            table.append(line)
        print(f"\nin {place}: share of the positive evidence on the explained class's clip, {len(rows)} pairs")
        print(format_table(table, ["method", *rows[0][place]]))


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_model_options(parser)
    parser.add_argument("--pairs", type=int, default=1, help="pairs of clips per person")
    parser.add_argument("--methods", nargs="+", choices=tuple(SIGNED), default=tuple(SIGNED), metavar="METHOD")
    return parser


def main(argv=None):
    args = build_parser().parse_args(argv)
    print_table(rows_of_persons(args, "class_pointing.json", partial(explain_person, args)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
