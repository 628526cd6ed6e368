"""Do maps find the only frames that show the person? Synthetic clips with evidence early, in the middle or late.

    python3 -m tests.benchmarks.planted_evidence --workdir DIR --backbone_weights PATH
    python3 -m tests.benchmarks.planted_evidence --workdir OTHER --backbone_weights PATH --model cnnlstm --head lstm

The first command trains input-cell attention, the second an LSTM.

A model is trained on the clips of all three positions together, so that it has to find the evidence wherever it is
(its epoch chosen by one more person of each), and explains clips of persons that it has not seen; so for each seed.
Prints, per position, the AUROC of every method's saliency per frame (of TSR the time contribution, background fill)
against the frames that show the person: mean over clips, of each clip's mean over the seeds, with its 95 % interval,
and of TSR the mean of each seed. Methods other than the gradient and TSR explain the first seed's model alone. Ends
with status 1 where TSR stays below --expected. What is complete in DIR is kept.
"""

import argparse
import json
import sys
from pathlib import Path

import frame_saliency
import inference
import main as training
from data.annotation import write_annotation
from data.datasets.kth import parse_name
from data.synthetic.people import EVIDENCE
from saliency.methods import METHODS
from saliency.results.averages import format_table, summarise
from utils import annotate_kth, extract_frames, synthesize_kth, trim_videos

SCORE = "time_auroc_visible"
OTHERS = {"time_aup_visible": "area under precision (AUP)", "time_aur_visible": "area under recall (AUR)"}
COMPARE = [name for name in METHODS if name != "tsr"]


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", type=Path, default=Path("results/evidence"))
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--backbone_weights", default="imagenet")
    parser.add_argument("--model", default="cnnlstm_attn", help="or cnnlstm, in another --workdir")
    parser.add_argument("--head", default=None, help="of main.py; by default that of the model")
    parser.add_argument("--sample_size", default="64")
    parser.add_argument("--n_epochs", default="120")
    parser.add_argument("--lr_rate", default="1e-3")
    parser.add_argument("--weight_decay", default="2e-3")
    parser.add_argument("--hidden_size", default="128")
    parser.add_argument("--persons", type=int, default=12, help="per position")
    parser.add_argument("--held_out", type=int, default=3, help="of them, per position")
    parser.add_argument("--scenarios", nargs="+", default=["1", "4"], help="of utils/synthesize_kth.py")
    parser.add_argument("--clips", type=int, default=6, help="explained per position")
    parser.add_argument("--compare", nargs="+", default=COMPARE)
    parser.add_argument("--seeds", nargs="+", default=["0", "1", "2"])
    parser.add_argument("--expected", type=float, default=0.95, help="least AUROC of TSR, in every position")
    return parser


def prepare(args):
    """Videos to frames, each position with persons of its own. Returns {position: persons} as text."""
    everybody = {}
    for number, position in enumerate(EVIDENCE):
        persons = [str(number * args.persons + i + 1) for i in range(args.persons)]
        everybody[position] = persons
        raw, trimmed = (str(args.workdir / name / position) for name in ("raw", "trimmed"))
        synthesize_kth.main(["--output", raw, "--evidence", position, "--persons", *persons, "--passes", "2",
                             "--scenarios", *args.scenarios])
        trim_videos.main(["--raw_path", raw, "--trimmed_path", trimmed, "--context", "0"])
        extract_frames.main(["--trimmed_path", trimmed, "--image_path", str(args.workdir / "image_data")])
    return everybody


def annotate(args, path, subset_of):
    """Write the annotation; subset_of: {person: subset}, training for all others.

    utils/annotate_kth.py takes persons with such numbers for drawn ones, which serve training only.
    """
    clips = annotate_kth.list_clips(args.workdir / "image_data")
    subsets = {clip: subset_of.get(str(parse_name(clip)[0]), "training") for clip in clips}
    write_annotation(path, sorted(set(clips.values())), {clip: (subsets[clip], label) for clip, label in clips.items()})


def train(args, data, seed):
    """Train the model of one seed. Returns the options that make other scripts use it."""
    folder = args.workdir / f"seed{seed}"
    model = [*data, "--resume_path", str(folder / "model" / "best.pth")]
    if not (folder / "inference" / "metrics.json").is_file():
        training.main([
            *data, "--model", args.model, "--backbone", args.backbone, "--backbone_weights", args.backbone_weights,
            *(["--head", args.head] if args.head else []),
            "--n_epochs", args.n_epochs, "--sample_size", args.sample_size, "--lr_rate", args.lr_rate,
            "--weight_decay", args.weight_decay, "--hidden_size", args.hidden_size, "--seed", seed,
            "--result_path", str(folder / "model"),
        ])  # fmt: skip
        inference.main([*model, "--result_path", str(folder / "inference")])
    return model


def explain(args, position, persons, model, folder, compare):
    """Explain held-out clips of one position, spread over persons and classes: {clip: {method: {metric: value}}}."""
    names = sorted(path.name for path in (args.workdir / "image_data").glob("*/*")
                   if any(path.name.startswith(f"person{int(person):02d}_") for person in persons))
    chosen = [names[round(i * (len(names) - 1) / max(1, args.clips - 1))] for i in range(args.clips)]
    frame_saliency.main([*model, "--result_path", str(folder), "--clips", *chosen, "--compare", *compare, "--tsr",
                         "--tsr_step", "time", "--tsr_fill", "background", "--no_overlay", "--no_when"])
    clips = json.loads((folder / "metrics.json").read_text())["clips"]
    return {clip: clips[clip] for clip in chosen}


def main(argv=None):
    args = build_parser().parse_args(argv)
    everybody = prepare(args)
    held_out = {position: persons[-args.held_out:] for position, persons in everybody.items()}
    data = ["--annotation_path", str(args.workdir / "kth1.json"), "--video_path", str(args.workdir / "image_data")]
    annotate(args, Path(data[1]), {
        **{persons[-args.held_out - 1]: "validation" for persons in everybody.values()},
        **{person: "testing" for persons in held_out.values() for person in persons},
    })
    found = {position: {} for position in held_out}  # {position: {seed: {clip: {method: {metric: value}}}}}
    for seed in args.seeds:
        model, compare = train(args, data, seed), args.compare if seed == args.seeds[0] else ["gradient"]
        for position, persons in held_out.items():
            folder = args.workdir / f"seed{seed}" / "saliency" / position
            found[position][seed] = explain(args, position, persons, model, folder, compare)
    scores = {position: over_clips(list(seeds.values())) for position, seeds in found.items()}
    rows = [{"method": method} | {position: score.get(method) for position, score in scores.items()}
            for method in scores["early"] if scores["early"][method]["n"]]  # fmt: skip
    rows += [{"method": f"tsr, seed {seed}"} | {position: over_clips([seeds[seed]])["tsr"]
                                                for position, seeds in found.items()} for seed in args.seeds]
    print(format_table(rows, ["method", *scores]))
    print("AUROC of the saliency per frame against the frames that show the person, mean over "
          f"{args.clips} clips [95 % interval]")
    for metric, words in OTHERS.items():
        own = {position: over_clips(list(seeds.values()), metric) for position, seeds in found.items()}
        rows = [{"method": method} | {position: score.get(method) for position, score in own.items()}
                for method in own["early"] if own["early"][method]["n"]]
        print(f"\n{words} of the saliency per frame, of the same clips")
        print(format_table(rows, ["method", *own]))
    short = [position for position in scores if not scores[position]["tsr"]["mean"] >= args.expected]
    print(f"TSR reaches {args.expected} in {len(scores) - len(short)} of {len(scores)} positions"
          + f", not with evidence {', '.join(short)}" * bool(short))
    return int(bool(short))


def over_clips(seeds, metric=SCORE):
    """[{clip: {method: row}} of each seed] -> {method: summary over clips of each clip's mean over the seeds}."""
    clips = []
    for clip, methods in seeds[0].items():
        values = {method: [seed[clip].get(method, {}).get(metric) for seed in seeds] for method in methods}
        values = {method: [value for value in some if value is not None] for method, some in values.items()}
        clips.append({method: sum(some) / len(some) if some else None for method, some in values.items()})
    return summarise(clips)


if __name__ == "__main__":
    sys.exit(main())
