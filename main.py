"""Train a CNN-LSTM on clips of actions.

    python3 main.py --backbone resnet18 --n_epochs 50 --batch_size 8

Leaves snapshots/<run>/{last.pth,best.pth,log.csv,curves.png,opts.json,metrics.json}. Run again to go on where it
stopped.
"""

import copy
import math
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import torch

import opts
from data.clips import IMAGENET_MEAN, IMAGENET_STD, ClipDataset, check_size, find_clips, has_subset
from data.files import sole_writer, write_json
from data.recipe import checked_recipe
from model import processes
from model.backbones import BACKBONES
from model.checkpoint import MODELS, ModelInfo, load_model, start_from
from model.training import Head, MirroredClips, evaluate, fit, keep_vectors, own_loader
from saliency import charts, figures, run

WRITTEN = ("last.pth", "best.pth", "epoch_*.pth", "log.csv", "curves.png", "metrics.json", "confusion_*.png")
CURVES_INTERVAL = 10  # seconds between two drawings of curves.png, each of which takes half of one


def build_parser():
    parser = opts.Parser("Train a CNN-LSTM to tell the classes of a data set of clips apart.")
    opts.add_data_options(parser)
    add = parser.add_argument_group("model").add_argument
    add("--model", choices=tuple(MODELS), default="cnnlstm",
        help="cnnlstm_attn: input-cell attention, cnnlstm_cbam: a ResNet with CBAM (needs --finetune)")
    add("--backbone", choices=BACKBONES, default="resnet18", metavar="NAME",
        help="torchvision network on each frame: resnet18, mobilenet_v2 ... (an unknown name lists all)")
    add("--backbone_weights", default="imagenet", metavar="imagenet|none|PATH", help="its start")
    add("--finetune", action="store_true",
        help="train the backbone too (much slower); without it the features are computed once and kept")
    add("--num_layers", type=opts.positive_int, default=1, help="layers of the LSTM")
    add("--hidden_size", type=opts.positive_int, default=256, help="units of each LSTM layer")
    add("--attention_rows", type=opts.positive_int, help="of cnnlstm_attn: ways of looking back, 20")
    add("--attention_size", type=opts.positive_int, help="of cnnlstm_attn: units that score them, 50")
    add("--dropout", type=opts.fraction, default=0.5, help="in the classifier")
    add("--pretrain_path", type=Path, metavar="PATH",
        help="start from the weights of a checkpoint; the last layer is new if its classes are others")
    add = parser.add_argument_group("training").add_argument
    add("--sample_size", type=opts.positive_int, default=150, help="side of the frames in pixels")
    add("--sample_duration", type=opts.positive_int, default=30, help="frames per clip")
    add("--batch_size", type=opts.positive_int, default=8, help="try lowering it if memory runs out")
    add("--n_epochs", type=opts.positive_int, default=50)
    add("--lr_rate", type=opts.not_negative, default=1e-4, help="Adam's learning rate")
    add("--weight_decay", type=opts.not_negative, default=1e-3)
    add("--save_interval", type=opts.positive_int, metavar="N", help="keep every Nth as epoch_N.pth")
    add("--log_interval", type=opts.positive_int, metavar="N", help="print the loss every N batches")
    add("--tensorboard", action="store_true", help="a log for TensorBoard, if that is installed")
    opts.add_normalisation_options(parser.add_argument_group(
        "preparation of pixels", "None of these given: ImageNet's mean and deviation. Otherwise, as in the original "
        "projects, --mean_dataset activitynet and --norm_value 1 unless given.").add_argument)
    opts.add_run_options(parser, None)
    return parser


def work(args):
    if args.tensorboard and not find_spec("tensorboard"):
        raise ValueError("--tensorboard was given, TensorBoard is not installed; leave it out or install tensorboard")
    device = opts.device(args)
    folder = args.result_path or Path("snapshots") / f"{args.dataset}_{args.model}_{args.backbone}"
    check_size(args.sample_duration, args.sample_size)
    mean, std = opts.normalisation(args) or (IMAGENET_MEAN, IMAGENET_STD)
    classes, datasets = load_subsets(args, mean, std)
    model = build_model(args, classes).to(device)
    check_backbone(model, args, len(datasets["training"]))
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
        history = fit(model, info, datasets["training"], datasets.get("validation"), folder, device=device,
                      log=run_log(folder, args.tensorboard) if processes.first() else len, workers=args.num_workers,
                      **{name: getattr(args, name) for name in names})
        processes.by_first(figures.save_figure, charts.training_curves(history), folder / "curves.png")
        report(args, folder, datasets, device)


def begin(folder, recipe, overwrite):
    for path in (path for name in WRITTEN for path in folder.glob(name) if overwrite):
        path.unlink()
    write_json(folder / "opts.json", recipe)


def build_model(args, classes):
    """The model to train: new, or with the weights of --pretrain_path."""
    if args.model == "cnnlstm_cbam" and not args.finetune:
        raise ValueError("--model cnnlstm_cbam has its attention in the backbone, which is frozen; give --finetune too")
    sizes = {name: vars(args)[name] for name in ("attention_rows", "attention_size") if vars(args)[name]}
    if sizes and args.model != "cnnlstm_attn":
        raise ValueError(f"--{min(sizes)} belongs to --model cnnlstm_attn, {args.model} has no such size; leave it out")
    torch.manual_seed(args.seed)
    weights = "none" if args.pretrain_path else args.backbone_weights
    model = MODELS[args.model](len(classes), args.backbone, weights, hidden_size=args.hidden_size,
                               num_layers=args.num_layers, dropout=args.dropout, **sizes)
    if args.pretrain_path:
        same = start_from(args.pretrain_path, model, classes)
        print(f"weights from {args.pretrain_path}" + ("" if same else ", a new last layer: its classes are others"))
    return model


def load_subsets(args, mean, std):
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
            raise ValueError(f"--n_classes {args.n_classes} was given, {args.annotation_path} has {len(classes)}: "
                             f"{', '.join(classes)}; leave the flag out")
        datasets[name] = ClipDataset(clips, classes, args.sample_size, args.sample_duration, mean, std)
        counts = ", ".join(f"{label} {sum(clip.label == label for clip in clips)}" for label in classes)
        print(f"{name}: {len(clips)} clips ({counts})")
    return classes, datasets


def check_backbone(model, args, n_clips):
    """Refuse frames that are too small for the backbone, and batches that are too small to train it."""
    size, smallest_batch = args.sample_size, n_clips % args.batch_size or args.batch_size
    n_frames = min(args.sample_duration * smallest_batch, 2)
    frames = torch.zeros(n_frames, 1, 3, size, size, device=next(model.parameters()).device)
    try:
        with torch.no_grad():
            copy.deepcopy(model).train(args.finetune).describe(frames)
    except RuntimeError as error:
        raise ValueError(f"--sample_size {size}: {args.backbone} cannot take frames of that size ({str(error)[:120]}); "
                         "give another") from error
    except ValueError as error:  # of batch norm
        raise ValueError(f"--finetune: a batch would hold a single frame ({n_clips} clips of one frame, in batches of "
                         f"{args.batch_size}), too few for batch norm; give another --batch_size or a longer "
                         "--sample_duration") from error


def run_log(folder, tensorboard):
    """A function of the rows so far, which keeps log.csv, now and then curves.png, and what TensorBoard reads."""
    seen, drawn = 0, -math.inf
    if tensorboard:
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(folder / "tensorboard", ignore_errors=True)  # all rows are written anew
        events = SummaryWriter(folder / "tensorboard")

    def log(history):
        nonlocal seen, drawn
        run.write_csv(folder / "log.csv", [list(history[0]), *(row.values() for row in history)])
        if time.monotonic() - drawn > CURVES_INTERVAL:
            figures.save_figure(charts.training_curves(history), folder / "curves.png")
            drawn = time.monotonic()
        for row in history[seen:] if tensorboard else ():
            for name, value in row.items():
                part, _, quantity = name.partition("_")  # train_loss
                if quantity:
                    events.add_scalar(f"{quantity}/{part}", value, row["epoch"])
            events.flush()
        seen = len(history)

    return log


def report(args, folder, datasets, device):
    """Accuracy and confusion of the best epoch's model on validation and testing, printed and kept."""
    model, info = load_model(folder / "best.pth", device)
    forward = model if args.finetune else Head(model)
    metrics = {"best_epoch": info.epoch}
    for name in (name for name in datasets if name != "training"):
        loader = own_loader(datasets[name], args.batch_size, args.num_workers)
        loss, accuracy, confusion = evaluate(forward, loader, device, len(info.classes))
        metrics[name] = {"loss": loss, "accuracy": accuracy, "confusion": confusion.tolist()}
        figure = charts.confusion_matrix(confusion.numpy(), info.classes)
        processes.by_first(figures.save_figure, figure, folder / f"confusion_{name}.png")
        print(f"{name}: accuracy {accuracy:.3f} ({confusion.trace()} of {confusion.sum()}), best epoch {info.epoch}")
    processes.by_first(write_json, folder / "metrics.json", metrics)
    print(f"model, curves and figures: {folder}")


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
