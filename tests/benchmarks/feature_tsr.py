"""Time TSR of features over each method of features, and compare with the literal loop in one run.

    python3 -m tests.benchmarks.feature_tsr --frames 30 --features 300 --heads lstm gru
    OMP_NUM_THREADS=1 python3 -m tests.benchmarks.feature_tsr      # seconds of the processor, for busy machines

The head `lstm` is that of the bundled model, the others have random weights; the features are random. The speed of
products of matrices is printed first, because nearly all of the time goes into them. Printed per head and base:

    seconds    of the whole of TSR; where more than --limit seconds were to be expected, from --sample perturbations,
               as their mean time times the number of perturbations, marked "estimated"
    ratio      to the literal loop, a full attribution for each perturbation: the mean time of --passes of them times
               their number, divided by the seconds
"""

import argparse
import sys
import time
from functools import partial

import torch

from model.checkpoint import load_model
from model.cnn_lstm import build_model
from opts import PRETRAINED
from saliency.fills import background
from saliency.gradient import untouched
from saliency.methods.rescaling import FEATURE_BASES, SEQUENCES
from saliency.propagation import RULED_HEADS
from saliency.results.averages import format_table
from saliency.tsr.features import feature_changes

QUANTILE = 0.55
WARM = 20.0  # seconds that the sample of a slow base may take


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--features", type=int, default=300, help="for heads other than lstm")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the random weights of other heads than "
                        "lstm; those of trained heads are often larger")
    parser.add_argument("--heads", nargs="+", choices=RULED_HEADS, default=["lstm"])
    parser.add_argument("--bases", nargs="+", choices=FEATURE_BASES, default=list(FEATURE_BASES))
    parser.add_argument("--limit", type=float, default=300, help="seconds, beyond which the time is estimated")
    parser.add_argument("--sample", type=int, default=64, help="perturbations for an estimate, fewer for a slow base")
    parser.add_argument("--passes", type=int, default=3, help="perturbations of the literal loop")
    return parser


def timed(work):
    """Return (result, seconds); with a single thread, seconds of the processor."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    result = work()
    return result, clock() - begin


def speed_of_products(repeats=50):
    """Return how many GFLOP/s products of matrices of this benchmark's size reach here, to compare machines."""
    signals, weights = torch.randn(300, 1024), torch.randn(1024, 560)
    _, seconds = timed(lambda: [signals @ weights for _ in range(repeats)])
    return 2 * repeats * signals.numel() * weights.shape[1] / seconds / 1e9


def model_with(head, features, scale=1.0):
    """Return the bundled model for the head lstm, else a model with random weights times `scale`, in eval mode."""
    if head == "lstm":
        return load_model(PRETRAINED)[0]
    torch.manual_seed(0)
    model = build_model("cnnlstm", 2, "squeezenet1_1", head=head, feature_size=features).eval()
    for weight in model.head.parameters():
        weight.data *= scale
    return model


def measure(model, features, base, args):
    """Return the seconds, whether they are estimated, and the ratio of one base."""
    relevance, fill = SEQUENCES[base](model, features, 1), background(features)
    length, size = features.shape
    important = length - 1 - int(QUANTILE * (length - 1))
    total = length + important * size
    _, once = timed(lambda: relevance(features[None]))
    sample = max(args.passes, min(args.sample, int(WARM / once)))
    at, parts = torch.full((sample,), length // 2), torch.linspace(0, size - 1, sample).long()
    changes = partial(feature_changes, relevance, features, fill)
    _, sampled = timed(lambda: changes(at, parts))
    seconds = sampled / sample * total
    estimated = seconds > args.limit
    if not estimated:
        frames = torch.arange(length)
        time_delta, first = timed(lambda: changes(frames, None))
        chosen = time_delta.argsort()[-important:].sort().values
        at, parts = chosen.repeat_interleave(size), torch.arange(size).repeat(important)
        _, second = timed(lambda: changes(at, parts))
        seconds = first + second
    literal = 0.0
    for p in torch.linspace(0, len(at) - 1, args.passes).long().tolist():
        masked = features.clone()
        masked[at[p], parts[p]] = fill[parts[p]]
        _, one = timed(lambda masked=masked: relevance(masked[None])[0])
        literal += one / args.passes * total
    return {"base": base, "seconds": seconds, "estimated": "estimated" if estimated else "",
            "ratio": literal / seconds}


def main(argv=None):
    args = build_parser().parse_args(argv)
    clock = "the processor" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} threads"
    speed_of_products()  # the first products take longer
    print(f"products of matrices: {speed_of_products():.0f} GFLOP/s, {clock}")
    for head in args.heads:
        model = model_with(head, args.features, args.scale)
        torch.manual_seed(1)
        features, rows = torch.randn(args.frames, model.config["feature_size"]), []
        with untouched(model):
            for base in args.bases:
                rows.append(measure(model, features, base, args))
                print(f"{head} {rows[-1]}", file=sys.stderr)
        print(f"head {head}, {len(features)} frames of {features.shape[1]} features, seconds of {clock}")
        print(format_table(rows, ["base", "seconds", "estimated", "ratio"], ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
