"""Which frames and which pixels of a clip a trained model looked at.

    python3 frame_saliency.py --resume_path snapshots/run/best.pth --tsr --limit 3

Leaves results/frame_saliency/<class>/<clip>/ with saliency.npz, pictures and overlay.mp4, and the figures of the whole
run in metrics.json and metrics.csv. Run again to go on where it stopped.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import opts
from data.clips import find_clips, fit, normalise, read_clip_masks, read_frames, resize, resize_masks
from data.files import read_json, sole_writer, whole_file, whole_folder, write_json
from data.video import write_video
from model.folding import folded
from saliency import sanity, summary
from saliency.deletion import deletion_metrics
from saliency.explain import explain, measure
from saliency.figures import frame_grid, overlay_frames, sanity_curves, save_figure, time_strip
from saliency.flow import grey, optical_flow
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
    with sole_writer(args.result_path):
        if not args.overwrite:
            opts.check_same_recipe(args.result_path / "opts.json", args)
        write_json(args.result_path / "opts.json", opts.recipe(args))
        mean_flow = training_flow(args, info)
        rows, skipped, kept = {}, [], 0
        for clip in tqdm(clips, unit="clip", disable=None):
            folder = args.result_path / (clip.label or "video") / clip.name
            if (folder / "saliency.npz").is_file() and not args.overwrite:
                kept += 1
            else:
                try:
                    frames, masks = load(clip, info)
                except (ValueError, OSError) as error:
                    skipped.append(clip.name)
                    opts.warn(f"{clip.name} is left out: {error}")
                    continue
                with whole_folder(folder) as temporary:
                    explain_clip(args, model, info, device, clip, frames, masks, mean_flow, temporary)
            rows[clip.name] = read_json(folder / "metrics.json")
        if not rows:
            raise ValueError(f"none of the {len(clips)} clips could be read, see the warnings above")
        checks = check_sanity(args, plain, info, device, [clip for clip in clips if clip.name in rows])
        summarise_run(args, rows, checks)
        features = args.result_path.absolute().with_name("feature_saliency")
        page = write_report(args.result_path, features if features.is_dir() else None)
    print(f"{len(rows) - kept} clips explained, {kept} kept from before, {len(skipped)} left out; "
          f"to look at: {page}")


def load(clip, info):
    """Frames (T, H, W, 3) uint8 and person masks (T, H, W) bool or None, as the model sees them."""
    frames, masks = read_frames(clip), read_clip_masks(clip)
    if masks is not None and len(masks) != len(frames):
        raise ValueError(f"{clip.path} has {len(frames)} frames and masks for {len(masks)}; extract the clip again")
    frames = resize(fit(frames, info.sample_duration), info.sample_size)
    return frames, None if masks is None else resize_masks(fit(masks, info.sample_duration), info.sample_size)


def training_flow(args, info):
    """Mean flow (H, W) of training clips, the centre map; None where there are none, as with --video."""
    if args.video or not args.annotation_path.is_file():
        return None
    try:
        _, clips, _ = find_clips(args.annotation_path, args.video_path, "training")
    except ValueError:
        return None
    flows = []
    for clip in clips[::max(1, len(clips) // CENTRE_CLIPS)]:
        try:
            flows.append(optical_flow(grey(load(clip, info)[0])).sum(0) / info.sample_duration)
        except (ValueError, OSError) as error:
            opts.warn(f"training clip {clip.name} is left out of the centre map: {error}")
    return np.mean(flows, axis=0) if flows else None


def chosen_methods(args):
    return list(dict.fromkeys(["gradient", args.method, *args.compare]))


def tsr_options(args):
    """Keyword arguments of temporal_saliency_rescaling, None without --tsr."""
    return {
        "patch": args.tsr_patch, "quantile": args.tsr_quantile, "fill": args.tsr_fill, "step": args.tsr_step,
        "tolerance": args.tsr_tolerance, "memory_gb": args.memory_gb,
    } if args.tsr else None  # fmt: skip


def explain_clip(args, model, info, device, clip, frames, masks, mean_flow, folder):
    """Compute and write all there is of one clip into `folder`."""
    tensor = normalise(frames, info.mean, info.std).to(device)
    with torch.no_grad():
        probabilities = model(tensor[None])[0].softmax(0)
    predicted = info.classes[int(probabilities.argmax())]
    target = opts.choose_target(args, clip, predicted)
    tsr, methods = tsr_options(args), chosen_methods(args)
    with tqdm(unit="perturbation", leave=False, desc="TSR", disable=None if tsr else True) as progress:
        maps, arrays, facts = explain(
            model, tensor, info.classes.index(target), methods, args.score, args.smooth, tsr, progress.update
        )
    pictures, flow = grey(frames), optical_flow(grey(frames))
    np.savez_compressed(
        folder / "saliency.npz", frames=pictures, flow=flow, **maps, **arrays, **facts, clip=clip.name,
        label=clip.label or "", predicted=predicted, target=target, score=args.score,
        probability=float(probabilities[info.classes.index(target)]),
    )  # fmt: skip
    rows = measure(maps, pictures, flow, masks, mean_flow, args.smooth, args.seed)
    if args.deletion:
        found = deletion_metrics(model, tensor, info.classes.index(target), maps, args.tsr_patch, seed=args.seed)
        rows = {name: row | found.get(name, {}) for name, row in rows.items()}
    write_json(folder / "metrics.json", rows)
    title = f"{clip.name}: {clip.label or 'no label'}, predicted {predicted} ({probabilities.max():.2f})"
    shown = "tsr" if args.tsr and args.tsr_step == "full" else args.method
    totals = maps[args.method].sum((1, 2))
    strip = time_strip(pictures, arrays.get("time_contribution"), totals, title)
    save_figure(strip, folder / f"time.{args.figure_format}")
    save_figure(frame_grid(pictures, maps[shown], flow, title, shown), folder / f"frames.{args.figure_format}")
    if not args.no_overlay:
        write_video(folder / "overlay.mp4", overlay_frames(pictures, maps[shown], enlarge=2), fps=8)


def check_sanity(args, model, info, device, clips):
    """What saliency.sanity.check says of the first clips, of a model not folded; without --sanity, said before."""
    path = args.result_path / "metrics.json"
    if not args.sanity:
        before = read_json(path) if path.is_file() and not args.overwrite else {}
        return {name: before[name] for name in sanity.REPORT if name in before}
    examples, clips = [], clips[:args.sanity_clips]
    for clip in clips:
        frames, _ = load(clip, info)
        tensor = normalise(frames, info.mean, info.std).to(device)
        with torch.no_grad():
            predicted = info.classes[int(model(tensor[None])[0].argmax())]
        target = info.classes.index(opts.choose_target(args, clip, predicted))
        examples.append(sanity.Example(tensor, target, optical_flow(grey(frames))))
    total = len(examples) * (len(sanity.stages(model)) + 2 + args.sanity_draws)
    with tqdm(total=total, unit="clip", desc="sanity", disable=None) as progress:
        found = sanity.check(model, examples, chosen_methods(args), args.score, args.smooth, tsr_options(args),
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
        curves = sanity_curves(checks["sanity"]["stages"], checks["sanity"]["correlations"])
        save_figure(curves, folder / f"sanity.{args.figure_format}")
        print(summary.sanity_tables(checks))


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
