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
    add("--shapley_pairs", type=opts.number(int, 2), default=8,
        help="pairs of random orders of the features for --shapley")
    parser.owners["--shapley_pairs"] = {"shapley": "--shapley"}
    return parser


from functools import partial

from data.clips import choose_clips, groups_of, labels_of, load_frames
from data.datasets import DATASETS
from data.video_files import video_files
from model.fast.folding import folded
from model.opening import open_model
from model.prediction import feature_cache, predict, reading, warn_of_sigmoid, with_known_features
from runtime import processes
from runtime.clip_runs import clip_folder, explain_clips, result_folder
from runtime.device import choose_device, fewer_threads
from runtime.files import write_json
from runtime.workers import useful_writers
from saliency import averages, summary
from saliency.drawing import FeatureLook
from saliency.explain import explain
from saliency.flow import grey
from saliency.report import write_report
from saliency.report.pairing import read_recipe, why_apart
from saliency.result import ClipResult, facts_of, title_of
from saliency.scores import margin
from saliency.when import EncodedClip, feature_values
from saliency.writing import write_features


def work(args):
    device = choose_device(args.use_cuda, args.gpu, args.threads)
    args.video = video_files(args.video)
    model, info = open_model(args.resume_path, device, opts.model_facts(args), labels_of(args.annotation_path))
    opts.check_target(args, info.classes)
    for name in {args.method, args.tsr_base or args.method}:
        check_method(FEATURE_METHODS[name], model)
    clips = choose_clips(info.classes, info.sample_duration, **opts.clip_choice(args))
    read, folder = partial(load_frames, **reading(info, args.duration == "full")), args.result_path
    model = folded(model)
    work_on = partial(explain_clip, args, model, info, feature_cache(args.feature_cache, model, info))
    quick = args.method == "gradient" and not (args.tsr or args.shapley)
    drawing = useful_writers(len(clips), args.threads) if quick else 0  # cores, see frame_saliency.py
    with result_folder(folder, vars(args), info.config.get("weights")), fewer_threads(drawing):
        rows, counts = explain_clips(clips, read, work_on, summary.checked_profile, folder, args.overwrite,
                                     args.threads)
        warn_of_sigmoid(info)
        if processes.is_first():
            groups = groups_of([clip for clip in clips if clip.name in rows], DATASETS[args.dataset])
            summarise_run(args, rows, groups)
            print(f"{counts}; in {folder}")


def explain_clip(args, model, info, cache, clip, frames):
    """Explain one clip. Return the function that writes all results into a folder."""
    seen = predict(model, info, frames, args.target, clip.label, cache)
    model = with_known_features(model, seen)
    methods = list(dict.fromkeys(["gradient", args.method, *(["tsr"] if args.tsr else [])]))
    options = opts.options_of_methods(args, FEATURE_METHODS, methods)
    found = explain(model, seen.tensor, seen.target, methods, args.score, options=options, registry=FEATURE_METHODS,
                    seed=args.seed)
    facts = facts_of(clip.name, clip.label, seen.predicted, info.classes[seen.target],
                     float(seen.probabilities[seen.target]), args.score, margin(seen.probabilities))
    result = ClipResult(found.facts | facts, features=seen.features.cpu().numpy(), maps=found.maps, arrays=found.arrays)
    if args.shapley:
        encoded = EncodedClip(model, seen.tensor, seen.target, args.score)
        shapley = feature_values(encoded, args.shapley_pairs, args.seed)
        result.arrays |= {"shapley": shapley.values.cpu().numpy(), "shapley_error": shapley.errors.cpu().numpy()}
        result.facts["shapley_gap"] = shapley.gap
    same_clip = clip_folder(clip, frame_results(args)) / "saliency.npz"
    return partial(write_features, result=result, title=title_of(facts, seen.probabilities.max()), frames=grey(frames),
                   look=FeatureLook(args.method, args.figure_format), same_clip=same_clip)


def frame_results(args):
    """Return the folder of results of frame_saliency.py that belong to these."""
    return args.frame_results or args.result_path.absolute().with_name("frame_saliency")


def summarise_run(args, rows, groups):
    """Write metrics.json and the page, and print a table, of clips {clip: {metric: value}} and their groups."""
    over_clips = averages.summarise_named(rows, groups)
    write_json(args.result_path / "metrics.json", {"clips": rows, "groups": groups, "summary": over_clips})
    of_frames = frame_results(args)
    if any(of_frames.glob("*/*/saliency.npz")):  # the same page shows both
        apart = why_apart(read_recipe(of_frames), read_recipe(args.result_path))
        if apart:
            print(f"these features are not on the page of {of_frames}, because {apart}")
        else:
            print(f"to look at: {write_report(of_frames, args.result_path)}")
    print(summary.tables({args.method: over_clips}, groups=groups))


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
