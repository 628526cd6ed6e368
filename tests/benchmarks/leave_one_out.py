"""Leave one person out on prepared KTH clips: accuracy of each person, and how well maps agree with flow.

    python3 -m tests.benchmarks.leave_one_out --backbone_weights PATH --saliency 3 --options --tsr --deletion

For each person a model is trained on all the others, without looking at the one left out, and then classifies that
person's clips; with --saliency N, N of the clips are explained by every method. What is complete is kept.
"""

import argparse
import json
import sys
from pathlib import Path

import frame_saliency
import inference
import main as training
from data.datasets.kth import parse_name
from saliency.methods import METHODS
from saliency.metrics import format_table, summarise
from saliency.summary import tables
from utils import annotate_kth

COMPARE = [name for name in METHODS if name != "tsr"]  # which takes minutes per clip: --options --tsr


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--video_path", type=Path, default=Path("data/kth/image_data"))
    parser.add_argument("--result_path", type=Path, default=Path("results/leave_one_out"))
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--backbone_weights", default="imagenet")
    parser.add_argument("--sample_size", default="150")
    parser.add_argument("--n_epochs", default="20")
    parser.add_argument("--saliency", type=int, default=0, metavar="N", help="clips of each person to explain")
    parser.add_argument("--compare", nargs="+", default=COMPARE, metavar="METHOD")
    parser.add_argument("--smooth", default="3")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="all that follows: frame_saliency.py's")
    return parser


def fold(args, person):
    """Train without one person, then classify and explain that person's clips. Returns the accuracy's counts."""
    folder = args.result_path / f"person{person:02d}"
    data = ["--annotation_path", str(folder / "kth1.json"), "--video_path", str(args.video_path)]
    model = [*data, "--resume_path", str(folder / "model" / "last.pth")]
    if not (folder / "inference" / "metrics.json").is_file():
        annotate_kth.main([
            "--image_path", str(args.video_path), "--annotation_path", data[1], "--validation_persons",
            "--testing_persons", str(person),
        ])  # fmt: skip
        training.main([
            *data, "--backbone", args.backbone, "--backbone_weights", args.backbone_weights, "--n_epochs",
            args.n_epochs, "--sample_size", args.sample_size, "--result_path", str(folder / "model"),
        ])  # fmt: skip
        inference.main([*model, "--result_path", str(folder / "inference")])
    if args.saliency:
        clips = list(json.loads((folder / "kth1.json").read_text())["database"])
        held_out = [clip for clip in clips if parse_name(clip)[0] == person]
        frame_saliency.main([
            *model, "--result_path", str(folder / "saliency"), "--compare", *args.compare, "--smooth", args.smooth,
            "--no_overlay", *args.options, "--clips", *held_out[:: -(-len(held_out) // args.saliency)],
        ])  # fmt: skip
    return json.loads((folder / "inference" / "metrics.json").read_text())


def report(args, results):
    rows = []
    for person, metrics in results.items():
        rows.append({"person": f"{person:02d}", "accuracy": metrics["accuracy"], **metrics["per_class"],
                     "clips": sum(metrics["counts"].values())})
    print(format_table(rows, list(rows[0])))
    correct = sum(sum(row[i] for i, row in enumerate(metrics["confusion"])) for metrics in results.values())
    total = sum(sum(metrics["counts"].values()) for metrics in results.values())
    mean = sum(metrics["accuracy"] for metrics in results.values()) / len(results)
    print(f"mean over persons {mean:.3f}; {correct} of {total} clips")
    if args.saliency:
        per_person = {}
        for person in results:
            path = args.result_path / f"person{person:02d}" / "saliency" / "metrics.json"
            for method, metrics in json.loads(path.read_text())["summary"].items():
                row = {metric: values["mean"] for metric, values in metrics.items()}
                per_person.setdefault(method, []).append(row)
        print(tables({method: summarise(rows) for method, rows in per_person.items()}, "persons left out"))
        print(f"{args.saliency} clips of each person, maps blurred by {args.smooth} pixels")


def main(argv=None):
    args = build_parser().parse_args(argv)
    persons = sorted({parse_name(path.name)[0] for path in args.video_path.glob("*/person*")})
    report(args, {person: fold(args, person) for person in persons})


if __name__ == "__main__":
    sys.exit(main())
