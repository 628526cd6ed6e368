"""Classify clips of a data set, or a video file window by window, with a trained model.

    python3 inference.py --resume_path snapshots/run/best.pth --subset testing
    python3 inference.py --resume_path snapshots/run/best.pth --video walk.avi

Leaves results/inference/predictions.csv with one probability per class; for a data set also metrics.json and
confusion.png, for a video a copy with the class written on it.
"""

from functools import partial
from zlib import crc32

import opts

# isort: split
import cv2
import numpy as np

from data.checking import in_training
from data.clips import choose_clips, groups_of, labels_of, load_frames, read_frames
from data.datasets import DATASETS
from data.video import write_video
from data.video_files import video_files
from model.accuracy import accuracy_line, summarise_apart
from model.fast.folding import folded
from model.opening import open_model
from model.prediction import feature_cache, predict, reading
from runtime import processes
from runtime.clip_runs import map_clips, read_or_warn, result_folder
from runtime.device import choose_device
from runtime.errors import UserError
from runtime.files import read_json, write_csv, write_json
from runtime.names import readable
from runtime.sentences import counted
from saliency import charts
from saliency.figures import save_figures
from saliency.scores import hardly_decides
from saliency.when.order_test import order_figure, order_probabilities, order_sentences, summarise_orders

STRIP = 26  # height in pixels of the darkened strip on which the class is written


def build_parser():
    parser = opts.parser_for_trained_model("Classify clips with a trained model.", "results/inference")
    parser.add_argument("--order_test", action="store_true", help="does the model use time? Also classify each clip "
                        "reversed, shuffled, and with a single frame, and write order_test.png (docs/when.md)")
    return parser


def work(args):
    if args.order_test and args.video:
        raise UserError("--order_test compares accuracies, but the windows of --video have no labels; give a data set, "
                        "with the classes of its clips")
    device = choose_device(args.use_cuda, args.gpu, args.threads)
    args.video = video_files(args.video)
    labels = labels_of(args.annotation_path, args.video)
    model, info = open_model(args.resume_path, device, opts.model_facts(args), labels)
    clips = choose_clips(info.classes, info.sample_duration, **opts.clip_choice(args, info))
    read = partial(load_frames, **reading(info, args.duration == "full"))
    with result_folder(args.result_path, vars(args), info.config.get("weights")):
        model = folded(model)
        cache = feature_cache(args.feature_cache, model, info)
        predictions = map_clips(clips, partial(classify, model, info, read, cache, args.order_test))
        if processes.is_first():
            known = set() if args.video else in_training([clip for clip, _ in predictions], DATASETS[args.dataset],
                                                         info.training_groups, info.training_clips)
            write(args, info, [(clip, probabilities) for clip, (probabilities, _) in predictions], known)
            if args.order_test:
                write_order_test(args, info.classes, predictions, known)
    print(f"{counted(len(predictions), 'clip')} classified, {len(clips) - len(predictions)} left out; in "
          f"{args.result_path}")


def classify(model, info, read, cache, order_test, clip):
    """Return the probabilities (classes,) of a clip and those in other orders, if asked; None if it cannot be read."""
    frames = read_or_warn(read, clip)
    if frames is None:
        return None
    seen, seed = predict(model, info, frames, cache=cache), crc32(clip.name.encode(errors="surrogateescape"))
    return seen.probabilities, order_test and order_probabilities(model, seen.tensor, seen.features, seed)


def write(args, info, predictions, known):
    """Write all files, from [(clip, its probabilities)] and the names of the clips that training knows."""
    rows = [[clip.name, clip.label or "", info.classes[probabilities.argmax()], *map("{:.6f}".format, probabilities)]
            for clip, probabilities in predictions]  # fmt: skip
    write_csv(args.result_path / "predictions.csv", [["clip", "label", "predicted", *info.classes], *rows])
    if not args.video:
        write_metrics(args, info, predictions, known)
    for path in dict.fromkeys(clip.path for clip, _ in predictions if args.video):
        windows = [row for row in predictions if row[0].path == path]
        fps = windows[0][0].reader.frame_rate(path)
        write_video(args.result_path / f"{path.stem}_classified.mp4", written_on(path, info, windows), fps)


def write_metrics(args, info, predictions, known):
    """Print balanced accuracy, recalls and accuracy; write them, with the confusion, as metrics.json and a picture."""
    confusions = np.zeros((2, len(info.classes), len(info.classes)), dtype=int)  # of clips outside and inside training
    for clip, probabilities in predictions:
        confusions[int(clip.name in known), info.classes.index(clip.label), probabilities.argmax()] += 1
    summary = summarise_apart(confusions, info.classes, bool(info.training_groups))
    write_json(args.result_path / "metrics.json", summary)
    figure = charts.confusion_matrix(np.array(summary["confusion"]), info.classes)
    save_figures({"confusion": figure}, args.result_path, "png")
    print(f"{summary['about']}: {accuracy_line(summary)}")


def write_order_test(args, classes, predictions, known):
    """Print what the order of the frames does; add it to metrics.json, and draw order_test.png.

    Like the accuracy, it is about the clips that training does not know, if there are any.
    """
    new = [row for row in predictions if row[0].name not in known]
    about, predictions = ("", new) if new else (", all of them known from training", predictions)
    clips, rows = [clip for clip, _ in predictions], [orders for _, (_, orders) in predictions]
    groups = groups_of(clips, DATASETS[args.dataset])
    summary = summarise_orders(rows, [classes.index(clip.label) for clip in clips], classes,
                               [groups.get(clip.name, clip.name) for clip in clips])
    write_json(args.result_path / "metrics.json", read_json(args.result_path / "metrics.json") | {
        "order_test": summary})
    save_figures({"order_test": order_figure(summary)}, args.result_path, "png")
    print("\n".join(order_sentences(summary, about)))


def written_on(path, info, predictions):
    """Yield the frames of the windows, twice as large and with the class written on them."""
    end = 0  # of the window before; the last one may overlap it
    for clip, probabilities in predictions:
        name, probability = readable(info.classes[probabilities.argmax()]), probabilities.max()
        said = "; the model hardly decides" if hardly_decides(probabilities) else ""
        print(f"{readable(path.name)} frames {clip.shown[0]}-{clip.shown[1]}: {name}{said} ({probability:.2f})")
        for frame in read_frames(clip)[max(end - clip.first, 0):]:
            yield labelled(cv2.resize(frame, None, fx=2, fy=2), f"{name} {probability:.2f}")
        end = clip.first + clip.length


def labelled(frame, text):
    """Return a frame (H, W, 3) uint8 with white text on a darkened strip at its top.

    OpenCV 5 gives letters of another thickness another width, so an outline of thicker letters would not fit.
    """
    frame = frame.copy()
    frame[:STRIP] //= 4
    return cv2.putText(frame, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
