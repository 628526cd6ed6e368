"""Train a CNN-LSTM on clips of actions.

    python3 main.py --backbone resnet18 --n_epochs 50 --batch_size 8

Leaves snapshots/<run>/{last.pth,best.pth,log.csv,curves.png,opts.json,metrics.json}. The same command goes on later.
"""

from functools import partial
from pathlib import Path

import opts

# isort: split
import torch

from data.annotation import read_annotation
from data.checking import check_data_set
from data.clips import find_clips, is_grey, short_clips
from data.datasets import DATASETS
from data.training_clips import ClipDataset, find_empty, find_training_extra
from model.accuracy import accuracy_line, summarise_confusion
from model.backbones import check_frame_size
from model.batches import own_loader
from model.checkpoint import ModelInfo, load_model, normalisation_of, start_from, with_training_of
from model.cnn_lstm import MODELS, build_model, choose_head
from model.feature_cache import FeatureCache
from model.heads import HEADS
from model.normalisation import NORMALISATION, normalisation
from model.preprocessing import check_size, normalise
from model.training import check_frames, evaluate, mean_probabilities, train
from model.training_windows import TrainingWindows
from model.vectors import (
    AfterBackbone,
    ClipSource,
    MirroredClips,
    VectorSource,
    describe_clips,
    keep_vectors,
    with_background,
)
from runtime import processes
from runtime.declare import told_defaults, values_of
from runtime.device import choose_device
from runtime.errors import UserError
from runtime.files import sole_writer, write_json
from runtime.recipe import checked_recipe
from runtime.training_log import TrainingLog, check_tensorboard
from saliency import charts
from saliency.figures import save_figure

WRITTEN = ("last.pth", "best.pth", "epoch_*.pth", "log.csv", "curves.png", "metrics.json", "confusion_*.png")


def build_parser():
    parser = opts.Parser("Train a CNN-LSTM to tell the classes of a data set of clips apart.")
    opts.add_data_options(parser)
    group = parser.add_argument_group("model")
    add, kinds = group.add_argument, "; ".join(f"{name}: {kind.line}" for name, kind in MODELS.items())
    add("--model", choices=tuple(MODELS), default="cnnlstm", help=f"kind of model. {kinds}")
    heads = "; ".join(f"{name}: {head.line}" for name, head in HEADS.items())
    layers = {name: head.num_layers for name, head in HEADS.items()}
    add("--head", choices=tuple(HEADS),
        help=f"what reads the features of the frames. {heads} (default: {MODELS['cnnlstm'].head}, for the other kinds "
             "of models their own)")
    add("--backbone", default="resnet18", metavar="NAME",
        help="torchvision network that reads each frame, such as resnet18 or mobilenet_v2; a wrong name lists all; "
        "vision transformers (vit_..., maxvit_t) need --sample_size 224")
    add("--backbone_weights", default="imagenet", metavar="imagenet|none|PATH",
        help="initial weights of the backbone: torchvision's download, random, or a file of yours")
    add("--finetune", action="store_true",
        help="train the backbone too, which is much slower; by default it is frozen and its features are computed once")
    add("--num_layers", type=opts.positive_int, default=None,
        help=f"layers or convolutions of the head ({told_defaults(layers)})")
    add("--hidden_size", type=opts.positive_int, default=256, help="units of each of these layers")
    add("--dropout", type=opts.fraction, default=None,
        help="share of units dropped in the classifier (default: that of the head)")
    add("--vector_dropout", type=opts.fraction, default=None,
        help="share of the backbone's outputs that are dropped (default: that of the head)")
    parser.declare({name: head.options for name, head in HEADS.items()}, {name: f"--head {name}" for name in HEADS},
                   group)
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
    add("--feature_cache", type=opts.cache_folder, metavar="DIR|none",
        help="keep the features of the frozen backbone in this folder, so that the next training starts at once")
    add("--mirror", action="store_true", default=None, help="mirror half of the training windows left to right, with "
        "the same class (default: for kth, but not for folder)")
    add("--no_mirror", action="store_false", dest="mirror", default=None,
        help="mirror none, for classes such as left and right")
    add("--save_interval", type=opts.positive_int, metavar="N", help="also keep every Nth epoch as epoch_N.pth")
    add("--amp", action="store_true", help="train in bfloat16, for GPUs; weights and gradients stay in float32")
    add("--tensorboard", action="store_true", help="write a log for TensorBoard, which must be installed")
    opts.add_normalisation_options(parser.add_argument_group(
        "normalisation of pixels", "Without these flags, ImageNet's mean and deviation. With one of them, the original "
        "projects' rule, whose defaults are --mean_dataset activitynet and --norm_value 1."))
    opts.add_run_options(parser, None)
    return parser


def work(args):
    if args.tensorboard:
        check_tensorboard()
    device = choose_device(args.use_cuda, args.gpu, args.threads)
    folder = args.result_path or Path("snapshots") / f"{args.dataset}_{args.model}_{args.backbone}"
    check_size(args.sample_duration, args.sample_size)
    check_frame_size(args.backbone, args.sample_size)
    asked, weights = opts.given(args, NORMALISATION), args.pretrain_path or args.backbone_weights
    mean, std = normalisation(**asked) if asked else normalisation_of(weights)
    prepare = partial(normalise, mean=mean, std=std)
    annotation = read_annotation(args.annotation_path)
    classes, datasets = load_subsets(args, annotation, prepare)
    checked = check_data_set(annotation, args.annotation_path, args.video_path, DATASETS[args.dataset])
    args.mirror = DATASETS[args.dataset].mirrors if args.mirror is None else args.mirror
    print("half of the training windows are mirrored left to right, with the same class (--no_mirror: none)"
          if args.mirror else "no training window is mirrored (--mirror: half of them, with the same class)")
    if not args.lr_rate:
        opts.warn("--lr_rate 0: training changes no weight")
    extra = load_training_windows(args, annotation, prepare, datasets)
    model = new_model(args, classes).to(device)
    args.num_layers = model.config["num_layers"]  # for the recipe, if the default of the head was taken
    shortest = args.sample_duration if extra else min(datasets["training"].true_lengths)
    check_frames(model, args.sample_size, shortest, args.finetune, len(datasets["training"]), args.batch_size)
    info = ModelInfo(args.model, model.config, classes, args.sample_size, args.sample_duration, mean, std,
                     frame_rate=annotation.frame_rate or 0.0, training_clips=checked.training_digests,
                     training_groups=checked.training_groups, grey=is_grey(datasets["training"].clips))
    if args.pretrain_path:
        info = with_training_of(info, args.pretrain_path)
    with processes.held_by_first(sole_writer(folder)):
        recipe = checked_recipe(folder, vars(args))
        if extra:
            del datasets["training"]
        elif args.finetune:
            datasets["training"] = MirroredClips(datasets["training"], args.mirror)
        cache = args.feature_cache and FeatureCache(args.feature_cache, model, f"{mean} {std}")
        if not args.finetune:
            datasets = {name: keep_vectors(model, dataset, device, name == "training" and args.mirror,
                                           args.num_workers, name, cache) for name, dataset in datasets.items()}
        if extra:
            datasets["training"] = training_windows(args, model, device, cache, *extra)
        processes.by_first(begin, folder, recipe, args.overwrite)
        names = "finetune", "n_epochs", "batch_size", "lr_rate", "weight_decay", "seed", "save_interval", "amp"

        def draw(history):
            save_figure(charts.training_curves(history), folder / "curves.png")

        history = train(model, info, datasets["training"], datasets.get("validation"), folder, device=device,
                        log=TrainingLog(folder, draw, args.tensorboard) if processes.is_first() else None,
                        workers=args.num_workers, **{name: getattr(args, name) for name in names})
        processes.by_first(draw, history)
        if len(history) > args.n_epochs:
            opts.warn(f"--n_epochs {args.n_epochs} was given, but this run has {len(history)} epochs already, and the "
                      "results are those of all of them; for fewer, give another --result_path or --overwrite")
        write_accuracy(args, folder, datasets, device)


def begin(folder, recipe, overwrite):
    """Write the recipe of the run; with `overwrite` remove what an earlier run left."""
    for path in (path for name in WRITTEN for path in folder.glob(name) if overwrite):
        path.unlink()
    write_json(folder / "opts.json", recipe)


def new_model(args, classes):
    """Return the model to train: new, or with the weights of --pretrain_path."""
    if args.model == "cnnlstm_cbam" and not args.finetune:
        raise UserError("--model cnnlstm_cbam has its attention in the backbone, which is frozen; give --finetune too")
    head = choose_head(args.model, args.head)
    torch.manual_seed(args.seed)
    weights = "none" if args.pretrain_path else args.backbone_weights
    dropout = {name: getattr(HEADS[head], name) for name in ("dropout", "vector_dropout")}
    dropout |= opts.given(args, dropout)
    model = build_model(args.model, len(classes), args.backbone, weights, head, hidden_size=args.hidden_size,
                        num_layers=args.num_layers, **dropout, **values_of(args, HEADS[head].options))
    if args.pretrain_path:
        same = start_from(args.pretrain_path, model, classes)
        print(f"weights from {args.pretrain_path}" + ("" if same else ", with a new last layer for other classes"))
    return model


def load_training_windows(args, annotation, prepare, datasets):
    """Return the clips from which training cuts windows, and their data set; None if the annotation has no passage.

    For the other subsets, the empty clips join `datasets` under the name "SUBSET, empty".
    """
    labels, size = annotation.labels, args.sample_size
    for name in [name for name in datasets if name != "training"]:
        empty = find_empty(annotation, args.video_path, name)
        if empty:
            datasets[f"{name}, empty"] = ClipDataset(empty, labels, size, args.sample_duration, prepare)
    clips, cut = find_training_extra(annotation, args.video_path), partial(prepare_passage, prepare=prepare)
    return (clips, ClipDataset(clips, labels, size, None, cut)) if clips else None


def prepare_passage(frames, prepare):
    """Return a passage (L + 1, C, H, W), normalised, whose last frame is the scene without the person."""
    return with_background(prepare(frames))


def training_windows(args, model, device, cache, clips, dataset):
    """Return the data set of windows that training draws from passages, other clips and empty clips."""
    if args.finetune:
        source = ClipSource(dataset)
    else:
        vectors = describe_clips(model, dataset, device, args.mirror, args.num_workers, "training", cache)
        source = VectorSource(vectors)
    visible = [clip.visible and (clip.visible[0] - 1, clip.visible[1]) for clip in clips]
    groups = [DATASETS[args.dataset].training_group(clip.name) for clip in clips]
    return TrainingWindows(source, dataset.labels, visible, source.lengths, groups, args.sample_duration,
                           2 if args.mirror else 1)


def load_subsets(args, annotation, prepare):
    """Return the class names, and a data set for each subset that has clips."""
    datasets, listed = {}, {part for part, _ in annotation.clips.values()}
    for name in ("training", *(name for name in ("validation", "testing") if name in listed)):
        classes, clips, problems = find_clips(args.annotation_path, args.video_path, name)
        for problem in (*problems, *short_clips(clips, args.sample_duration)):
            opts.warn(f"{name}: {problem}")
        if len(classes) < 2:
            raise UserError(f"{args.annotation_path} has one class, {classes[0]}, but a classifier needs two; put "
                            "each class into a folder of its own and annotate again")
        if args.n_classes not in (None, len(classes)):
            raise UserError(f"--n_classes {args.n_classes} was given, {args.annotation_path} has {len(classes)}: "
                            f"{', '.join(classes)}; leave the flag out")
        datasets[name] = ClipDataset(clips, classes, args.sample_size, args.sample_duration, prepare)
    return classes, datasets


def write_accuracy(args, folder, datasets, device):
    """Print and write accuracy and confusion of the best epoch's model on validation and testing."""
    model, info = load_model(folder / "best.pth", device)
    forward = model if args.finetune else AfterBackbone(model)
    metrics = {"best_epoch": info.epoch}
    for name in (name for name in ("validation", "testing") if name in datasets):
        loader = own_loader(datasets[name], args.batch_size, args.num_workers)
        loss, confusion = evaluate(forward, loader, device, len(info.classes))
        found = summarise_confusion(confusion.numpy(), info.classes)
        metrics[name] = {"loss": loss, **found}
        figure = charts.confusion_matrix(confusion.numpy(), info.classes)
        processes.by_first(save_figure, figure, folder / f"confusion_{name}.png")
        print(f"{name}: {accuracy_line(found)}; best epoch {info.epoch}")
        if f"{name}, empty" in datasets:
            loader = own_loader(datasets[f"{name}, empty"], args.batch_size, args.num_workers)
            empty = dict(zip(info.classes, mean_probabilities(forward, loader, device).tolist(), strict=True))
            metrics[name]["empty"] = empty
            print(f"{name}: probabilities on {len(datasets[f'{name}, empty'])} clips without anybody: "
                  + ", ".join(f"{label} {probability:.2f}" for label, probability in empty.items()))
    processes.by_first(write_json, folder / "metrics.json", metrics)
    print(f"model, curves and figures: {folder}")


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
