"""The bundled model on videos of people whom it has never seen, also of actions that it does not know.

    python3 -m tests.benchmarks.strangers --videos VIDEOS --sequences 00sequences.txt

VIDEOS holds class folders of KTH videos. Printed per class: the number of clips and how many of them the model calls
each of its classes. For an action that the model does not know there is no right answer; a high share of "running"
among people who stand still is a false alarm.
"""

import argparse
import sys
from pathlib import Path

import opts
from model.checkpoint import load_model
from model.fast.folding import folded
from model.prediction import predict
from saliency.results.averages import format_table
from tests.benchmarks.kth_videos import KTH, add_video_options, centred_clips, ranges_beside


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_video_options(parser)
    parser.add_argument("--model", type=Path, default=opts.PRETRAINED, help="checkpoint")
    return parser


def main(argv=None):
    args = build_parser().parse_args(argv)
    model, info = load_model(args.model)
    model, ranges = folded(model), ranges_beside(args.videos, args.sequences)
    rows = []
    for folder in sorted(path for path in args.videos.iterdir() if path.is_dir()):
        called, persons, sums = dict.fromkeys(info.classes, 0), set(), 0.0
        for path in sorted(folder.glob("*.avi")):
            for clip in centred_clips(path, ranges[KTH.sequence_name(path.stem)], info.sample_duration,
                                      info.sample_size):
                seen = predict(model, info, clip)
                called[seen.predicted] += 1
                sums += float(seen.probabilities.max())
                persons.add(KTH.person_of(path.stem))
        total = sum(called.values())
        rows.append({"class": folder.name, "clips": total, "persons": len(persons)}
                    | {f"called {name}": count for name, count in called.items()}
                    | {"recall": called[folder.name] / total if folder.name in called else None,
                       "mean probability": sums / total})
    print(format_table(rows, list(rows[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
