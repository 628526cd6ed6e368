"""Classify clips of a data set, or a video file window by window, with a trained model.

    python3 inference.py --resume_path snapshots/run/best.pth --subset testing
    python3 inference.py --resume_path snapshots/run/best.pth --video walk.avi

Leaves results/inference/predictions.csv with one probability per class; for a data set also metrics.json and
confusion.png, for a video a copy with the class written on it.
"""

from functools import partial

import numpy as np

import opts
from data.clips import load_frames, read_frames
from data.files import write_json
from data.video import cv2, write_video
from model import folding, processes
from saliency import charts, figures, run


def build_parser():
    return opts.parser_for_trained_model("Classify clips with a trained model.", "results/inference")


def work(args):
    model, info = opts.open_model(args)
    clips = opts.open_clips(args, info)
    with run.result_folder(args.result_path, vars(args)):
        predictions = run.over_clips(clips, partial(classify, folding.folded(model), info))
        if processes.first():
            write(args, info, predictions)
    print(f"{len(predictions)} clips classified, {len(clips) - len(predictions)} left out; in {args.result_path}")


def classify(model, info, clip):
    """The probabilities (classes,) of a clip, None where it cannot be read."""
    frames = run.read(clip, info, load_frames)
    return None if frames is None else run.predict(model, info, clip, frames).probabilities


def write(args, info, predictions):
    """All files, from [(clip, its probabilities)]."""
    rows = [[clip.name, clip.label or "", info.classes[probabilities.argmax()], *map("{:.6f}".format, probabilities)]
            for clip, probabilities in predictions]  # fmt: skip
    run.write_csv(args.result_path / "predictions.csv", [["clip", "label", "predicted", *info.classes], *rows])
    if not args.video:
        report(args.result_path, info.classes, predictions)
    for path in dict.fromkeys(clip.path for clip, _ in predictions if args.video):
        windows = [row for row in predictions if row[0].path == path]
        write_video(args.result_path / f"{path.stem}_classified.mp4", written_on(path, info, windows))


def report(folder, classes, predictions):
    """Accuracy, per class and confusion: printed, metrics.json, confusion.png."""
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    for clip, probabilities in predictions:
        confusion[classes.index(clip.label), probabilities.argmax()] += 1
    counts = dict(zip(classes, confusion.sum(1).tolist(), strict=True))
    per_class = {name: float(confusion[i, i] / counts[name]) for i, name in enumerate(classes) if counts[name]}
    accuracy = float(confusion.trace() / confusion.sum())
    write_json(folder / "metrics.json", {"accuracy": accuracy, "per_class": per_class, "confusion": confusion.tolist(),
                                         "classes": classes, "counts": counts})
    figures.save_figure(charts.confusion_matrix(confusion, classes), folder / "confusion.png")
    print(f"accuracy {accuracy:.3f} ({confusion.trace()} of {confusion.sum()}); "
          + ", ".join(f"{name} {value:.3f}" for name, value in per_class.items()))


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
    raise SystemExit(main())
