"""Show which frames and which pixels of a clip a trained model looked at.

    python3 frame_saliency.py --resume_path snapshots/run/best.pth --tsr --limit 3

Leaves results/frame_saliency/<class>/<clip>/ with saliency.npz, pictures and overlay.mp4, and the figures of the whole
run in metrics.json and metrics.csv. Run it again to go on where it stopped.
"""

import argparse

import opts
from runtime.declare import EXPORTS, frame_range
from runtime.errors import UserError
from saliency.methods import ALL, ALL_METHODS, METHODS, check_method


def build_parser():
    parser = opts.parser_for_trained_model(
        "Compute saliency maps per frame of the clips that a trained model classifies.", "results/frame_saliency")
    add = opts.add_saliency_options(parser, METHODS, several_targets=True)
    add("--compare", choices=(*METHODS, ALL), nargs="+", default=[], metavar="METHOD", help="measure these methods "
        f"too, and say which to trust; {ALL}: every method that explains the model, but for tsr, which --tsr adds")
    add("--smooth", type=opts.not_negative, default=0.0, metavar="SIGMA", help="blur maps with a Gaussian, in pixels")
    signed = ", ".join(name for name, method in METHODS.items() if method.signed)
    add("--signed", action="store_true", help="draw evidence for (red) and against (blue) the explained class "
        f"instead of the map, and delete first what has the most positive evidence; for methods with a sign: {signed}")
    add("--no_overlay", action="store_true", help="write no overlay.mp4, the clip as a video with its map over it")
    add("--export", nargs="+", choices=EXPORTS, default=[], help="also write frames with their map as an animated GIF "
        "or as a PNG, into the folder of each clip")
    add("--export_frames", type=frame_range, default=(1, None), metavar="FIRST-LAST", help="frames to export, from 1 "
        "(default: all)")
    parser.owners["--export_frames"] = {"export": "--export"}
    add = parser.add_argument_group("when the model decided").add_argument
    add("--when", action="store_true", default=True, help="find the frames that caused the decision: Shapley values of "
        "frames, the shortest intervals that suffice or are needed, and the answer after each frame; takes about a "
        "second per clip")
    add("--no_when", action="store_false", dest="when", default=argparse.SUPPRESS, help="leave this out")
    add = parser.add_argument_group("how far to trust a map").add_argument
    add("--deletion", action="store_true", help="compute deletion and insertion curves, comprehensiveness, sufficiency "
        "and log-odds; takes minutes per clip")
    add("--robustness", action="store_true", help="compute infidelity and sensitivity to noise, which explains each "
        "clip --robustness_draws more times; says for each clip how long that takes")
    add("--robustness_draws", type=opts.positive_int, default=5, help="noisy copies of each clip")
    add("--sanity", action="store_true",
        help="compare with maps of the model with random weights; 10 to 15 times the work, for --sanity_clips")
    add("--sanity_clips", type=opts.positive_int, default=3, help="number of clips, chosen as --limit does")
    add("--sanity_draws", type=opts.positive_int, default=3, help="number of random heads on the trained backbone")
    for name in ("deletion", "robustness"):
        parser.owners["--tsr_patch"][name] = f"--{name}"
    for flag in ("--segment", "--shapley_pairs"):
        parser.owners[flag]["when"] = "--when"
    return parser


import time
from functools import cache, partial

import numpy as np
from tqdm import tqdm

from data.clips import choose_clips, groups_of, labels_of, limited, load_with_masks, resize
from data.datasets import DATASETS
from data.training_clips import training_frames
from data.video import write_video
from data.video_files import video_files
from model import cbam
from model.checks import has_encoder
from model.contract import check_parts
from model.fast.folding import folded
from model.opening import open_model
from model.prediction import feature_cache, predict, reading, warn_of_sigmoid, with_known_features
from runtime import processes
from runtime.clip_runs import explain_clips, result_folder
from runtime.device import choose_device, fewer_threads
from runtime.files import read_json, write_csv, write_json
from runtime.names import readable
from runtime.workers import useful_writers
from saliency import deletion, robustness, sanity, summary
from saliency.averages import summarise_named
from saliency.baselines import BASELINES
from saliency.drawing import FrameLook
from saliency.explain import baseline_maps, explain
from saliency.export import export_clips
from saliency.findings import findings
from saliency.flow import grey, mean_flow, optical_flow
from saliency.report import PAGE, write_report
from saliency.result import ClipResult, facts_of, save_figures, title_of
from saliency.scores import margin
from saliency.trust import trust, trust_table
from saliency.when import decide, of_means
from saliency.writing import write_frames

CENTRE_CLIPS = 40  # training clips whose mean flow is the centre map


def work(args):
    device = choose_device(args.use_cuda, args.gpu, args.threads)
    args.video = video_files(args.video)
    model, info = open_model(args.resume_path, device, opts.model_facts(args), labels_of(args.annotation_path))
    opts.check_target(args, info.classes, ("predicted", "label", "all"))
    if args.smooth > info.sample_size:
        raise UserError(f"--smooth {args.smooth} is more than the {info.sample_size} pixels of a frame; give less")
    if args.signed and not METHODS[args.method].signed:
        signed = ", ".join(name for name, method in METHODS.items() if method.signed)
        raise UserError(f"--signed was given, but --method {args.method} has no sign; give one of: {signed}")
    check_model(args, model)
    clips = choose_clips(info.classes, info.sample_duration, **opts.clip_choice(args))
    centre = cache(partial(training_flow, args, info))
    read = partial(load_with_masks, **reading(info, args.duration == "full"))
    fast = folded(model)
    work_on = partial(explain_clip, args, fast, info, centre, feature_cache(args.feature_cache, fast, info))
    with result_folder(args.result_path, vars(args), info.config.get("weights")):
        with fewer_threads(cores_for_drawing(args, len(clips))):
            rows, counts = explain_clips(clips, read, work_on, summary.checked_methods, args.result_path,
                                         args.overwrite, args.threads)
        warn_of_sigmoid(info)
        if processes.is_first():
            clips = [clip for clip in clips if clip.name in rows]
            groups = groups_of(clips, DATASETS[args.dataset])
            checks = check_sanity(args, model, info, read, clips, groups)
            summarise_run(args, rows, checks, groups)
            if "tsr" in chosen_methods(args)["methods"]:
                print(f"TSR rescales the map of the method {chosen_methods(args)['options']['tsr']['base']}.")
            if args.export:
                export_clips(args.result_path, rows, args.export, *args.export_frames)
            print(f"{counts}; to look at: {args.result_path / PAGE}")


def cores_for_drawing(args, count):
    """Return how many cores the model leaves to the processes that write and draw the results of `count` clips.

    The gradient and --when take less time than they do. The number does not depend on how many clips are complete, so
    that a run which goes on computes as the stopped one did.
    """
    quick = chosen_methods(args)["methods"] == ["gradient"] and not (args.deletion or args.robustness)
    return useful_writers(count, args.threads) if quick else 0


def check_model(args, model):
    """Raise ValueError if the model cannot offer what was asked for. Leave --when out, with a warning, if it cannot."""
    apart = has_encoder(model) and getattr(model, "frames_independent", True)
    if ALL in args.compare:
        args.compare = [name for name in ALL_METHODS if apart or not METHODS[name].needs_encode]
    for name in chosen_methods(args)["methods"]:
        check_method(METHODS[name], model)
    if args.sanity:
        check_parts(model)
    if args.when and not apart:
        opts.warn("the model does not encode each frame by itself, so --when is left out")
        args.when = False


def training_flow(args, info):
    """Return the mean flow (H, W) of training clips, the centre map; None if there are none, as with --video."""
    if args.video or not args.annotation_path.is_file():
        return None
    data = args.annotation_path, args.video_path
    return mean_flow(training_frames(*data, CENTRE_CLIPS, info.sample_duration, info.sample_size))


def chosen_methods(args):
    """Return the keyword arguments of saliency.explain.explain: the methods, their options, and what they explain."""
    methods = list(dict.fromkeys(["gradient", args.method, *args.compare, *(["tsr"] if args.tsr else [])]))
    return {"methods": methods, "score": args.score, "smooth": args.smooth, "seed": args.seed,
            "options": opts.options_of_methods(args, METHODS, methods)}


def explain_clip(args, model, info, centre, cache, clip, content):
    """Explain one clip, given as its frames and masks. Return the function that writes all results into a folder."""
    frames, masks = content
    seen, pictures = predict(model, info, frames, args.target, clip.label, cache), grey(frames)
    began = time.monotonic()
    explained = [explain_class(args, model, info, clip, seen, target, pictures) for target in seen.targets]
    seconds = (time.monotonic() - began) / len(explained)
    (result, found), *others = explained
    result.others = [other for other, _ in others]
    further = {"rows": {}, "write_video": None if args.no_overlay else partial(write_video, fps=8)}
    if args.when:
        further["decision"], further["rows"][summary.WHEN] = explain_decision(args, model, info, seen, result)
    further["tests"] = put_to_test(args, model, seen, result, found, seconds)
    if cbam.has_attention(model):
        maps = cbam.spatial_attention(model, seen.tensor).cpu().numpy()
        further["attention"] = resize(maps, info.sample_size)  # (T, H, W)
    titles = [title_of(each.facts, seen.probabilities.max()) for each in (result, *result.others)]
    tqdm.write("\n".join(titles))
    reference = {"masks": masks, "mean_flow": centre(), "smooth": args.smooth, "seed": args.seed}
    return partial(write_frames, result=result, titles=titles, look=look_of(args, info), reference=reference, **further)


def explain_class(args, model, info, clip, seen, target, pictures):
    """Return the result of one explained class, whose index is `target`, and its Explanation."""
    found = explain(model, seen.tensor, target, **chosen_methods(args))
    facts = facts_of(clip.name, clip.label, seen.predicted, info.classes[target], float(seen.probabilities[target]),
                     args.score, margin(seen.probabilities))
    result = ClipResult(found.facts | facts, frames=pictures, maps=found.maps, arrays=found.arrays,
                        evidence=found.evidence)
    return result, found


def explain_decision(args, model, info, seen, result):
    """Return which frames caused the decision, and numbers for metrics.json; add the decision to the result."""
    options = opts.method_options(args, METHODS["shapley_frame"])
    known = with_known_features(model, seen)
    decision = decide(known, seen.tensor, seen.target, args.score, **options | {"seed": args.seed})
    result.facts |= decision.facts()
    result.arrays |= decision.arrays(list(map(readable, info.classes)), result.facts["label"])
    profiles = {name: values.sum((1, 2)) for name, values in result.maps.items() if name != "shapley_frame"}
    if result.time_contribution is not None:
        profiles["tsr"] = result.time_contribution
    return decision, decision.metrics(profiles)


def put_to_test(args, model, seen, result, found, seconds):
    """Return what --deletion and --robustness measure, {method: metrics} each; seconds: what `explain` took."""
    if not (args.deletion or args.robustness):
        return []
    baselines = baseline_maps(result.frames, smooth=args.smooth, seed=args.seed)
    difference = {"frame_difference": baselines["frame_difference"]}
    tests, explained = [], (model, seen.tensor, seen.target)
    if args.deletion:
        positive = {name: np.maximum(values, 0) for name, values in found.evidence.items()} if args.signed else {}
        ordered = found.maps | positive | difference
        tests.append(deletion.deletion_metrics(*explained, ordered, args.tsr_patch, seed=args.seed))
    if args.robustness:
        tqdm.write(f"--robustness explains the clip {args.robustness_draws} more times: about "
                   f"{args.robustness_draws * seconds:.0f} seconds")
        tests.append(robustness.robustness_metrics(
            *explained, found.maps | difference | {"random": baselines["random"]}, found.evidence,
            lambda clip: explain(model, clip, seen.target, **chosen_methods(args)).maps, args.score, args.tsr_patch,
            args.robustness_draws, args.seed))
    return tests


def look_of(args, info):
    """Return how the pictures of this run are drawn."""
    with_tsr = "tsr" in chosen_methods(args)["methods"]
    shown = "tsr" if with_tsr and args.tsr_step == "full" else args.method
    return FrameLook(args.method, shown, args.signed, args.figure_format, list(map(readable, info.classes)))


def check_sanity(args, model, info, read, clips, groups):
    """Return what saliency.sanity.check finds in the first clips; without --sanity, what an earlier run found."""
    path = args.result_path / "metrics.json"
    if not args.sanity:
        before = read_json(path) if path.is_file() and not args.overwrite else {}
        return {name: before[name] for name in sanity.KEYS if isinstance(before, dict) and name in before}
    examples, clips = [], limited(clips, args.sanity_clips, DATASETS[args.dataset])
    for clip in clips:
        frames, _ = read(clip)
        seen = predict(model, info, frames, args.target, clip.label)
        examples.append(sanity.Example(seen.tensor, seen.target, optical_flow(grey(frames))))
    found = sanity.check(model, examples, draws=args.sanity_draws, **chosen_methods(args),
                         groups=[groups[clip.name] for clip in clips])
    found["sanity"]["clips"] = [clip.name for clip in clips]
    return found


def summarise_run(args, rows, checks, groups):
    """Write the files and the page, and print the tables, of {clip: {method: {metric: value}}} and the groups."""
    decisions = {clip: row.pop(summary.WHEN) for clip, row in rows.items() if summary.WHEN in row}
    over_clips, folder = summary.summarise_clips(rows, groups), args.result_path
    content = {"clips": rows, "groups": groups, "summary": over_clips, **checks}
    if decisions:
        content[summary.WHEN] = {"clips": decisions, "summary": summarise_named(of_means(decisions), groups)}
        print(summary.when_table(content[summary.WHEN]["summary"]))
    content["trust"] = trust(rows, checks.get("random_head"), groups)
    content["findings"] = findings(content, args.method)
    write_json(folder / "metrics.json", content)
    write_csv(folder / "metrics.csv", summary.csv_rows(over_clips))
    save_figures({"methods": summary.bars(over_clips)}, folder, args.figure_format)
    print(summary.tables(over_clips, groups=groups))
    for sentence in summary.zero_maps(over_clips):
        opts.warn(sentence)
    if args.sanity:
        save_figures(summary.sanity_pictures(checks), folder, args.figure_format)
        print(summary.sanity_tables(checks))
    if len(over_clips.keys() - set(BASELINES)) > 1:
        print("\n" + trust_table(content["trust"]))
    write_report(folder)
    print("\nWhat was found:\n" + "\n".join(f"- {finding['text']}" for finding in content["findings"]) + "\n")


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
