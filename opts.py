"""Command line: shared argument groups, and the one place that turns bad input into one line and exit 2."""

import argparse
import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

DATASETS = ("kth",)
PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "matplotlib")
# Options that may differ between the runs that share a result folder: they do not change what is computed.
INCIDENTAL = {
    "overwrite", "num_workers", "use_cuda", "gpu", "n_epochs", "result_path", "clips", "limit", "subset", "video",
    "memory_gb", "no_overlay",
}


class Parser(argparse.ArgumentParser):
    """An argument parser that shows defaults and complains in one line."""

    def __init__(self, description):
        super().__init__(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter,
                         allow_abbrev=False)

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def run(parser, work, argv=None):
    """Parse `argv`, call work(args) and return its result.

    ValueError and OSError carry a sentence for the user (what was given, what was found, what to do): it is printed
    as one line on stderr and the process ends with status 2.
    """
    args = parser.parse_args(argv)
    try:
        return work(args)
    except (ValueError, OSError) as error:
        sentence = " ".join(str(error).split()) or type(error).__name__
        parser.exit(2, f"{parser.prog}: error: {sentence}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; what is complete is kept, run the same command to go on\n")


def positive_int(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive whole number")
    return value


def not_negative(text):
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is negative or not finite")
    return value


def fraction(text):
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def add_data_options(parser):
    group = parser.add_argument_group("data")
    group.add_argument("--dataset", choices=DATASETS, default="kth", help="which data set")
    group.add_argument("--annotation_path", type=Path, default=Path("data/kth/annotation/kth1.json"), help="the JSON")
    group.add_argument("--video_path", type=Path, default=Path("data/kth/image_data"), help="extracted frames")
    group.add_argument("--n_classes", type=positive_int, default=None, help="checked against the data and the model")
    group.add_argument("--num_workers", type=int, default=0, help="processes that load clips")


def add_clip_options(parser, subset):
    group = parser.add_argument_group("which clips")
    group.add_argument("--subset", choices=("training", "validation", "testing", "all"), default=subset)
    group.add_argument("--clips", nargs="+", metavar="NAME", help="only these clips of the subset")
    group.add_argument("--limit", type=positive_int, default=None, help="only the first N clips")
    group.add_argument("--video", nargs="+", type=Path, metavar="FILE", help="windows of video files, not the data set")


def add_model_options(parser):
    """For the scripts that use a trained model."""
    from model.checkpoint import MODELS  # takes seconds: only for the scripts that need it anyway

    group = parser.add_argument_group("model")
    group.add_argument("--model", choices=tuple(MODELS), default=None, help="checked against the checkpoint")
    group.add_argument("--resume_path", type=Path, required=True, help="checkpoint written by main.py")
    group.add_argument("--sample_size", type=positive_int, default=None, help="checked against the checkpoint")


def add_target_options(parser, scores):
    group = parser.add_argument_group("what is explained")
    group.add_argument("--target", default="predicted", metavar="predicted|label|CLASS", help="the class explained")
    group.add_argument("--score", choices=scores, default="logit", help="its score: before or after the softmax")


def choose_target(args, info, clip, predicted):
    """The name of the class that --target means for a clip."""
    if args.target == "label" and clip.label is None:
        raise ValueError(f"--target label was given, {clip.name} comes from a video file and has none; name the class")
    target = {"predicted": predicted, "label": clip.label}.get(args.target, args.target)
    if target not in info.classes:
        raise ValueError(f"--target {target}: the model knows {', '.join(info.classes)}; give one of them, or predicted")
    return target


def add_device_options(parser):
    group = parser.add_argument_group("device")
    group.add_argument("--use_cuda", action="store_true", help="compute on a GPU")
    group.add_argument("--gpu", type=int, default=None, help="which GPU (implies --use_cuda)")


def add_result_options(parser, default):
    group = parser.add_argument_group("results")
    group.add_argument("--result_path", type=Path, default=default, help="where results go")
    group.add_argument("--overwrite", action="store_true", help="compute again what is already there")
    group.add_argument("--seed", type=int, default=0)


def device(args):
    """The torch device that the options ask for."""
    import torch

    if not args.use_cuda and args.gpu is None:
        return torch.device("cpu")
    index = args.gpu or 0
    if not torch.cuda.is_available():
        raise ValueError("--use_cuda was given, PyTorch finds no CUDA device here; leave --use_cuda and --gpu out")
    if not 0 <= index < torch.cuda.device_count():
        raise ValueError(f"--gpu {index} was given, there are {torch.cuda.device_count()} GPUs, numbered from 0")
    return torch.device("cuda", index)


def check_against_checkpoint(args, info):
    """A flag that contradicts the checkpoint is an error, not a silent choice."""
    facts = {"model": info.model, "n_classes": len(info.classes), "sample_size": info.sample_size}
    for name, fact in facts.items():
        given = getattr(args, name)
        if given is not None and given != fact:
            raise ValueError(
                f"--{name} {given} contradicts the checkpoint {args.resume_path}, which has {fact}; leave the flag out"
            )


def open_model(args):
    """The trained model on the chosen device, its ModelInfo, and the device; flags are checked against it."""
    from model.checkpoint import load_model

    chosen = device(args)
    model, info = load_model(args.resume_path, chosen)
    check_against_checkpoint(args, info)
    return model, info, chosen


def open_clips(args, info):
    """The clips that the options choose, from the data set or from video files; what is amiss is printed."""
    from data.clips import clips_of_videos, find_clips

    if args.video:
        return clips_of_videos(args.video, info.sample_duration, args.limit)
    labels, clips, problems = find_clips(args.annotation_path, args.video_path, args.subset, args.clips, args.limit)
    if labels != info.classes:
        raise ValueError(
            f"{args.annotation_path} has the classes {', '.join(labels)}, the checkpoint {args.resume_path} knows "
            f"{', '.join(info.classes)}; give the data that it was trained for"
        )
    for problem in problems:
        warn(problem)
    return clips


def recipe(args):
    """What a result was made with: options, versions, commit where there is one. Plain JSON values."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent, check=False
    )
    return {
        "options": {name: _plain(value) for name, value in sorted(vars(args).items())},
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
        "commit": commit.stdout.strip() or None,
    }


def check_same_recipe(path, args):
    """Refuse to mix results made with different options in one folder."""
    if not path.is_file():
        return
    before = json.loads(path.read_text()).get("options", {})
    now = recipe(args)["options"]
    for name in sorted(now.keys() - INCIDENTAL):
        if name in before and before[name] != now[name]:
            raise ValueError(
                f"{path.parent} was made with --{name} {before[name]}, now {now[name]} is given; give the same "
                "options, another --result_path, or --overwrite"
            )


def _plain(value):
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def warn(message):
    print(f"warning: {message}", file=sys.stderr)
