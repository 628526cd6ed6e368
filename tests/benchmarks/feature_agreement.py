"""Do maps of features agree with Shapley values of features? The bundled model on real KTH clips, beside random heads.

    python3 -m tests.benchmarks.feature_agreement --videos VIDEOS

VIDEOS holds class folders of KTH videos, with 00sequences.txt beside them. One clip of each of the first --clips videos
of a class is explained. A Shapley value (saliency.when.feature_values) is the mean effect of a feature over the whole
clip, so every map (T, D) is summed over time, and Spearman's rank correlation is taken over the D features. Printed per
method, with 95 percent intervals over the clips:

    signed       of the sum over time with the value, for maps that say for and against
    size         of the sum of the magnitudes over time with the magnitude of the value
    random head  `signed` and `size` of the map of a model with a random head, with the values of the trained one; the
                 features are the same, because the projection that makes them is kept

The last row compares the Shapley values with those of other random orders: no map can be expected to agree better.
"""

import argparse
import copy
import sys
import time
from pathlib import Path

import opts
from model.checkpoint import load_model
from model.fast.folding import folded
from model.prediction import predict
from saliency.methods import FEATURE_METHODS, attribute, check_method
from saliency.metrics import spearman
from saliency.results.averages import format_table, summarise
from saliency.sanity import randomise
from saliency.when import EncodedClip, feature_values
from tests.benchmarks.kth_videos import KTH, add_video_options, centred_clips, ranges_beside

SIGNED = ("gradient_x_input", "integrated_gradients", "gradient_shap", "occlusion", "deep_lift", "lrp")
ORDERS = "Shapley values, other orders"


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_video_options(parser)
    parser.add_argument("--model", type=Path, default=opts.PRETRAINED, help="checkpoint")
    parser.add_argument("--clips", type=int, default=6, help="videos per class, one clip of each")
    parser.add_argument("--pairs", type=int, default=16, help="pairs of random orders of the features")
    parser.add_argument("--methods", nargs="+", choices=tuple(FEATURE_METHODS), default=list(FEATURE_METHODS))
    return parser


def frames_of_videos(args, info):
    """Yield the frames (T, size, size, 3) of a clip of each video, from the middle of its first passage."""
    ranges = ranges_beside(args.videos, args.sequences)
    for folder in sorted(path for path in args.videos.iterdir() if path.name in info.classes):
        for path in sorted(folder.glob("*.avi"))[:args.clips]:
            yield from centred_clips(path, ranges[KTH.sequence_name(path.stem)], info.sample_duration,
                                     info.sample_size)[:1]


def with_random_head(model):
    """Return a folded copy of the model with a random head and classifier, which reads the same features."""
    changed = copy.deepcopy(model)
    randomise([part for name, part in changed.head_modules() if name != "projection"], 500)
    return folded(changed)


def agreement(found, values):
    """Return {"signed", "size"}: rank correlations of a map (T, D) with Shapley values (D,)."""
    return {"signed": spearman(found.sum(0), values), "size": spearman(abs(found).sum(0), abs(values))}


def rows_of_clip(model, random, seen, methods, pairs):
    """Return {method: {column: rank correlation}} of one clip, and the seconds that each method takes."""
    values = feature_values(EncodedClip(model, seen.tensor, seen.target), pairs).values.numpy()
    rows, seconds = {}, {}
    for name in methods:
        start = time.process_time()
        found = attribute(FEATURE_METHODS[name], model, seen.tensor, seen.target).map.numpy()
        seconds[name] = time.process_time() - start
        other = attribute(FEATURE_METHODS[name], random, seen.tensor, seen.target).map.numpy()
        beside = agreement(other, values)
        rows[name] = agreement(found, values) | {f"{key}, random head": value for key, value in beside.items()}
    again = feature_values(EncodedClip(model, seen.tensor, seen.target), pairs, seed=1).values.numpy()
    rows[ORDERS] = agreement(again[None], values)
    return rows, seconds


def main(argv=None):
    args = build_parser().parse_args(argv)
    trained, info = load_model(args.model)
    for name in args.methods:
        check_method(FEATURE_METHODS[name], trained)
    model, random, clips = folded(trained), with_random_head(trained), []
    for frames in frames_of_videos(args, info):
        clips.append(rows_of_clip(model, random, predict(model, info, frames), args.methods, args.pairs))
        print(f"{len(clips)} clips", file=sys.stderr)
    table = []
    for name in clips[0][0]:
        over_clips = summarise([rows[name] for rows, _ in clips])
        kept = {column: entry for column, entry in over_clips.items()
                if name in (*SIGNED, ORDERS) or not column.startswith("signed")}
        table.append({"method": name} | kept)
    print(f"{len(clips)} clips, head {trained.config['head']}, {args.pairs} pairs of orders")
    print(format_table(table, ["method", "size", "size, random head", "signed", "signed, random head"]))
    print("seconds of the processor per clip: " + ", ".join(
        f"{name} {sum(seconds[name] for _, seconds in clips) / len(clips):.1f}" for name in args.methods))
    return 0


if __name__ == "__main__":
    sys.exit(main())
