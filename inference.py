"""Classify clips of a data set, or a video file window by window, with a trained model.

    python3 inference.py --resume_path snapshots/run/best.pth --subset testing
    python3 inference.py --resume_path snapshots/run/best.pth --video walk.avi

Leaves results/inference/predictions.csv with one probability per class; for a data set also metrics.json and
confusion.png, for a video a copy with the class written on it.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import torch

import opts
from data.clips import fit, normalise, read_frames, resize
from data.files import sole_writer, whole_file, write_json
from data.recipe import keep_recipe
from data.video import cv2, write_video
from model import processes
from model.folding import folded
from saliency.figures import confusion_matrix, save_figure


def build_parser():
    parser = opts.Parser("Classify clips with a trained model.")
    opts.add_data_options(parser)
    opts.add_clip_options(parser, "testing")
    opts.add_model_options(parser)
    opts.add_device_options(parser)
    opts.add_result_options(parser, Path("results/inference"))
    return parser


def work(args):
    model, info, device = opts.open_model(args)
    clips = opts.open_clips(args, info)
    model = folded(model)
    with processes.held_by_first(sole_writer(args.result_path)):
        processes.by_first(keep_recipe, args.result_path, vars(args))
        found = processes.spread(lambda clip: classify(model, info, device, clip), clips)
        predictions = [(clip, values) for clip, values in zip(clips, found, strict=True) if values is not None]
        if not predictions:
            raise ValueError(f"none of the {len(clips)} clips could be read, see the warnings above")
        if not processes.first():
            return
        write_predictions(args.result_path / "predictions.csv", info.classes, predictions)
        if args.video:
            for path in args.video:
                annotate(path, info, [row for row in predictions if row[0].path == path], args.result_path)
        else:
            report(args.result_path, info.classes, predictions)
    print(f"{len(predictions)} clips classified, {len(clips) - len(predictions)} left out; in {args.result_path}")


@torch.no_grad()
def classify(model, info, device, clip):
    """The probabilities (classes,) of a clip, None where it cannot be read."""
    try:
        frames = resize(fit(read_frames(clip), info.sample_duration), info.sample_size)
    except (ValueError, OSError) as error:
        opts.warn(f"{clip.name} is left out: {error}")
        return None
    scores = model(normalise(frames, info.mean, info.std)[None].to(device))[0]
    if not torch.isfinite(scores).all():
        raise ValueError(f"{clip.name}: the model's scores are not finite; check its weights, train it again")
    return scores.softmax(0).cpu().numpy()


def write_predictions(path, classes, predictions):
    with whole_file(path) as temporary, temporary.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["clip", "label", "predicted", *classes])
        for clip, probabilities in predictions:
            predicted = classes[probabilities.argmax()]
            table.writerow([clip.name, clip.label or "", predicted, *map("{:.6f}".format, probabilities)])


def report(folder, classes, predictions):
    """Accuracy, per class and confusion: printed, metrics.json, confusion.png."""
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    for clip, probabilities in predictions:
        confusion[classes.index(clip.label), probabilities.argmax()] += 1
    totals = confusion.sum(1)
    per_class = {name: confusion[i, i] / totals[i] for i, name in enumerate(classes) if totals[i]}
    accuracy = confusion.trace() / confusion.sum()
    write_json(folder / "metrics.json", {
        "accuracy": float(accuracy), "per_class": {name: float(value) for name, value in per_class.items()},
        "confusion": confusion.tolist(), "classes": classes, "counts": dict(zip(classes, totals.tolist(), strict=True)),
    })
    save_figure(confusion_matrix(confusion, classes), folder / "confusion.png")
    print(f"accuracy {accuracy:.3f} ({confusion.trace()} of {confusion.sum()}); "
          + ", ".join(f"{name} {value:.3f}" for name, value in per_class.items()))


def annotate(path, info, predictions, folder):
    """Print the class of each window of a video and write a copy of it with the class on its frames."""
    if predictions:
        write_video(folder / f"{path.stem}_classified.mp4", written_on(path, info, predictions))


def written_on(path, info, predictions):
    """Yield the frames of the windows, twice as large and with the class on them."""
    end = 0  # of the window before; the last one may overlap it
    for clip, probabilities in predictions:
        name, probability = info.classes[probabilities.argmax()], probabilities.max()
        print(f"{path.name} frames {clip.first + 1}-{clip.first + clip.length}: {name} ({probability:.2f})")
        for frame in read_frames(clip)[max(end - clip.first, 0):]:
            frame = cv2.resize(frame, None, fx=2, fy=2)
            for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(frame, f"{name} {probability:.2f}", (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour,
                            thickness, cv2.LINE_AA)
            yield frame
        end = clip.first + clip.length


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
