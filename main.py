"""Train a CNN-LSTM on clips of actions.

    python3 main.py --backbone resnet18 --n_epochs 50 --batch_size 8

Leaves snapshots/<run>/{last.pth,best.pth,log.csv,curves.png,opts.json,metrics.json}. Run again to go on where it
stopped.
"""

from pathlib import Path

import opts
from model.heads import HEADS
from model.registry import DEFAULT_MODEL, MODELS


def build_parser():
    parser = opts.Parser("Train a CNN-LSTM to tell the classes of a data set of clips apart.")
    opts.add_data_options(parser)
    group = parser.add_argument_group("model")
    add, kinds = group.add_argument, "; ".join(f"{name}: {kind.line}" for name, kind in MODELS.items())
    add("--model", choices=tuple(MODELS), default=DEFAULT_MODEL, help=f"kind of model. {kinds}")
    add("--backbone", default="resnet18", metavar="NAME",
        help="torchvision network that reads each frame, such as resnet18 or mobilenet_v2; a wrong name lists all")
    add("--backbone_weights", default="imagenet", metavar="imagenet|none|PATH",
        help="initial weights of the backbone: torchvision's download, random, or a file of yours")
    add("--finetune", action="store_true",
        help="train the backbone too, which is much slower; by default it is frozen and its features are computed once")
    add("--num_layers", type=opts.positive_int, default=1, help="layers of the LSTM")
    add("--hidden_size", type=opts.positive_int, default=256, help="units of each LSTM layer")
    add("--dropout", type=opts.fraction, default=0.5, help="share of units dropped in the classifier")
    for name, head in HEADS.items():
        opts.add_declared(group, [option._replace(default=None, help=f"{option.help} (head {name}, "
                                                  f"default {option.default})") for option in head.options])
    add("--pretrain_path", type=Path, metavar="PATH",
        help="start from the weights of this checkpoint; the last layer is new if its classes are others")
    add = parser.add_argument_group("training").add_argument
    add("--sample_size", type=opts.positive_int, default=150, help="side of the frames in pixels")
    add("--sample_duration", type=opts.positive_int, default=30, help="frames per clip")
    add("--batch_size", type=opts.positive_int, default=8, help="clips per step; try a smaller one if memory runs out")
    add("--n_epochs", type=opts.positive_int, default=50,
        help="passes over the training clips in all; a larger number continues a finished run")
    add("--lr_rate", type=opts.not_negative, default=1e-4, help="Adam's learning rate")
    add("--weight_decay", type=opts.not_negative, default=1e-3, help="Adam's L2 penalty on the weights")
    add("--save_interval", type=opts.positive_int, metavar="N", help="also keep every Nth epoch as epoch_N.pth")
    add("--log_interval", type=opts.positive_int, metavar="N", help="print the loss every N batches")
    add("--tensorboard", action="store_true", help="write a log for TensorBoard, which must be installed")
    opts.add_normalisation_options(parser.add_argument_group(
        "normalisation of pixels", "Without these flags, ImageNet's mean and deviation. With one of them, the original "
        "projects' rule, whose defaults are --mean_dataset activitynet and --norm_value 1."))
    opts.add_run_options(parser, None)
    return parser


if __name__ == "__main__":
    opts.parse_early(build_parser())

import math
import shutil
import time
from functools import partial
from importlib.util import find_spec

import torch

from data.clips import ClipDataset, find_clips, has_subset
from model.checkpoint import ModelInfo, load_model, start_from
from model.cnn_lstm import build_model
from model.normalisation import NORMALISATION, normalisation
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, check_size, normalise
from model.training import AfterBackbone, MirroredClips, check_frames, evaluate, keep_vectors, own_loader, train
from runtime import processes
from runtime.device import choose_device
from runtime.files import sole_writer, write_csv, write_json
from runtime.recipe import checked_recipe
from saliency import charts
from saliency.result import save_figure

WRITTEN = ("last.pth", "best.pth", "epoch_*.pth", "log.csv", "curves.png", "metrics.json", "confusion_*.png")
CURVES_INTERVAL = 10  # seconds between two drawings of curves.png, each of which takes half a second


def work(args):
    if args.tensorboard and not find_spec("tensorboard"):
        raise ValueError("--tensorboard was given, TensorBoard is not installed; leave it out or install tensorboard")
    device = choose_device(args.use_cuda, args.gpu)
    folder = args.result_path or Path("snapshots") / f"{args.dataset}_{args.model}_{args.backbone}"
    check_size(args.sample_duration, args.sample_size)
    asked = opts.given(args, NORMALISATION)
    mean, std = normalisation(**asked) if asked else (IMAGENET_MEAN, IMAGENET_STD)
    classes, datasets = load_subsets(args, mean, std)
    model = new_model(args, classes).to(device)
    check_frames(model, args.sample_size, args.sample_duration, args.finetune, len(datasets["training"]),
                 args.batch_size)
    info = ModelInfo(args.model, model.config, classes, args.sample_size, args.sample_duration, mean, std)
    with processes.held_by_first(sole_writer(folder)):
        recipe = checked_recipe(folder, vars(args))
        if args.finetune:
            datasets["training"] = MirroredClips(datasets["training"])
        else:
            datasets = {name: keep_vectors(model, dataset, device, name == "training", args.num_workers, name)
                        for name, dataset in datasets.items()}
        processes.by_first(begin, folder, recipe, args.overwrite)
        names = "finetune", "n_epochs", "batch_size", "lr_rate", "weight_decay", "seed", "save_interval", "log_interval"
        history = train(model, info, datasets["training"], datasets.get("validation"), folder, device=device,
                        log=run_log(folder, args.tensorboard) if processes.first() else None, workers=args.num_workers,
                        **{name: getattr(args, name) for name in names})
        processes.by_first(save_figure, charts.training_curves(history), folder / "curves.png")
        write_accuracy(args, folder, datasets, device)


def begin(folder, recipe, overwrite):
    """Write the recipe of the run; with `overwrite` remove what an earlier run left."""
    for path in (path for name in WRITTEN for path in folder.glob(name) if overwrite):
        path.unlink()
    write_json(folder / "opts.json", recipe)


def new_model(args, classes):
    """Return the model to train: new, or with the weights of --pretrain_path."""
    if args.model == "cnnlstm_cbam" and not args.finetune:
        raise ValueError("--model cnnlstm_cbam has its attention in the backbone, which is frozen; give --finetune too")
    own = [option.name for option in MODELS[args.model].options]
    sizes = opts.given(args, [option.name for head in HEADS.values() for option in head.options])
    foreign = sorted(sizes.keys() - own)
    if foreign:
        kinds = " or ".join(name for name, kind in MODELS.items()
                            if foreign[0] in [option.name for option in kind.options])
        raise ValueError(f"--{foreign[0]} belongs to --model {kinds}, {args.model} has no such size; leave it out")
    torch.manual_seed(args.seed)
    weights = "none" if args.pretrain_path else args.backbone_weights
    model = build_model(args.model, len(classes), args.backbone, weights, hidden_size=args.hidden_size,
                        num_layers=args.num_layers, dropout=args.dropout, **sizes)
    if args.pretrain_path:
        same = start_from(args.pretrain_path, model, classes)
        print(f"weights from {args.pretrain_path}" + ("" if same else ", with a new last layer for other classes"))
    return model


def load_subsets(args, mean, std):
    """Return the class names, and a data set for each subset that has clips."""
    datasets = {}
    for name in ("training", "validation", "testing"):
        if name != "training" and not has_subset(args.annotation_path, name):
            kept = ", so the last epoch is kept as the best" if name == "validation" else ""
            print(f"{name}: the annotation lists no clip{kept}")
            continue
        classes, clips, problems = find_clips(args.annotation_path, args.video_path, name)
        for problem in problems:
            opts.warn(f"{name}: {problem}")
        if args.n_classes not in (None, len(classes)):
            raise ValueError(f"--n_classes {args.n_classes} was given, {args.annotation_path} has {len(classes)}: "
                             f"{', '.join(classes)}; leave the flag out")
        datasets[name] = ClipDataset(clips, classes, args.sample_size, args.sample_duration,
                                     partial(normalise, mean=mean, std=std))
        counts = ", ".join(f"{label} {sum(clip.label == label for clip in clips)}" for label in classes)
        print(f"{name}: {len(clips)} clips ({counts})")
    return classes, datasets


def run_log(folder, tensorboard):
    """Return a function of the rows so far that writes log.csv, now and then curves.png, and TensorBoard's log."""
    seen, drawn = 0, -math.inf
    if tensorboard:
        from torch.utils.tensorboard import SummaryWriter  # an optional package

        shutil.rmtree(folder / "tensorboard", ignore_errors=True)  # all rows are written anew
        events = SummaryWriter(folder / "tensorboard")

    def log(history):
        nonlocal seen, drawn
        write_csv(folder / "log.csv", [list(history[0]), *(row.values() for row in history)])
        if time.monotonic() - drawn > CURVES_INTERVAL:
            save_figure(charts.training_curves(history), folder / "curves.png")
            drawn = time.monotonic()
        for row in history[seen:] if tensorboard else ():
            for name, value in row.items():
                part, _, quantity = name.partition("_")  # train_loss
                if quantity:
                    events.add_scalar(f"{quantity}/{part}", value, row["epoch"])
            events.flush()
        seen = len(history)

    return log


def write_accuracy(args, folder, datasets, device):
    """Print and write accuracy and confusion of the best epoch's model on validation and testing."""
    model, info = load_model(folder / "best.pth", device)
    forward = model if args.finetune else AfterBackbone(model)
    metrics = {"best_epoch": info.epoch}
    for name in (name for name in datasets if name != "training"):
        loader = own_loader(datasets[name], args.batch_size, args.num_workers)
        loss, accuracy, confusion = evaluate(forward, loader, device, len(info.classes))
        metrics[name] = {"loss": loss, "accuracy": accuracy, "confusion": confusion.tolist()}
        figure = charts.confusion_matrix(confusion.numpy(), info.classes)
        processes.by_first(save_figure, figure, folder / f"confusion_{name}.png")
        print(f"{name}: accuracy {accuracy:.3f} ({confusion.trace()} of {confusion.sum()}), best epoch {info.epoch}")
    processes.by_first(write_json, folder / "metrics.json", metrics)
    print(f"model, curves and figures: {folder}")


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
