"""Show which features of the image network, at which time, a trained model's head listened to.

    python3 feature_saliency.py --resume_path snapshots/run/best.pth --tsr --limit 3

Leaves results/feature_saliency/<class>/<clip>/ with saliency.npz, the heat map and the profile over time, and the
figures of the whole run in metrics.json. Run it again to go on where it stopped.
"""

from pathlib import Path

import opts
from saliency.methods import FEATURE_METHODS, check_method


def build_parser():
    parser = opts.parser_for_trained_model(
        "Compute the saliency of the features that a trained model's head reads.", "results/feature_saliency")
    add = opts.add_saliency_options(parser, FEATURE_METHODS)
    add("--frame_results", type=Path, metavar="DIR", help="results of frame_saliency.py whose page shows these "
        "features too, if they are of the same model and data (default: the folder frame_saliency beside "
        "--result_path)")
    add("--shapley", action="store_true", help="compute the Shapley value of each feature over the whole clip too; "
        "takes seconds per clip")
    add("--shapley_pairs", type=opts.number(int, 2, opts.LARGEST, "not a whole number from 2"), default=8,
        help="pairs of random orders of the features for --shapley")
    parser.owners["--shapley_pairs"] = {"shapley": "--shapley"}
    return parser


if __name__ == "__main__":
    opts.parse_early(build_parser())

from functools import partial

import numpy as np

from data.clips import choose_clips, labels_of, load_frames
from data.video_files import video_files
from model.fast.folding import folded
from model.opening import open_model
from model.prediction import predict, reading
from runtime import processes
from runtime.clip_runs import explain_clips, result_folder
from runtime.device import choose_device
from runtime.files import write_json
from saliency import averages, metrics, summary
from saliency.drawing import FeatureLook, draw_features
from saliency.explain import explain
from saliency.flow import grey, optical_flow
from saliency.report import write_report
from saliency.report.pairing import read_recipe, why_apart
from saliency.result import ClipResult, facts_of, title_of
from saliency.when import EncodedClip, feature_values


def work(args):
    device = choose_device(args.use_cuda, args.gpu, args.threads)
    args.video = video_files(args.video)
    model, info = open_model(args.resume_path, device, opts.model_facts(args), labels_of(args.annotation_path))
    opts.check_target(args, info.classes)
    for name in {args.method, args.tsr_base or args.method}:
        check_method(FEATURE_METHODS[name], model)
    clips = choose_clips(info.classes, info.sample_duration, padded=not info.true_lengths, **opts.clip_choice(args))
    read, folder = partial(load_frames, **reading(info, args.duration == "full")), args.result_path
    work_on = partial(explain_clip, args, folded(model), info)
    with result_folder(folder, vars(args), info.config.get("weights")):
        rows, counts = explain_clips(clips, read, work_on, summary.checked_profile, folder, args.overwrite)
        if processes.is_first():
            summarise_run(args, rows)
            print(f"{counts}; in {folder}")


def explain_clip(args, model, info, clip, frames, folder):
    """Compute all results of one clip and write them into `folder`."""
    seen = predict(model, info, frames, args.target, clip.label)
    methods = list(dict.fromkeys(["gradient", args.method, *(["tsr"] if args.tsr else [])]))
    options = opts.options_of_methods(args, FEATURE_METHODS, methods)
    found = explain(model, seen.tensor, seen.target, methods, args.score, options=options, registry=FEATURE_METHODS)
    facts = facts_of(clip.name, clip.label, seen.predicted, info.classes[seen.target],
                     float(seen.probabilities[seen.target]), args.score)
    result = ClipResult(found.facts | facts, features=seen.features.cpu().numpy(), maps=found.maps, arrays=found.arrays)
    if args.shapley:
        encoded = EncodedClip(model, seen.tensor, seen.target, args.score)
        shapley = feature_values(encoded, args.shapley_pairs, args.seed)
        result.arrays |= {"shapley": shapley.values.cpu().numpy(), "shapley_error": shapley.errors.cpu().numpy()}
        result.facts["shapley_gap"] = shapley.gap
    flow_total = optical_flow(grey(frames)).sum((1, 2))  # (T - 1,)
    result.write(folder / "saliency.npz")
    row = metrics.profile_metrics(np.abs(found.maps[args.method]).sum(1), flow_total)
    write_json(folder / "metrics.json", row)
    title = title_of(facts, seen.probabilities.max())
    draw_features(result, title, folder, FeatureLook(args.method, args.figure_format), flow_total)


def summarise_run(args, rows):
    """Write metrics.json and the page, and print a table, over the clips {clip: {metric: value}}."""
    over_clips = averages.summarise(list(rows.values()))
    write_json(args.result_path / "metrics.json", {"clips": rows, "summary": over_clips})
    frame_results = args.frame_results or args.result_path.absolute().with_name("frame_saliency")
    if any(frame_results.glob("*/*/saliency.npz")):  # the same page shows both
        apart = why_apart(read_recipe(frame_results), read_recipe(args.result_path))
        if apart:
            print(f"these features are not on the page of {frame_results}, because {apart}")
        else:
            print(f"to look at: {write_report(frame_results, args.result_path)}")
    print(summary.tables({args.method: over_clips}))


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
