"""Show which features of the image network, at which time, a trained model's head listened to.

    python3 feature_saliency.py --resume_path snapshots/run/best.pth --tsr --limit 3

Leaves results/feature_saliency/<class>/<clip>/ with saliency.npz, the heat map and the profile over time, and the
figures of the whole run in metrics.json. Run it again to go on where it stopped.
"""

from functools import partial
from pathlib import Path

import opts
from data.clips import choose_clips, groups_of, labels_of, load_frames
from data.datasets import DATASETS
from data.video_files import video_files
from model.fast.folding import folded
from model.opening import open_model
from model.prediction import feature_cache, predict, reading, with_known_features
from runtime import processes
from runtime.clip_runs import explain_clips, result_folder
from runtime.device import choose_device, fewer_threads
from runtime.files import write_json
from runtime.workers import useful_writers
from saliency.explain import explain
from saliency.flow import grey
from saliency.methods import FEATURE_METHODS, check_method
from saliency.report import write_report
from saliency.results.averages import summarise_named
from saliency.results.clip import ClipResult, facts_of, title_of
from saliency.results.clip_files import write_features
from saliency.results.run import checked_metrics, read_run, why_apart
from saliency.results.tables import tables
from saliency.scores import margin
from saliency.when import EncodedClip, feature_values


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


def work(args):
    device = choose_device(args.use_cuda, args.gpu, args.threads)
    args.video = video_files(args.video)
    labels = labels_of(args.annotation_path, args.video)
    model, info = open_model(args.resume_path, device, opts.model_facts(args), labels)
    opts.check_target(args, info.classes)
    for name in {args.method, args.tsr_base or args.method}:
        check_method(FEATURE_METHODS[name], model)
    methods = list(dict.fromkeys(["gradient", args.method, *(["tsr"] if args.tsr else [])]))
    options = opts.options_of_methods(args, FEATURE_METHODS, methods)
    clips = choose_clips(info.classes, info.sample_duration, **opts.clip_choice(args, info))
    read, model = partial(load_frames, **reading(info, args.duration == "full")), folded(model)
    kept = feature_cache(args.feature_cache, model, info)

    def explain_clip(clip, frames):
        """Explain one clip. Return the function that writes all results into a folder."""
        seen = predict(model, info, frames, args.target, clip.label, kept)
        known, probability = with_known_features(model, seen), float(seen.probabilities[seen.target])
        found = explain(known, seen.tensor, seen.target, methods, args.score, options=options,
                        registry=FEATURE_METHODS, seed=args.seed)
        facts = facts_of(clip.name, clip.label, seen.predicted, info.classes[seen.target], probability, args.score,
                         margin(seen.probabilities))
        result = ClipResult(found.facts | facts, features=seen.features.cpu().numpy(), maps=found.maps,
                            arrays=found.arrays)
        if args.shapley:
            add_shapley_values(result, EncodedClip(known, seen.tensor, seen.target, args.score), args.shapley_pairs,
                               args.seed)
        title = title_of(facts, seen.probabilities.max())
        return partial(write_features, result=result, title=title, method=args.method, kind=args.figure_format,
                       frames=grey(frames))

    quick = args.method == "gradient" and not (args.tsr or args.shapley)
    drawing = useful_writers(len(clips), args.threads) if quick else 0  # cores, see frame_saliency.py
    folder = args.result_path
    with result_folder(folder, vars(args), info.config.get("weights")), fewer_threads(drawing):
        rows, counts = explain_clips(clips, read, explain_clip, checked_metrics, folder, args.overwrite, args.threads)
        if processes.is_first():
            finish(args, rows, groups_of([clip for clip in clips if clip.name in rows], DATASETS[args.dataset]))
            print(f"{counts}; in {folder}")


def add_shapley_values(result, encoded, pairs, seed):
    """Add the Shapley values of the features of a clip to its result."""
    shapley = feature_values(encoded, pairs, seed)
    result.arrays |= {"shapley": shapley.values.cpu().numpy(), "shapley_error": shapley.errors.cpu().numpy()}
    result.facts["shapley_gap"] = shapley.gap


def finish(args, rows, groups):
    """Write metrics.json and the page, and print a table, of clips {clip: {metric: value}} and their groups."""
    over_clips = summarise_named(rows, groups)
    write_json(args.result_path / "metrics.json", {"clips": rows, "groups": groups, "summary": over_clips})
    of_frames = args.frame_results or args.result_path.absolute().with_name("frame_saliency")
    if any(of_frames.glob("*/*/saliency.npz")):  # the same page shows both
        apart = why_apart(read_run(of_frames), read_run(args.result_path))
        if apart:
            print(f"these features are not on the page of {of_frames}, because {apart}")
        else:
            print(f"to look at: {write_report(of_frames, args.result_path)}")
    print(tables({args.method: over_clips}, groups))


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
