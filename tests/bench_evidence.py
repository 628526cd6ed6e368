"""Do maps find the only frames that show the person? Synthetic clips with evidence early, in the middle or late.

    python3 -m tests.bench_evidence --workdir DIR --backbone_weights PATH

One model is trained on the clips of all three positions together, so that it has to find the evidence wherever it is,
and explains clips of persons that it has not seen. Prints, per position, the AUROC of every method's saliency per frame
(of TSR the time contribution, background fill) against the frames that show the person, mean over clips with its 95 %
interval. Ends with status 1 where TSR stays below 0.95. What is complete in DIR is kept.
"""

import argparse
import json
import sys
from pathlib import Path

import frame_saliency
import inference
import main as training
from data.synthetic import EVIDENCE
from saliency.metrics import format_table
from utils import annotate_kth, extract_frames, synthesize_kth, trim_videos

METHODS = ("gradient_x_input", "grad_cam", "occlusion_frame")
EXPECTED = 0.95  # of TSR's time contribution, in every position


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", type=Path, default=Path("results/evidence"))
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--backbone_weights", default="imagenet")
    parser.add_argument("--model", default="cnnlstm")
    parser.add_argument("--sample_size", default="96")
    parser.add_argument("--n_epochs", default="60")
    parser.add_argument("--lr_rate", default="1e-3")
    parser.add_argument("--persons", type=int, default=12, help="per position")
    parser.add_argument("--held_out", type=int, default=3, help="of them, per position")
    parser.add_argument("--clips", type=int, default=6, help="explained per position")
    parser.add_argument("--compare", nargs="+", default=METHODS)
    return parser


def prepare(args):
    """Videos to frames, each position with persons of its own. Returns {position: held-out persons} as text."""
    held_out = {}
    for number, position in enumerate(EVIDENCE):
        persons = [str(number * args.persons + i + 1) for i in range(args.persons)]
        held_out[position] = persons[-args.held_out:]
        raw, trimmed = (str(args.workdir / name / position) for name in ("raw", "trimmed"))
        synthesize_kth.main(["--output", raw, "--evidence", position, "--persons", *persons, "--passes", "2",
                             "--scenarios", "1", "4"])
        trim_videos.main(["--raw_path", raw, "--trimmed_path", trimmed])
        extract_frames.main(["--trimmed_path", trimmed, "--image_path", str(args.workdir / "image_data")])
    return held_out


def explain(args, position, persons, model):
    """Explain held-out clips of one position, spread over persons and classes: {method: summary of its AUROC}."""
    names = sorted(path.name for path in (args.workdir / "image_data").glob("*/*")
                   if any(path.name.startswith(f"person{int(person):02d}_") for person in persons))
    chosen = [names[round(i * (len(names) - 1) / max(1, args.clips - 1))] for i in range(args.clips)]
    folder = args.workdir / "saliency" / position
    frame_saliency.main([*model, "--result_path", str(folder), "--clips", *chosen, "--compare", *args.compare, "--tsr",
                         "--tsr_step", "time", "--tsr_fill", "background", "--no_overlay"])
    summary = json.loads((folder / "metrics.json").read_text())["summary"]
    found = {method: metrics["time_auroc_visible"] for method, metrics in summary.items()}
    return {method: figure for method, figure in found.items() if figure["n"]}


def main(argv=None):
    args = build_parser().parse_args(argv)
    held_out = prepare(args)
    data = ["--annotation_path", str(args.workdir / "kth1.json"), "--video_path", str(args.workdir / "image_data")]
    annotate_kth.main([
        "--image_path", data[3], "--annotation_path", data[1], "--validation_persons",
        "--testing_persons", *(person for persons in held_out.values() for person in persons),
    ])  # fmt: skip
    training.main([
        *data, "--model", args.model, "--backbone", args.backbone, "--backbone_weights", args.backbone_weights,
        "--n_epochs", args.n_epochs, "--sample_size", args.sample_size, "--lr_rate", args.lr_rate,
        "--result_path", str(args.workdir / "model"),
    ])  # fmt: skip
    model = [*data, "--resume_path", str(args.workdir / "model" / "last.pth")]
    inference.main([*model, "--result_path", str(args.workdir / "inference")])
    scores = {position: explain(args, position, persons, model) for position, persons in held_out.items()}
    rows = [{"method": method} | {position: score.get(method) for position, score in scores.items()}
            for method in scores["early"]]  # fmt: skip
    print(format_table(rows, ["method", *scores]))
    print("AUROC of the saliency per frame against the frames that show the person, mean over "
          f"{args.clips} clips [95 % interval]")
    short = [position for position in scores if not scores[position]["tsr"]["mean"] >= EXPECTED]
    print(f"TSR reaches {EXPECTED} in {len(scores) - len(short)} of {len(scores)} positions"
          + f", not with evidence {', '.join(short)}" * bool(short))
    return int(bool(short))


if __name__ == "__main__":
    sys.exit(main())
