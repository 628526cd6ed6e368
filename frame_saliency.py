"""Which frames and which pixels of a clip a trained model looked at.

    python3 frame_saliency.py --resume_path snapshots/run/best.pth --tsr --limit 3

Leaves results/frame_saliency/<class>/<clip>/ with saliency.npz, pictures and overlay.mp4, and the figures of the whole
run in metrics.json and metrics.csv. Run again to go on where it stopped.
"""

import csv
import sys
from functools import cache
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import opts
from data.clips import load, normalise, resize, training_frames
from data.files import read_json, sole_writer, whole_file, whole_folder, write_json
from data.recipe import keep_recipe
from data.video import write_video
from model import processes
from model.cbam import spatial_attention
from model.folding import folded
from saliency import sanity, summary
from saliency.deletion import deletion_metrics
from saliency.explain import explain, measure
from saliency.figures import frame_grid, overlay_frames, sanity_curves, save_figure, time_strip
from saliency.flow import grey, mean_flow, optical_flow
from saliency.gradient import SCORES
from saliency.methods import METHODS
from saliency.report import write_report
from saliency.tsr import FILLS, STEPS

CENTRE_CLIPS = 40  # training clips whose mean flow is the centre map


def build_parser():
    parser = opts.Parser("Saliency maps per frame of the clips that a trained model classifies.")
    opts.add_data_options(parser)
    opts.add_clip_options(parser, "testing")
    opts.add_model_options(parser)
    opts.add_target_options(parser, SCORES)
    maps = parser.add_argument_group("maps")
    names = [name for name in METHODS if name != "tsr"]
    lines = "; ".join(f"{name}: {METHODS[name].line}" for name in names)
    maps.add_argument("--method", choices=names, default="gradient", help=f"attribution behind the map. {lines}")
    maps.add_argument("--compare", choices=names, nargs="+", default=[], metavar="METHOD", help="measure these as well")
    maps.add_argument("--layer", metavar="NAME", help="module for grad_cam; default: before the global pooling")
    maps.add_argument("--smooth", type=opts.not_negative, default=0.0, metavar="SIGMA", help="blur of maps in pixels")
    maps.add_argument("--figure_format", choices=("png", "pdf", "svg"), default="png")
    maps.add_argument("--no_overlay", action="store_true", help="no overlay.mp4, which takes seconds per clip")
    tsr = parser.add_argument_group("temporal saliency rescaling")
    tsr.add_argument("--tsr", action="store_true")
    tsr.add_argument("--tsr_patch", type=opts.positive_int, default=10, help="side of a patch in pixels")
    tsr.add_argument("--tsr_quantile", type=opts.fraction, default=0.55, help="frames above it have patches masked")
    tsr.add_argument("--tsr_fill", choices=tuple(FILLS), default="background", help="what masked pixels become")
    tsr.add_argument("--tsr_step", choices=STEPS, default="full", help="time: frames only, no patches")
    tsr.add_argument("--tsr_tolerance", type=opts.not_negative, default=1e-3, help="error, of the largest delta")
    tsr.add_argument("--memory_gb", type=opts.not_negative, default=None,
                     help="for activations; default 2, GPU: 70%% of it")
    trust = parser.add_argument_group("how far to trust a map")
    trust.add_argument("--deletion", action="store_true", help="deletion and insertion curves; takes minutes per clip")
    trust.add_argument("--sanity", action="store_true",
                       help="maps after weights are randomised; 10 to 15 times the work, for --sanity_clips")
    trust.add_argument("--sanity_clips", type=opts.positive_int, default=3, help="the first clips of the run")
    trust.add_argument("--sanity_draws", type=opts.positive_int, default=3, help="random heads on the trained backbone")
    opts.add_device_options(parser)
    opts.add_result_options(parser, Path("results/frame_saliency"))
    return parser


def work(args):
    model, info, device = opts.open_model(args)
    opts.check_target(args, info)
    if args.smooth > info.sample_size:
        raise ValueError(f"--smooth {args.smooth} is more than the {info.sample_size} pixels of a frame; give less")
    clips = opts.open_clips(args, info)
    plain, model = model, folded(model)
    with processes.held_by_first(sole_writer(args.result_path)):
        processes.by_first(keep_recipe, args.result_path, vars(args))
        centre = cache(lambda: training_flow(args, info))
        found = processes.spread(lambda clip: explained(args, model, info, device, clip, centre), clips)
        rows = {clip.name: row for clip, (row, _) in zip(clips, found, strict=True) if row is not None}
        kept = sum(before for _, before in found)
        if not rows:
            raise ValueError(f"none of the {len(clips)} clips could be read, see the warnings above")
        if not processes.first():
            return
        checks = check_sanity(args, plain, info, device, [clip for clip in clips if clip.name in rows])
        summarise_run(args, rows, checks)
        features = args.result_path.absolute().with_name("feature_saliency")
        page = write_report(args.result_path, features if features.is_dir() else None)
    print(f"{len(rows) - kept} clips explained, {kept} kept from before, {len(clips) - len(rows)} left out; "
          f"to look at: {page}")


def explained(args, model, info, device, clip, centre):
    """The figures of a clip, None where it cannot be read, and whether its results were there before."""
    folder = args.result_path / (clip.label or "video") / clip.name
    kept = (folder / "saliency.npz").is_file() and not args.overwrite
    if not kept:
        try:
            frames, masks = load(clip, info.sample_duration, info.sample_size)
        except (ValueError, OSError) as error:
            opts.warn(f"{clip.name} is left out: {error}")
            return None, False
        with whole_folder(folder) as temporary:
            explain_clip(args, model, info, device, clip, frames, masks, centre(), temporary)
    return summary.checked(read_json(folder / "metrics.json"), folder / "metrics.json"), kept


def training_flow(args, info):
    """Mean flow (H, W) of training clips, the centre map; None where there are none, as with --video."""
    if args.video or not args.annotation_path.is_file():
        return None
    return mean_flow(training_frames(
        args.annotation_path, args.video_path, CENTRE_CLIPS, info.sample_duration, info.sample_size
    ))  # fmt: skip


def chosen_methods(args):
    return list(dict.fromkeys(["gradient", args.method, *args.compare, *["tsr"] * args.tsr]))


def method_options(args, progress=None):
    """Keyword arguments of the methods that have options of their own."""
    return {
        "grad_cam": {"layer": args.layer},
        "tsr": {"patch": args.tsr_patch, "quantile": args.tsr_quantile, "fill": args.tsr_fill, "step": args.tsr_step,
                "tolerance": args.tsr_tolerance, "memory_gb": args.memory_gb, "progress": progress},
    }  # fmt: skip


def classify(args, model, info, device, clip, frames):
    """The clip as the model reads it, its probabilities, and the classes' names: predicted, and to be explained."""
    tensor = normalise(frames, info.mean, info.std).to(device)
    with torch.no_grad():
        probabilities = model(tensor[None])[0].softmax(0)
    predicted = info.classes[int(probabilities.argmax())]
    return tensor, probabilities, predicted, opts.choose_target(args, clip, predicted)


def explain_clip(args, model, info, device, clip, frames, masks, centre, folder):
    """Compute and write all there is of one clip into `folder`."""
    tensor, probabilities, predicted, target = classify(args, model, info, device, clip, frames)
    index = info.classes.index(target)
    with tqdm(unit="perturbation", leave=False, desc="TSR", disable=None if args.tsr else True) as progress:
        maps, arrays, facts = explain(
            model, tensor, index, chosen_methods(args), args.score, args.smooth, method_options(args, progress.update)
        )
    pictures, flow = grey(frames), optical_flow(grey(frames))
    np.savez_compressed(
        folder / "saliency.npz", frames=pictures, flow=flow, **maps, **arrays, **facts, clip=clip.name,
        label=clip.label or "", predicted=predicted, target=target, score=args.score,
        probability=float(probabilities[index]),
    )  # fmt: skip
    rows = measure(maps, pictures, flow, masks, centre, args.smooth, args.seed)
    if args.deletion:
        found = deletion_metrics(model, tensor, index, maps, args.tsr_patch, seed=args.seed)
        rows = {name: row | found.get(name, {}) for name, row in rows.items()}
    write_json(folder / "metrics.json", rows)
    title = f"{clip.name}: {clip.label or 'no label'}, predicted {predicted} ({probabilities.max():.2f})"
    tqdm.write(title)
    shown = "tsr" if args.tsr and args.tsr_step == "full" else args.method
    totals = maps[args.method].sum((1, 2))
    strip = time_strip(pictures, arrays.get("time_contribution"), totals, title)
    save_figure(strip, folder / f"time.{args.figure_format}")
    save_figure(frame_grid(pictures, maps[shown], flow, title, shown), folder / f"frames.{args.figure_format}")
    if info.model == "cnnlstm_cbam":
        attention = resize(spatial_attention(model, tensor).cpu().numpy(), info.sample_size)  # (T, H, W)
        grid = frame_grid(pictures, attention, flow, f"{clip.name}; middle: spatial attention of CBAM's last block",
                          f"attention, {attention.min():.3f} to {attention.max():.3f}")
        save_figure(grid, folder / f"attention.{args.figure_format}")
    if not args.no_overlay:
        write_video(folder / "overlay.mp4", overlay_frames(pictures, maps[shown], enlarge=2), fps=8)


def check_sanity(args, model, info, device, clips):
    """What saliency.sanity.check says of the first clips, of a model not folded; without --sanity, said before."""
    path = args.result_path / "metrics.json"
    if not args.sanity:
        before = read_json(path) if path.is_file() and not args.overwrite else {}
        return {name: before[name] for name in sanity.REPORT if isinstance(before, dict) and name in before}
    examples, clips = [], clips[:args.sanity_clips]
    for clip in clips:
        frames, _ = load(clip, info.sample_duration, info.sample_size)
        tensor, _, _, target = classify(args, model, info, device, clip, frames)
        examples.append(sanity.Example(tensor, info.classes.index(target), optical_flow(grey(frames))))
    total = len(examples) * (len(sanity.stages(model)) + 2 + args.sanity_draws)
    with tqdm(total=total, unit="clip", desc="sanity", disable=None) as progress:
        found = sanity.check(model, examples, chosen_methods(args), args.score, args.smooth, method_options(args),
                             args.sanity_draws, args.seed, progress.update)
    found["sanity"]["clips"] = [clip.name for clip in clips]
    return found


def summarise_run(args, rows, checks):
    """metrics.json, metrics.csv, pictures and printed tables over the clips {clip: {method: {metric: value}}}."""
    over_clips, folder = summary.over_clips(rows), args.result_path
    write_json(folder / "metrics.json", {"clips": rows, "summary": over_clips, **checks})
    with whole_file(folder / "metrics.csv") as path, path.open("w", newline="") as file:
        csv.writer(file).writerows([summary.CSV_HEADER, *summary.csv_rows(over_clips)])
    save_figure(summary.bars(over_clips), folder / f"methods.{args.figure_format}")
    print(summary.tables(over_clips))
    if args.sanity:
        for kind, name, title in (("correlations", "sanity", "over the whole clip"),
                                  ("within_frames", "sanity_within_frames", "within each frame, mean over frames")):
            curves = sanity_curves(checks["sanity"]["stages"], checks["sanity"][kind], title)
            save_figure(curves, folder / f"{name}.{args.figure_format}")
        print(summary.sanity_tables(checks))


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
