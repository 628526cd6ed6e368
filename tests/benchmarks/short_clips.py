"""A model on clips that are shorter than those it was trained on: read as they are, or with the last frame repeated.

    python3 -m tests.benchmarks.short_clips --videos VIDEOS --sequences 00sequences.txt

VIDEOS holds class folders of KTH videos. The clips are the middle frames of those that utils/trim_videos.py cuts, one
per range. Printed per class and number of frames: the clips that are classified correctly, and the mean probability of
their class, in both ways.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import opts
from data.clips import to_duration
from model.checkpoint import load_model
from model.fast.folding import folded
from model.prediction import predict
from saliency.results.averages import format_table
from tests.benchmarks.kth_videos import KTH, add_video_options, centred_clips, ranges_beside


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_video_options(parser)
    parser.add_argument("--model", type=Path, default=opts.PRETRAINED, help="checkpoint")
    parser.add_argument("--frames", type=int, nargs="+", default=[1, 3, 8, 15, 30], help="lengths of clips")
    return parser


def main(argv=None):
    args = build_parser().parse_args(argv)
    model, info = load_model(args.model)
    model, ranges = folded(model), ranges_beside(args.videos, args.sequences)
    rows = []
    for label in (name for name in info.classes if (args.videos / name).is_dir()):
        clips = [clip for path in sorted((args.videos / label).glob("*.avi"))
                 for clip in centred_clips(path, ranges[KTH.sequence_name(path.stem)], info.sample_duration,
                                           info.sample_size)]
        for count in args.frames:
            row = {"class": label, "frames": count, "clips": len(clips)}
            for way, copies in (("as they are", 0), ("repeated", max(info.sample_duration - count, 0))):
                found = np.array([predict(model, info, np.pad(to_duration(clip, count), ((0, copies), *[(0, 0)] * 3),
                                                              mode="edge")).probabilities
                                  for clip in clips])  # (clips, classes)
                wanted = info.classes.index(label)
                row |= {f"correct, {way}": int((found.argmax(1) == wanted).sum()),
                        f"probability, {way}": found[:, wanted].mean()}
            rows.append(row)
    print(format_table(rows, list(rows[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
