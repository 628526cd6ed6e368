"""Which frames and which pixels of a clip a trained model looked at.

    python3 frame_saliency.py --resume_path snapshots/run/best.pth --tsr --limit 3

Leaves results/frame_saliency/<class>/<clip>/ with saliency.npz, pictures and overlay.mp4, and the figures of the whole
run in metrics.json and metrics.csv. Run again to go on where it stopped.
"""

from functools import cache, partial

import numpy as np
from tqdm import tqdm

import opts
from data.clips import load, resize, training_frames
from data.files import read_json, write_json
from data.video import write_video
from model import cbam, folding, processes
from saliency import deletion, figures, report, run, sanity, summary
from saliency.explain import explain, measure
from saliency.flow import grey, mean_flow, optical_flow
from saliency.methods import METHODS
from saliency.tsr import STEPS

CENTRE_CLIPS = 40  # training clips whose mean flow is the centre map


def build_parser():
    parser = opts.parser_for_trained_model(
        "Saliency maps per frame of the clips that a trained model classifies.", "results/frame_saliency")
    methods = {name: method for name, method in METHODS.items() if name != "tsr"}
    add, add_tsr = opts.add_saliency_options(parser, methods, "patches")
    add("--compare", choices=tuple(methods), nargs="+", default=[], metavar="METHOD", help="measure these as well")
    add("--layer", metavar="NAME", help="module for grad_cam; default: before the global pooling")
    add("--smooth", type=opts.not_negative, default=0.0, metavar="SIGMA", help="blur of maps in pixels")
    add("--no_overlay", action="store_true", help="no overlay.mp4, which takes seconds per clip")
    add_tsr("--tsr_patch", type=opts.positive_int, default=10, help="side of a patch in pixels")
    add_tsr("--tsr_step", choices=STEPS, default="full", help="time: frames only, no patches")
    add_tsr("--tsr_tolerance", type=opts.not_negative, default=1e-3, help="error, of the largest delta")
    add_tsr("--amp", action="store_true", help="the image network in bfloat16, for GPUs; what that costs is measured")
    add_tsr("--memory_gb", type=opts.not_negative, help="for activations; default 2, GPU: 70%% of it")
    add = parser.add_argument_group("how far to trust a map").add_argument
    add("--deletion", action="store_true", help="deletion and insertion curves; takes minutes per clip")
    add("--sanity", action="store_true",
        help="maps after weights are randomised; 10 to 15 times the work, for --sanity_clips")
    add("--sanity_clips", type=opts.positive_int, default=3, help="the first clips of the run")
    add("--sanity_draws", type=opts.positive_int, default=3, help="random heads on the trained backbone")
    return parser


def work(args):
    model, info = opts.open_model(args)
    if args.smooth > info.sample_size:
        raise ValueError(f"--smooth {args.smooth} is more than the {info.sample_size} pixels of a frame; give less")
    clips = opts.open_clips(args, info)
    centre = cache(partial(training_flow, args, info))
    work_on = partial(explain_clip, args, folding.folded(model), info, centre)
    with run.result_folder(args.result_path, vars(args)):
        rows, counts = run.explain_clips(clips, info, load, work_on, args.result_path, args.overwrite)
        if processes.first():
            checks = check_sanity(args, model, info, [clip for clip in clips if clip.name in rows])
            summarise_run(args, rows, checks)
            print(f"{counts}; to look at: {args.result_path / report.PAGE}")


def training_flow(args, info):
    """Mean flow (H, W) of training clips, the centre map; None where there are none, as with --video."""
    if args.video or not args.annotation_path.is_file():
        return None
    data = args.annotation_path, args.video_path
    return mean_flow(training_frames(*data, CENTRE_CLIPS, info.sample_duration, info.sample_size))


def explaining(args, progress=None):
    """Keyword arguments of saliency.explain.explain: the methods, what they explain, and options that some have."""
    methods = dict.fromkeys(["gradient", args.method, *args.compare, *["tsr"] * args.tsr])
    tsr = opts.tsr_options(args) | {"memory_gb": args.memory_gb, "amp": args.amp, "progress": progress}
    return {"methods": list(methods), "score": args.score, "smooth": args.smooth,
            "options": {"grad_cam": {"layer": args.layer}, "tsr": tsr}}


def explain_clip(args, model, info, centre, clip, content, folder):
    """Compute and write all there is of one clip into `folder`; content: its frames and masks."""
    frames, masks = content
    seen, pictures = run.predict(model, info, clip, frames, args.target), grey(frames)
    flow = optical_flow(pictures)
    with tqdm(unit="perturbation", leave=False, desc="TSR", disable=None if args.tsr else True) as progress:
        maps, arrays, facts = explain(model, seen.tensor, seen.target, **explaining(args, progress.update))
    np.savez_compressed(folder / "saliency.npz", frames=pictures, flow=flow, **maps, **arrays, **facts, **seen.facts,
                        score=args.score)
    rows = measure(maps, pictures, flow, masks, centre(), args.smooth, args.seed)
    if args.deletion:
        found = deletion.deletion_metrics(model, seen.tensor, seen.target, maps, args.tsr_patch, seed=args.seed)
        rows = {name: row | found.get(name, {}) for name, row in rows.items()}
    write_json(folder / "metrics.json", rows)
    tqdm.write(seen.title)
    shown = "tsr" if args.tsr and args.tsr_step == "full" else args.method
    totals = maps[args.method].sum((1, 2))
    drawn = {"time": figures.time_strip(pictures, totals, arrays.get("time_contribution"), seen.title),
             "frames": figures.frame_grid(pictures, maps[shown], flow, seen.title, shown)}
    if info.model == "cnnlstm_cbam":
        attention = resize(cbam.spatial_attention(model, seen.tensor).cpu().numpy(), info.sample_size)  # (T, H, W)
        limits = f"attention, {attention.min():.3f} to {attention.max():.3f}"
        what = "attention of CBAM's last block"
        drawn["attention"] = figures.frame_grid(pictures, attention, flow, seen.title, limits, what)
    figures.save_figures(drawn, folder, args.figure_format)
    if not args.no_overlay:
        write_video(folder / "overlay.mp4", figures.overlay_frames(pictures, maps[shown], enlarge=2), fps=8)


def check_sanity(args, model, info, clips):
    """What saliency.sanity.check says of the first clips, of a model not folded; without --sanity, said before."""
    path = args.result_path / "metrics.json"
    if not args.sanity:
        before = read_json(path) if path.is_file() and not args.overwrite else {}
        return {name: before[name] for name in sanity.REPORT if isinstance(before, dict) and name in before}
    examples = []
    for clip in clips[:args.sanity_clips]:
        frames, _ = load(clip, info.sample_duration, info.sample_size)
        seen = run.predict(model, info, clip, frames, args.target)
        examples.append(sanity.Example(seen.tensor, seen.target, optical_flow(grey(frames))))
    found = sanity.check(model, examples, draws=args.sanity_draws, seed=args.seed, **explaining(args))
    found["sanity"]["clips"] = [clip.name for clip in clips[:args.sanity_clips]]
    return found


def summarise_run(args, rows, checks):
    """Files, page and printed tables over the clips {clip: {method: {metric: value}}}."""
    over_clips, folder = summary.over_clips(rows), args.result_path
    write_json(folder / "metrics.json", {"clips": rows, "summary": over_clips, **checks})
    run.write_csv(folder / "metrics.csv", summary.csv_rows(over_clips))
    figures.save_figures({"methods": summary.bars(over_clips)}, folder, args.figure_format)
    print(summary.tables(over_clips))
    if args.sanity:
        figures.save_figures(summary.sanity_pictures(checks), folder, args.figure_format)
        print(summary.sanity_tables(checks))
    report.write_report(folder)


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
