"""Time frame_saliency.py's --when on one clip, beside encoding every changed clip anew, in one run.

    python3 -m tests.benchmarks.when_speed
    python3 -m tests.benchmarks.when_speed --resume_path snapshots/run/best.pth --video VIDEO

Printed: the frames that were encoded, the sequences that the head read, the time of all answers after the frames are
encoded (median of --repeats runs), and what the same sequences would take if each of them went through the whole model
(median of --passes passes times their number).
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch

from data.clips import clips_of_videos, load_frames, resize, to_duration
from data.synthetic.people import synthesize
from model.checkpoint import load_model
from model.fast.folding import folded
from model.prediction import predict
from opts import PRETRAINED
from saliency.when import EncodedClip, frame_values, intervals, prefixes


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--resume_path", type=Path, default=PRETRAINED)
    parser.add_argument("--video", type=Path, help="the first clip of this video, instead of a drawn walker")
    parser.add_argument("--repeats", type=int, default=5, help="runs of all answers")
    parser.add_argument("--passes", type=int, default=10, help="whole clips that are timed")
    return parser


def seconds_of(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def answer(encoded):
    """Compute all answers."""
    frame_values(encoded)
    intervals(encoded)
    prefixes(encoded)


def frames_of(args, info):
    """Return the frames (T, size, size, 3) of the clip."""
    if args.video:
        clips, _ = clips_of_videos([args.video], info.sample_duration, 1)
        return load_frames(clips[0], info.sample_duration, info.sample_size)
    drawn, _, ranges = synthesize(0, 1, 1, "walking", passes=1)
    middle = to_duration(drawn[ranges[0][0] - 1:ranges[0][1]], info.sample_duration)
    return resize(middle, info.sample_size)[..., None].repeat(3, -1)


@torch.no_grad()
def main(argv=None):
    args = build_parser().parse_args(argv)
    model, info = load_model(args.resume_path)
    model = folded(model)
    seen = predict(model, info, frames_of(args, info))
    encoded = EncodedClip(model, seen.tensor, seen.target)
    answer(encoded)  # warms up, and counts
    answers, passes = [], []
    for _ in range(args.repeats):
        fresh = EncodedClip(model, seen.tensor, seen.target)
        answers.append(seconds_of(partial(answer, fresh)))
    for _ in range(args.passes):
        passes.append(seconds_of(partial(model, seen.tensor[None])))
    anew = median(passes) * encoded.passes
    print(f"{len(encoded)} frames, head {model.config['head']}, {torch.get_num_threads()} threads: "
          f"{encoded.encodings} frames encoded, {encoded.passes} sequences read by the head")
    print(f"all answers after the frames are encoded: {median(answers):.2f} s (median of {args.repeats})")
    print(f"the whole model for every sequence: {anew:.0f} s ({median(passes):.3f} s for each, median of {args.passes} "
          f"timed); ratio {anew / median(answers):.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
