"""Which features of the image network, at which time, a trained model's LSTM listened to.

    python3 feature_saliency.py --resume_path snapshots/run/best.pth --tsr --limit 3

Leaves results/feature_saliency/<class>/<clip>/ with saliency.npz, the heat map and the profile over time, and the
figures of the whole run in metrics.json. Run again to go on where it stopped.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import opts
from data.clips import fit, normalise, read_frames, resize
from data.files import read_json, sole_writer, whole_folder, write_json
from data.recipe import keep_recipe
from model import processes
from model.folding import folded
from saliency.feature_tsr import feature_rescaling
from saliency.figures import feature_heatmap, feature_profile, save_figure
from saliency.flow import grey, optical_flow
from saliency.gradient import SCORES
from saliency.methods import FEATURE_METHODS
from saliency.metrics import format_table, profile_metrics, summarise
from saliency.report import write_report
from saliency.summary import checked
from saliency.tsr import FILLS


def build_parser():
    parser = opts.Parser("Saliency of the features that a trained model's LSTM reads.")
    opts.add_data_options(parser)
    opts.add_clip_options(parser, "testing")
    opts.add_model_options(parser)
    opts.add_target_options(parser, SCORES)
    maps = parser.add_argument_group("maps")
    lines = "; ".join(f"{name}: {method.line}" for name, method in FEATURE_METHODS.items())
    maps.add_argument("--method", choices=tuple(FEATURE_METHODS), default="gradient", help=lines)
    maps.add_argument("--figure_format", choices=("png", "pdf", "svg"), default="png")
    tsr = parser.add_argument_group("temporal saliency rescaling")
    tsr.add_argument("--tsr", action="store_true")
    tsr.add_argument("--tsr_quantile", type=opts.fraction, default=0.55, help="frames above it have features masked")
    tsr.add_argument("--tsr_fill", choices=tuple(FILLS), default="background", help="background: median over the clip")
    opts.add_device_options(parser)
    opts.add_result_options(parser, Path("results/feature_saliency"))
    return parser


def work(args):
    model, info, device = opts.open_model(args)
    opts.check_target(args, info)
    clips = opts.open_clips(args, info)
    model = folded(model)
    with processes.held_by_first(sole_writer(args.result_path)):
        processes.by_first(keep_recipe, args.result_path, vars(args))
        found = processes.spread(lambda clip: explained(args, model, info, device, clip), clips)
        rows = {clip.name: row for clip, (row, _) in zip(clips, found, strict=True) if row is not None}
        kept = sum(before for _, before in found)
        if not rows:
            raise ValueError(f"none of the {len(clips)} clips could be read, see the warnings above")
        if not processes.first():
            return
        summary = summarise(list(rows.values()))
        write_json(args.result_path / "metrics.json", {"clips": rows, "summary": summary})
    frame_results = args.result_path.absolute().with_name("frame_saliency")
    if any(frame_results.glob("*/*/saliency.npz")):  # the same page shows both
        print(f"to look at: {write_report(frame_results, args.result_path)}")
    print(format_table([{"metric": metric, **values} for metric, values in summary.items()],
                       ["metric", "mean", "low", "high", "n", "n_nan"]))
    print("mean over clips with its 95 % interval, clips drawn anew")
    print(f"{len(rows) - kept} clips explained, {kept} kept from before, {len(clips) - len(rows)} left out; "
          f"in {args.result_path}")


def explained(args, model, info, device, clip):
    """The figures of a clip, None where it cannot be read, and whether its results were there before."""
    folder = args.result_path / (clip.label or "video") / clip.name
    kept = (folder / "saliency.npz").is_file() and not args.overwrite
    if not kept:
        try:
            frames = resize(fit(read_frames(clip), info.sample_duration), info.sample_size)
        except (ValueError, OSError) as error:
            opts.warn(f"{clip.name} is left out: {error}")
            return None, False
        with whole_folder(folder) as temporary:
            explain_clip(args, model, info, device, clip, frames, temporary)
    return checked(read_json(folder / "metrics.json"), folder / "metrics.json", methods=False), kept


def explain_clip(args, model, info, device, clip, frames, folder):
    """Compute and write all there is of one clip into `folder`."""
    tensor = normalise(frames, info.mean, info.std).to(device)
    with torch.no_grad():
        features = model.encode(tensor[None])[0]  # (T, D)
        probabilities = model.classify(features[None])[0].softmax(0)
    predicted = info.classes[int(probabilities.argmax())]
    target = opts.choose_target(args, clip, predicted)
    index = info.classes.index(target)
    arrays = {"features": features.cpu().numpy()}
    for method in {"gradient", args.method}:
        arrays[method] = FEATURE_METHODS[method].attribute(model, tensor, index, args.score).cpu().numpy()
    relevance = arrays[args.method]
    if args.tsr:
        with tqdm(unit="perturbation", leave=False, desc="TSR", disable=None) as progress:
            result = feature_rescaling(model, features, index, quantile=args.tsr_quantile, fill=args.tsr_fill,
                                       score=args.score, progress=progress.update)
        arrays |= {"time_contribution": result.time_contribution.numpy(), "tsr": result.tsr.numpy()}
    np.savez_compressed(
        folder / "saliency.npz", **arrays, clip=clip.name, label=clip.label or "", predicted=predicted, target=target,
        score=args.score, probability=float(probabilities[index]),
    )  # fmt: skip
    flow_total = optical_flow(grey(frames)).sum((1, 2))
    write_json(folder / "metrics.json", profile_metrics(np.abs(relevance).sum(1), flow_total))
    title = f"{clip.name}: {clip.label or 'no label'}, predicted {predicted} ({probabilities.max():.2f})"
    name = args.method if args.method != "gradient" else "dS/df"
    pictures = {
        "features": feature_heatmap(relevance, title, arrays.get("time_contribution"), name),
        "profile": feature_profile(relevance, flow_total, title),
    }
    if args.tsr:
        pictures["features_tsr"] = feature_heatmap(arrays["tsr"], title, arrays["time_contribution"], "TSR")
    for name, figure in pictures.items():
        save_figure(figure, folder / f"{name}.{args.figure_format}")


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
