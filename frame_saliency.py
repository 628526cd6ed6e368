"""Show which frames and which pixels of a clip a trained model looked at.

    python3 frame_saliency.py --resume_path snapshots/run/best.pth --tsr --limit 3

Leaves results/frame_saliency/<class>/<clip>/ with saliency.npz, pictures and overlay.mp4, and the figures of the whole
run in metrics.json and metrics.csv. Run it again to go on where it stopped.
"""

import argparse
from functools import cache, partial

from tqdm import tqdm

import opts
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
from model.prediction import feature_cache, predict, reading
from runtime import processes
from runtime.clip_runs import explain_clips, result_folder
from runtime.declare import EXPORTS, frame_range
from runtime.device import choose_device, fewer_threads
from runtime.errors import UserError
from runtime.names import readable
from runtime.workers import useful_writers
from saliency import sanity
from saliency.baselines import BASELINES
from saliency.charts import method_bars, sanity_pictures
from saliency.drawing import FrameLook
from saliency.export import export_clips
from saliency.figures import save_figures
from saliency.flow import grey, mean_flow, optical_flow
from saliency.frames import Names, Plan, explain_frames
from saliency.methods import ALL, ALL_METHODS, METHODS, check_method
from saliency.report import PAGE, write_report
from saliency.results import tables
from saliency.results.clip_files import write_frames
from saliency.results.run import DECISION, checked_metrics, read_checks, summarise_run, write_run
from saliency.results.trust import trust_table

CENTRE_CLIPS = 40  # training clips whose mean flow is the centre map


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
    add("--verbose", action="store_true", help="also print the tables, which are in metrics.csv and on the page")
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


def work(args):
    device = choose_device(args.use_cuda, args.gpu, args.threads)
    args.video = video_files(args.video)
    labels = labels_of(args.annotation_path, args.video)
    model, info = open_model(args.resume_path, device, opts.model_facts(args), labels)
    opts.check_target(args, info.classes, ("predicted", "label", "all"))
    if args.smooth > info.sample_size:
        raise UserError(f"--smooth {args.smooth} is more than the {info.sample_size} pixels of a frame; give less")
    plan = planned(args, model)
    clips = choose_clips(info.classes, info.sample_duration, **opts.clip_choice(args, info))
    read, fast = partial(load_with_masks, **reading(info, args.duration == "full")), folded(model)
    shown = "tsr" if "tsr" in plan.methods and args.tsr_step == "full" else args.method
    look = FrameLook(args.method, shown, args.signed, args.figure_format, list(map(readable, info.classes)))
    centre, kept = cache(partial(training_flow, args, info)), feature_cache(args.feature_cache, fast, info)

    def explain(clip, content):
        """Explain one clip, given as its frames and masks. Return the function that writes its results."""
        frames, masks = content
        seen = predict(fast, info, frames, args.target, clip.label, kept)
        times = clip.reader and {"frames_per_second": clip.reader.frame_rate(clip.path), "video_frame": clip.first}
        found = explain_frames(fast, seen, grey(frames), Names(clip.name, clip.label, info.classes, times or {}), plan)
        if cbam.has_attention(fast):
            maps = cbam.spatial_attention(fast, seen.tensor).cpu().numpy()
            found["attention"] = resize(maps, info.sample_size)  # (T, H, W)
        tqdm.write("\n".join(found["titles"]))
        reference = {"masks": masks, "mean_flow": centre(), "smooth": args.smooth, "seed": args.seed}
        return partial(write_frames, look=look, reference=reference,
                       write_video=None if args.no_overlay else partial(write_video, fps=8), **found)

    # The gradient and the decision take less time than drawing, so the model leaves cores to the processes that draw.
    # Their number does not depend on how many clips are complete, so a run that goes on computes as the stopped one.
    quick = plan.methods == ["gradient"] and not (plan.deletion or plan.noisy)
    with result_folder(args.result_path, vars(args), info.config.get("weights")):
        with fewer_threads(useful_writers(len(clips), args.threads) if quick else 0):
            rows, counts = explain_clips(clips, read, explain, checked_metrics, args.result_path, args.overwrite,
                                         args.threads)
        if processes.is_first():
            clips = [clip for clip in clips if clip.name in rows]
            groups = groups_of(clips, DATASETS[args.dataset])
            checks = check_sanity(args, model, info, read, clips, groups, plan) if args.sanity else {}
            kept_checks = {} if args.overwrite else read_checks(args.result_path)
            finish(args, summarise_run(rows, args.method, groups, checks or kept_checks), checks)
            if "tsr" in plan.methods:
                print(f"TSR rescales the map of the method {plan.options['tsr']['base']}.")
            if args.export:
                export_clips(args.result_path, rows, args.export, *args.export_frames)
            print(f"{counts}; to look at: {args.result_path / PAGE}")


def planned(args, model):
    """Return what is computed for each clip. UserError if the model or a method cannot offer what was asked for."""
    apart = has_encoder(model) and getattr(model, "frames_independent", True)
    every = [name for name in ALL_METHODS if apart or not METHODS[name].needs_encode]
    compared = every if ALL in args.compare else args.compare
    methods = list(dict.fromkeys(["gradient", args.method, *compared, *(["tsr"] if args.tsr else [])]))
    for name in methods:
        check_method(METHODS[name], model)
    if args.signed and not METHODS[args.method].signed:
        signed = ", ".join(name for name, method in METHODS.items() if method.signed)
        raise UserError(f"--signed was given, but --method {args.method} has no sign; give one of: {signed}")
    if args.sanity:
        check_parts(model)
    if args.when and not apart:
        opts.warn("the model does not encode each frame by itself, so --when is left out")
    when = opts.method_options(args, METHODS["shapley_frame"]) | {"seed": args.seed}
    return Plan(methods, args.score, args.smooth, args.seed, opts.options_of_methods(args, METHODS, methods),
                when if args.when and apart else None, args.deletion, args.signed,
                args.robustness_draws if args.robustness else 0, args.tsr_patch)


def training_flow(args, info):
    """Return the mean flow (H, W) of training clips, the centre map; None if there are none, as with --video."""
    if args.video or not args.annotation_path.is_file():
        return None
    data = args.annotation_path, args.video_path
    return mean_flow(training_frames(*data, CENTRE_CLIPS, info.sample_duration, info.sample_size))


def check_sanity(args, model, info, read, clips, groups, plan):
    """Return what saliency.sanity.check finds in the first clips."""
    examples, clips = [], limited(clips, args.sanity_clips, DATASETS[args.dataset])
    for clip in clips:
        frames, _ = read(clip)
        seen = predict(model, info, frames, args.target, clip.label)
        examples.append(sanity.Example(seen.tensor, seen.target, optical_flow(grey(frames))))
    found = sanity.check(model, examples, plan.methods, plan.score, plan.smooth, plan.options, args.sanity_draws,
                         plan.seed, [groups[clip.name] for clip in clips])
    found["sanity"]["clips"] = [clip.name for clip in clips]
    return found


def finish(args, content, checks):
    """Write the files and the page of the run, and print what was found; checks: those that this run has made."""
    write_run(args.result_path, content)
    over_clips = content["summary"]
    agreement = {name: row[sanity.METRIC] for name, row in over_clips.items() if sanity.METRIC in row}
    save_figures({"methods": method_bars(agreement, BASELINES)}, args.result_path, args.figure_format)
    for sentence in tables.zero_maps(over_clips):
        opts.warn(sentence)
    if checks:
        save_figures(sanity_pictures(checks), args.result_path, args.figure_format)
    if args.verbose:
        print_tables(content, checks)
    write_report(args.result_path)
    print("\nWhat was found:\n" + "\n".join(f"- {finding['text']}" for finding in content["findings"]) + "\n")


def print_tables(content, checks):
    """Print the tables of a run; checks: the random heads that this run has made."""
    if DECISION in content:
        print(tables.when_table(content[DECISION]["summary"]))
    print(tables.tables(content["summary"], content["groups"]))
    if checks:
        print(tables.sanity_tables(checks))
    if len(content["summary"].keys() - set(BASELINES)) > 1:
        print("\n" + trust_table(content["trust"]))


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
