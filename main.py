"""Train a CNN-LSTM on clips of actions.

    python3 main.py --backbone resnet18 --n_epochs 50 --batch_size 8

Leaves snapshots/<run>/{last.pth,best.pth,log.csv,curves.png,opts.json,metrics.json}. Run again to go on where it
stopped.
"""

import csv
import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader

import opts
from data.clips import IMAGENET_MEAN, IMAGENET_STD, ClipDataset, check_size, find_clips, has_subset
from data.files import sole_writer, whole_file, write_json
from model.backbones import BACKBONES
from model.checkpoint import MODELS, ModelInfo, load_model
from model.training import MirroredClips, evaluate, fit, keep_vectors
from saliency.figures import confusion_matrix, save_figure, training_curves

WRITTEN = ("last.pth", "best.pth", "log.csv", "curves.png", "metrics.json", "confusion_validation.png",
           "confusion_testing.png")


def build_parser():
    parser = opts.Parser("Train a CNN-LSTM to tell the classes of a data set of clips apart.")
    opts.add_data_options(parser)
    model = parser.add_argument_group("model")
    model.add_argument("--model", choices=tuple(MODELS), default="cnnlstm")
    model.add_argument("--backbone", choices=BACKBONES, default="resnet18", metavar="NAME",
                       help="torchvision network on each frame: resnet18, mobilenet_v2 ... (an unknown name lists all)")
    model.add_argument("--backbone_weights", default="imagenet", metavar="imagenet|none|PATH", help="its start")
    model.add_argument("--finetune", action="store_true",
                       help="train the backbone too (much slower); without it the features are computed once and kept")
    model.add_argument("--num_layers", type=opts.positive_int, default=1, help="layers of the LSTM")
    model.add_argument("--hidden_size", type=opts.positive_int, default=256, help="units of each LSTM layer")
    model.add_argument("--dropout", type=opts.fraction, default=0.5, help="in the classifier")
    training = parser.add_argument_group("training")
    training.add_argument("--sample_size", type=opts.positive_int, default=150, help="side of the frames in pixels")
    training.add_argument("--sample_duration", type=opts.positive_int, default=30, help="frames per clip")
    training.add_argument("--batch_size", type=opts.positive_int, default=8, help="try lowering it if memory runs out")
    training.add_argument("--n_epochs", type=opts.positive_int, default=50)
    training.add_argument("--lr_rate", type=opts.not_negative, default=1e-4, help="Adam's learning rate")
    training.add_argument("--weight_decay", type=opts.not_negative, default=1e-3)
    opts.add_device_options(parser)
    opts.add_result_options(parser, None)
    return parser


def work(args):
    device = opts.device(args)
    folder = args.result_path or Path("snapshots") / f"{args.dataset}_{args.model}_{args.backbone}"
    check_size(args.sample_duration, args.sample_size)
    classes, datasets = load_subsets(args)
    torch.manual_seed(args.seed)
    model = MODELS[args.model](
        len(classes), args.backbone, args.backbone_weights, hidden_size=args.hidden_size, num_layers=args.num_layers,
        dropout=args.dropout,
    ).to(device)
    check_backbone(model, args)
    prepared = args.sample_size, args.sample_duration, IMAGENET_MEAN, IMAGENET_STD
    info = ModelInfo(args.model, model.config, classes, *prepared)
    with sole_writer(folder):
        if not args.overwrite:
            opts.check_same_recipe(folder / "opts.json", args)
        if args.finetune:
            datasets["training"] = MirroredClips(datasets["training"])
        else:
            datasets = {name: keep_vectors(model, dataset, device, name == "training", args.num_workers, name)
                        for name, dataset in datasets.items()}
        if args.overwrite:
            for name in WRITTEN:
                (folder / name).unlink(missing_ok=True)
        write_json(folder / "opts.json", opts.recipe(args))
        history = fit(
            model, info, datasets["training"], datasets.get("validation"), folder, finetune=args.finetune,
            n_epochs=args.n_epochs, batch_size=args.batch_size, lr_rate=args.lr_rate, weight_decay=args.weight_decay,
            seed=args.seed, device=device, workers=args.num_workers,
        )
        write_log(folder, history)
        report(args, folder, datasets, device)


def load_subsets(args):
    """The class names, and a data set for each subset that has clips."""
    datasets = {}
    for name in ("training", "validation", "testing"):
        if name != "training" and not has_subset(args.annotation_path, name):
            print(f"{name}: the annotation lists no clip" + ", the last epoch is kept" * (name == "validation"))
            continue
        classes, clips, problems = find_clips(args.annotation_path, args.video_path, name)
        for problem in problems:
            opts.warn(f"{name}: {problem}")
        if args.n_classes not in (None, len(classes)):
            raise ValueError(
                f"--n_classes {args.n_classes} was given, {args.annotation_path} has {len(classes)}: "
                f"{', '.join(classes)}; leave the flag out"
            )
        datasets[name] = ClipDataset(
            clips, classes, args.sample_size, args.sample_duration, IMAGENET_MEAN, IMAGENET_STD
        )
        counts = ", ".join(f"{label} {sum(clip.label == label for clip in clips)}" for label in classes)
        print(f"{name}: {len(clips)} clips ({counts})")
    return classes, datasets


def check_backbone(model, args):
    """Refuse frames that are too small for the backbone."""
    size = args.sample_size
    try:
        with torch.no_grad():
            model.eval().describe(torch.zeros(1, 1, 3, size, size, device=next(model.parameters()).device))
    except RuntimeError as error:
        raise ValueError(
            f"--sample_size {size}: {args.backbone} cannot take frames of that size ({str(error)[:120]}); give another"
        ) from error


def write_log(folder, history):
    with whole_file(folder / "log.csv") as path, path.open("w", newline="") as file:
        rows = csv.DictWriter(file, history[0])
        rows.writeheader()
        rows.writerows(history)
    save_figure(training_curves(history), folder / "curves.png")


def report(args, folder, datasets, device):
    """Accuracy and confusion of the best epoch's model on validation and testing, printed and kept."""
    model, info = load_model(folder / "best.pth", device)
    forward = model if args.finetune else lambda vectors: model.classify(model.project(vectors))
    metrics = {"best_epoch": info.epoch}
    for name in (name for name in datasets if name != "training"):
        loader = DataLoader(datasets[name], args.batch_size, num_workers=args.num_workers)
        loss, accuracy, confusion = evaluate(forward, loader, device, len(info.classes))
        metrics[name] = {"loss": loss, "accuracy": accuracy, "confusion": confusion.tolist()}
        save_figure(confusion_matrix(confusion.numpy(), info.classes), folder / f"confusion_{name}.png")
        print(f"{name}: accuracy {accuracy:.3f} ({confusion.trace()} of {confusion.sum()}), best epoch {info.epoch}")
    write_json(folder / "metrics.json", metrics)
    print(f"model, curves and figures: {folder}")


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
