"""Leave one person out: train on all the others and on drawn people, and classify the person left out.

    python3 -m tests.benchmarks.leave_one_out --videos VIDEOS --backbone_weights PATH
    python3 -m tests.benchmarks.leave_one_out --videos VIDEOS --backbone_weights PATH --drawn 0 --workdir OTHER

VIDEOS holds the class folders of KTH videos; 00sequences.txt lies there or in its parent folder. Nothing is chosen by
the person left out: the last epoch's model is used. Printed per person: balanced accuracy, recall per class beside the
share of the largest class, and the probability of walking on clips without anybody. With --saliency N, N clips of each
person are explained by every method, and with --options --sanity compared with those of a random head. What is complete
in the work folder is kept.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import frame_saliency
import inference
import main as training
from data.datasets import DATASETS
from model.accuracy import accuracy_line, summarise_confusion
from runtime.sentences import counted
from saliency.methods import METHODS
from saliency.results.averages import format_table, summarise
from saliency.results.tables import tables
from saliency.sanity import COLUMNS
from utils import annotate_kth, extract_frames, synthesize_kth, trim_videos

KTH = DATASETS["kth"]
FIRST_DRAWN = 30  # number of the first drawn person
HEAD = "lstm"
COMPARE = [name for name in METHODS if name != "tsr"]  # TSR takes minutes per clip: --options --tsr


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--videos", type=Path, default=KTH.raw_path, help="class folders of KTH videos")
    parser.add_argument("--workdir", type=Path, default=Path("results/leave_one_out"))
    parser.add_argument("--drawn", type=int, default=20, metavar="N", help="drawn people in training")
    parser.add_argument("--scenarios", nargs="+", default=["1", "2", "3", "4"], help="of the drawn people")
    parser.add_argument("--persons", type=int, nargs="+", metavar="P", help="leave out only these persons")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--backbone_weights", default="imagenet")
    parser.add_argument("--sample_size", default="120")
    parser.add_argument("--head", default=HEAD)
    parser.add_argument("--training", nargs="+", default=[], metavar="NAME=VALUE", help="further options of main.py, "
                        "such as reads=features pooling=last")
    parser.add_argument("--n_epochs", default="80")
    parser.add_argument("--batch_size", default="32")
    parser.add_argument("--lr_rate", default="1e-3")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--saliency", type=int, default=0, metavar="N", help="clips of each person to explain")
    parser.add_argument("--compare", nargs="+", default=COMPARE, metavar="METHOD")
    parser.add_argument("--smooth", default="3")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="all that follows: frame_saliency.py's")
    return parser


def prepare(args) -> list[int]:
    """Cut the real videos and draw people, extract the frames of both, and return the real persons."""
    trimmed = [args.workdir / "trimmed"]
    trim_videos.main(["--raw_path", str(args.videos), "--trimmed_path", str(trimmed[0]), "--classes", "running",
                      "walking"])
    if args.drawn:
        numbers = [str(FIRST_DRAWN + i) for i in range(args.drawn)]
        synthesize_kth.main(["--output", str(args.workdir / "drawn"), "--persons", *numbers, "--passes", "2",
                             "--scenarios", *args.scenarios])
        trimmed.append(args.workdir / "drawn_trimmed")
        trim_videos.main(["--raw_path", str(args.workdir / "drawn"), "--trimmed_path", str(trimmed[1])])
    extract_frames.main(["--trimmed_path", *map(str, trimmed), "--image_path", str(args.workdir / "image_data")])
    return sorted({KTH.person_of(path.stem) for path in trimmed[0].glob("[!_]*/person*.avi")})


def folder_of(args, person: int) -> Path:
    """Return the folder of one person left out; each head, its options and each seed have their own."""
    kind = "".join(f"{part}_" for part in (*([] if args.head == HEAD else [args.head]), *args.training))
    return args.workdir / f"{kind}seed{args.seed}" / f"person{person:02d}"


def fold(args, person: int) -> dict:
    """Train without one person, then classify and explain that person's clips. Returns the metrics of both scripts."""
    folder, trimmed = folder_of(args, person), [args.workdir / "trimmed", args.workdir / "drawn_trimmed"]
    data = ["--annotation_path", str(folder / "kth1.json"), "--video_path", str(args.workdir / "image_data")]
    model = [*data, "--resume_path", str(folder / "model" / "last.pth")]
    if not (folder / "inference" / "metrics.json").is_file():
        annotate_kth.main([
            "--trimmed_path", *map(str, trimmed[:1 + bool(args.drawn)]), "--image_path", data[3],
            "--annotation_path", data[1], "--validation_persons", "--testing_persons", str(person),
        ])
        training.main([
            *data, "--backbone", args.backbone, "--backbone_weights", args.backbone_weights, "--head", args.head,
            "--n_epochs", args.n_epochs, "--batch_size", args.batch_size, "--lr_rate", args.lr_rate, "--seed",
            args.seed, "--sample_size", args.sample_size, "--result_path", str(folder / "model"),
            "--feature_cache", str(args.workdir / "features"), *(f"--{option}" for option in args.training),
        ])
        inference.main([*model, "--result_path", str(folder / "inference")])
    if args.saliency:
        clips = list(json.loads((folder / "kth1.json").read_text())["database"])
        held_out = [clip for clip in clips if KTH.person_of(clip) == person]
        spread = max(1, len(held_out) // args.saliency)
        frame_saliency.main([
            *model, "--result_path", str(folder / "saliency"), "--compare", *args.compare, "--smooth", args.smooth,
            "--no_overlay", *args.options, "--clips", *held_out[::spread][:args.saliency],
        ])
    metrics = json.loads((folder / "inference" / "metrics.json").read_text())
    return metrics | {"empty": json.loads((folder / "model" / "metrics.json").read_text())["testing"].get("empty", {})}


def print_results(args, results: dict[int, dict]) -> None:
    rows = []
    for person, metrics in results.items():
        rows.append({"person": f"{person:02d}", "balanced accuracy": metrics["balanced_accuracy"],
                     **{f"recall of {name}": recall for name, recall in metrics["per_class"].items()},
                     "accuracy": metrics["accuracy"], "largest class": metrics["majority_share"],
                     "clips": sum(metrics["counts"].values()), "P(walking), empty": metrics["empty"].get("walking")})
    print(format_table(rows, list(rows[0])))
    first = next(iter(results.values()))
    confusion = np.sum([metrics["confusion"] for metrics in results.values()], axis=0)
    print("all persons left out: " + accuracy_line(summarise_confusion(confusion, first["classes"])))
    empty = [metrics["empty"]["walking"] for metrics in results.values() if metrics["empty"]]
    if empty:
        print(f"mean probability of walking on clips without anybody: {np.mean(empty):.3f} (persons left out)")
    if args.saliency:
        paths = [folder_of(args, person) / "saliency" / "metrics.json" for person in results]
        explained = [json.loads(path.read_text()) for path in paths]
        print("In this table, the items are the persons left out, and not clips.")
        print(tables(over_persons(metrics["summary"] for metrics in explained)))
        print(f"{counted(args.saliency, 'clip')} of each person, maps blurred by {args.smooth} pixels")
        if "--sanity" in args.options:
            heads = over_persons(metrics["random_head"] for metrics in explained)
            rows = [{"method": method, **columns} for method, columns in heads.items()]
            print(format_table(rows, ["method", *COLUMNS], "difference"))


def over_persons(summaries: Iterable[dict[str, dict]]) -> dict[str, dict]:
    """Return the summary over persons of the means {method: {column: {"mean"}}} of each person."""
    rows = {}
    for summary in summaries:
        for method, columns in summary.items():
            rows.setdefault(method, []).append({name: cell["mean"] for name, cell in columns.items()})
    return {method: summarise(means) for method, means in rows.items()}


def main(argv=None):
    args = build_parser().parse_args(argv)
    everybody = prepare(args)
    persons = args.persons or everybody
    print_results(args, {person: fold(args, person) for person in persons})


if __name__ == "__main__":
    sys.exit(main())
