"""Class folders of a ball that moves left or right: the commands of docs/data.md, and clips that are new.

    python3 -m tests.benchmarks.left_right --workdir results/left_right

Draws 30 videos per class, cuts, extracts, annotates and trains as docs/data.md says, and classifies 20 further
videos. Ends with status 1 if fewer than --least of them are right, or if the training takes more than three minutes.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import cv2
import numpy as np

import inference
import main as training
from data.video import write_video
from tests.runs import ROOT
from utils import annotate_kth, extract_frames, trim_videos

HEIGHT, WIDTH, LENGTH = 120, 160, 75
TRAINING = ["--backbone", "mobilenet_v2", "--backbone_weights", ROOT / "model/pretrained/kth_mobilenet_v2.pth",
            "--sample_size", 64, "--n_epochs", 60, "--lr_rate", 1e-3]  # as in docs/data.md
MOST_SECONDS = 180


def ball(direction, seed, length=LENGTH):
    """Return frames (length, 120, 160, 3) in which a ball crosses the picture to the left or to the right."""
    rng = np.random.default_rng(seed)
    ground = cv2.GaussianBlur(rng.integers(40, 160, (HEIGHT, WIDTH, 3), dtype=np.uint8), (0, 0), 6)
    row, radius, speed = rng.uniform(25, 95), rng.uniform(6, 10), rng.uniform(2.2, 3.5)
    start = rng.uniform(6, max(7, length - (WIDTH + 4 * radius) / speed - 2))
    colour, frames = rng.integers(150, 255, 3).tolist(), np.stack([ground] * length)
    for t, frame in enumerate(frames):
        x = speed * (t - start) - 2 * radius
        place = round(x if direction == "right" else WIDTH - x), round(row)
        cv2.circle(frame, place, round(radius), colour, -1, cv2.LINE_AA)
    return frames


def call(script, *arguments):
    """Call main([...]) of a script."""
    script.main(list(map(str, arguments)))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", type=Path, default=Path("results/left_right"))
    parser.add_argument("--videos", type=int, default=30, help="per class, for training, validation and testing")
    parser.add_argument("--least", type=int, default=19, help="fresh videos that must be classified correctly, of 20")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="further options of main.py")
    args = parser.parse_args(argv)
    root = args.workdir
    for folder, seeds in (("raw", range(args.videos)), ("fresh", range(1000, 1010))):
        for number, direction in enumerate(("left", "right")):
            for seed in seeds:
                path = root / folder / direction / f"{direction}{seed:04d}.avi"
                write_video(path, ball(direction, 2 * seed + number))
    data = ["--dataset", "folder", "--annotation_path", root / "folder1.json"]
    call(trim_videos, "--dataset", "folder", "--raw_path", root / "raw", "--trimmed_path", root / "trimmed")
    call(extract_frames, "--trimmed_path", root / "trimmed", "--image_path", root / "images")
    call(annotate_kth, *data, "--trimmed_path", root / "trimmed", "--image_path", root / "images")
    began = time.monotonic()
    call(training, *data, "--video_path", root / "images", *TRAINING, "--result_path", root / "run", *args.options)
    seconds, right = time.monotonic() - began, 0
    for direction in ("left", "right"):
        call(inference, "--resume_path", root / "run" / "best.pth", "--video", root / "fresh" / direction,
             "--result_path", root / "inference" / direction)
        with (root / "inference" / direction / "predictions.csv").open(newline="") as file:
            right += sum(row["predicted"] == direction for row in csv.DictReader(file))
    print(f"{right} of 20 fresh videos are classified correctly; training took {seconds:.0f} s")
    return int(right < args.least or seconds > MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
