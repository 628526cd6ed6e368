"""Which features of the image network, at which time, a trained model's LSTM listened to.

    python3 feature_saliency.py --resume_path snapshots/run/best.pth --tsr --limit 3

Leaves results/feature_saliency/<class>/<clip>/ with saliency.npz, the heat map and the profile over time, and the
figures of the whole run in metrics.json. Run again to go on where it stopped.
"""

from functools import partial

import numpy as np
from tqdm import tqdm

import opts
from data.clips import load_frames
from data.files import write_json
from model import folding, processes
from saliency import figures, metrics, report, run, summary
from saliency.feature_tsr import feature_rescaling
from saliency.flow import grey, optical_flow
from saliency.methods import FEATURE_METHODS


def build_parser():
    parser = opts.parser_for_trained_model(
        "Saliency of the features that a trained model's LSTM reads.", "results/feature_saliency")
    opts.add_saliency_options(parser, FEATURE_METHODS, "features")
    return parser


def work(args):
    model, info = opts.open_model(args)
    clips = opts.open_clips(args, info)
    work_on, folder = partial(explain_clip, args, folding.folded(model), info), args.result_path
    with run.result_folder(folder, vars(args)):
        rows, counts = run.explain_clips(clips, info, load_frames, work_on, folder, args.overwrite, methods=False)
        if processes.first():
            summarise_run(args, rows)
            print(f"{counts}; in {folder}")


def explain_clip(args, model, info, clip, frames, folder):
    """Compute and write all there is of one clip into `folder`."""
    seen = run.predict(model, info, clip, frames, args.target)
    arrays = {"features": seen.features.cpu().numpy()}
    for method in dict.fromkeys(["gradient", args.method]):
        found = FEATURE_METHODS[method].attribute(model, seen.tensor, seen.target, args.score)  # (T, F)
        arrays[method] = found.cpu().numpy()
    if args.tsr:
        with tqdm(unit="perturbation", leave=False, desc="TSR", disable=None) as progress:
            result = feature_rescaling(model, seen.features, seen.target, **opts.tsr_options(args), score=args.score,
                                       progress=progress.update)
        arrays |= {"time_contribution": result.time_contribution.numpy(), "tsr": result.tsr.numpy()}
    np.savez_compressed(folder / "saliency.npz", **arrays, **seen.facts, score=args.score)
    relevance, flow_total = arrays[args.method], optical_flow(grey(frames)).sum((1, 2))
    write_json(folder / "metrics.json", metrics.profile_metrics(np.abs(relevance).sum(1), flow_total))
    name, contribution = args.method if args.method != "gradient" else "dS/df", arrays.get("time_contribution")
    drawn = {"features": figures.feature_heatmap(relevance, seen.title, contribution, name),
             "profile": figures.feature_profile(relevance, flow_total, seen.title, name)}
    if args.tsr:
        drawn["features_tsr"] = figures.feature_heatmap(arrays["tsr"], seen.title, contribution, "TSR")
    figures.save_figures(drawn, folder, args.figure_format)


def summarise_run(args, rows):
    """metrics.json, the page and a printed table over the clips {clip: {metric: value}}."""
    over_clips = metrics.summarise(list(rows.values()))
    write_json(args.result_path / "metrics.json", {"clips": rows, "summary": over_clips})
    frame_results = args.result_path.absolute().with_name("frame_saliency")
    if any(frame_results.glob("*/*/saliency.npz")):  # the same page shows both
        print(f"to look at: {report.write_report(frame_results, args.result_path)}")
    print(summary.tables({args.method: over_clips}))


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
