"""Which frames and which pixels of a clip a trained model looked at.

    python3 frame_saliency.py --resume_path snapshots/run/best.pth --tsr --limit 3

Leaves results/frame_saliency/<class>/<clip>/ with saliency.npz, pictures and overlay.mp4, and the figures of the whole run in
metrics.json and metrics.csv. Run again to go on where it stopped.
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
from saliency.explain import BASELINES, explain, measure
from saliency.figures import frame_grid, method_bars, overlay_frames, save_figure, time_strip
from saliency.flow import grey, optical_flow
from saliency.gradient import SCORES
from saliency.methods import METHODS
from saliency.metrics import format_table, summarise
from saliency.tsr import FILLS, STEPS

COLUMNS = ("auc_flow_frame", "cc_flow_frame", "nss_flow_frame", "time_spearman_flow", "last_quarter_share")
MASK_COLUMNS = ("auc_mask_frame", "mass_accuracy_mask_frame", "rank_accuracy_mask_frame", "mask_share_frame")
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
    maps.add_argument("--compare", choices=names, nargs="+", default=[], metavar="METHOD", help="further methods to measure")
    maps.add_argument("--smooth", type=opts.not_negative, default=0.0, metavar="SIGMA", help="blur of the maps in pixels")
    maps.add_argument("--figure_format", choices=("png", "pdf", "svg"), default="png")
    maps.add_argument("--no_overlay", action="store_true", help="no overlay.mp4, which takes seconds per clip")
    tsr = parser.add_argument_group("temporal saliency rescaling")
    tsr.add_argument("--tsr", action="store_true")
    tsr.add_argument("--tsr_patch", type=opts.positive_int, default=10, help="side of a patch in pixels")
    tsr.add_argument("--tsr_quantile", type=opts.fraction, default=0.55, help="frames above it have their patches masked")
    tsr.add_argument("--tsr_fill", choices=tuple(FILLS), default="background", help="what masked pixels become")
    tsr.add_argument("--tsr_step", choices=STEPS, default="full", help="time: frames only, no patches")
    tsr.add_argument("--tsr_tolerance", type=opts.not_negative, default=1e-3, help="error allowed, of the largest delta")
    tsr.add_argument("--memory_gb", type=opts.not_negative, default=None, help="for activations; default 2, GPU: 70%% of it")
    opts.add_device_options(parser)
    opts.add_result_options(parser, Path("results/frame_saliency"))
    return parser


def work(args):
    model, info, device = opts.open_model(args)
    clips = opts.open_clips(args, info)
    model = folded(model)
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
        summarise_run(args, rows)
    print(f"{len(rows) - kept} clips explained, {kept} kept from before, {len(skipped)} left out; in {args.result_path}")


def load(clip, info):
    """Frames (T, H, W, 3) uint8 and person masks (T, H, W) bool or None, as the model sees them."""
    masks = read_clip_masks(clip)
    frames = resize(fit(read_frames(clip), info.sample_duration), info.sample_size)
    return frames, None if masks is None else resize_masks(fit(masks, info.sample_duration), info.sample_size)


def training_flow(args, info):
    """Mean flow (H, W) of training clips, the centre map; None where there are none, as with --video."""
    if args.video or not args.annotation_path.is_file():
        return None
    try:
        _, clips, _ = find_clips(args.annotation_path, args.video_path, "training")
    except ValueError:
        return None
    chosen = clips[::max(1, len(clips) // CENTRE_CLIPS)]
    return np.mean([optical_flow(grey(load(clip, info)[0])).mean(0) for clip in chosen], axis=0)


def explain_clip(args, model, info, device, clip, frames, masks, mean_flow, folder):
    """Compute and write all there is of one clip into `folder`."""
    tensor = normalise(frames, info.mean, info.std).to(device)
    with torch.no_grad():
        probabilities = model(tensor[None])[0].softmax(0)
    predicted = info.classes[int(probabilities.argmax())]
    target = opts.choose_target(args, info, clip, predicted)
    tsr = {
        "patch": args.tsr_patch, "quantile": args.tsr_quantile, "fill": args.tsr_fill, "step": args.tsr_step,
        "tolerance": args.tsr_tolerance, "memory_gb": args.memory_gb,
    } if args.tsr else None  # fmt: skip
    methods = list(dict.fromkeys(["gradient", args.method, *args.compare]))
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
    write_json(folder / "metrics.json", measure(maps, pictures, flow, masks, mean_flow, args.smooth, args.seed))
    title = f"{clip.name}: {clip.label or 'no label'}, predicted {predicted} ({probabilities.max():.2f})"
    shown = "tsr" if args.tsr else args.method
    totals = maps[args.method].sum((1, 2))
    save_figure(time_strip(pictures, arrays.get("time_contribution"), totals, title), folder / f"time.{args.figure_format}")
    save_figure(frame_grid(pictures, maps[shown], flow, title, shown), folder / f"frames.{args.figure_format}")
    if not args.no_overlay:
        write_video(folder / "overlay.mp4", overlay_frames(pictures, maps[shown], enlarge=2), fps=8)


def summarise_run(args, rows):
    """metrics.json, metrics.csv and a printed table over the clips {clip: {method: {metric: value}}}."""
    methods = list(dict.fromkeys(method for row in rows.values() for method in row))
    summary = {method: summarise([row[method] for row in rows.values() if method in row]) for method in methods}
    write_json(args.result_path / "metrics.json", {"clips": rows, "summary": summary})
    with whole_file(args.result_path / "metrics.csv") as path, path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["method", "metric", "mean", "low", "high", "n", "n_nan"])
        for method, metrics in summary.items():
            table.writerows([method, metric, *values.values()] for metric, values in metrics.items())
    columns = [column for column in COLUMNS + MASK_COLUMNS if column in summary["random"]]
    print(format_table([{"method": method, **metrics} for method, metrics in summary.items()], ["method", *columns]))
    print("mean over clips [95 % interval, clips drawn anew]; " + ", ".join(BASELINES) + " are baselines")
    best = [summary[method]["auc_flow_frame"] for method in methods]
    bars = method_bars(methods, *([row[key] for row in best] for key in ("mean", "low", "high")), BASELINES,
                       "AUC against optical flow, mean over frames")
    save_figure(bars, args.result_path / f"methods.{args.figure_format}")


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
