"""Command line: shared argument groups, and the one place that turns bad input into one line and exit 2."""

import argparse
import hashlib
import platform
import re
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

from data.files import read_json

DATASETS = ("kth",)
PRETRAINED = Path(__file__).parent / "model" / "pretrained" / "kth_mobilenet_v2.pth"
PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "matplotlib")
# Options that may differ between the runs that share a result folder: they do not change what is computed.
INCIDENTAL = {
    "overwrite", "num_workers", "use_cuda", "gpu", "n_epochs", "result_path", "clips", "limit", "subset", "video",
    "memory_gb", "no_overlay", "sanity", "sanity_clips", "sanity_draws",
}
INPUTS = ("annotation_path", "resume_path", "backbone_weights")  # files whose content a result depends on
LARGEST = 2**31 - 1  # of whole numbers, so that no library overflows
OUT_OF_MEMORY = re.compile("out of memory|insufficient memory|allocate|storage size calculation overflowed", re.I)


class Parser(argparse.ArgumentParser):
    """An argument parser that shows defaults and complains in one line."""

    def __init__(self, description):
        super().__init__(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter,
                         allow_abbrev=False)

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")


def run(parser, work, argv=None):
    """Parse `argv`, call work(args) and return its result.

    ValueError and OSError carry a sentence for the user (what was given, what was found, what to do): it is printed
    as one line on stderr and the process ends with status 2. So it does where memory runs out.
    """
    args = parser.parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *place: warn(message)
            return work(args)
    except (ValueError, OSError) as error:
        text = str(error).rstrip()
        if "Traceback (" in text:  # from a process that loads clips: its last line is the sentence
            text = text.splitlines()[-1].partition(": ")[2]
        parser.exit(2, f"{parser.prog}: error: {one_line(text) or type(error).__name__}\n")
    except Exception as error:
        if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        advice = "choose smaller sizes (clips, batches, layers), or a machine with more"
        parser.exit(2, f"{parser.prog}: error: out of memory ({one_line(error)[:120]}); {advice}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; what is complete is kept, run the same command to go on\n")


def one_line(text):
    return " ".join(str(text).split())


def whole_number(text, least=0):
    if not re.fullmatch(r"\s*\+?\d{1,10}\s*", text) or not least <= int(text) <= LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {LARGEST}")
    return int(text)


def positive_int(text):
    return whole_number(text, least=1)


def not_negative(text):
    value = float(text)
    if not 0 <= value <= LARGEST:
        raise argparse.ArgumentTypeError(f"{text} is negative, too large or not a number")
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
    group.add_argument("--num_workers", type=whole_number, default=0, help="processes that load clips")


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
    group.add_argument("--resume_path", type=Path, default=PRETRAINED, help="checkpoint written by main.py")
    group.add_argument("--sample_size", type=positive_int, default=None, help="checked against the checkpoint")


def add_target_options(parser, scores):
    group = parser.add_argument_group("what is explained")
    group.add_argument("--target", default="predicted", metavar="predicted|label|CLASS", help="the class explained")
    group.add_argument("--score", choices=scores, default="logit", help="its score: before or after the softmax")


def check_target(args, info):
    """Refuse a --target that no clip can have, before anything is computed or written."""
    if args.target == "label" and args.video:
        raise ValueError("--target label was given, clips of --video have no label; name the class, or give predicted")
    if args.target not in ("predicted", "label", *info.classes):
        known = ", ".join(info.classes)
        raise ValueError(f"--target {args.target}: the model knows {known}; give one of them, predicted or label")


def choose_target(args, clip, predicted):
    """The name of the class that --target means for a clip."""
    return {"predicted": predicted, "label": clip.label}.get(args.target, args.target)


def add_device_options(parser):
    group = parser.add_argument_group("device")
    group.add_argument("--use_cuda", action="store_true", help="compute on a GPU")
    group.add_argument("--gpu", type=int, default=None, help="which GPU (implies --use_cuda)")


def add_result_options(parser, default):
    group = parser.add_argument_group("results")
    group.add_argument("--result_path", type=Path, default=default, help="where results go")
    group.add_argument("--overwrite", action="store_true", help="compute again what is already there")
    group.add_argument("--seed", type=whole_number, default=0)


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
    import torch

    from data.clips import check_size
    from model.checkpoint import load_model

    chosen = device(args)
    if args.resume_path == PRETRAINED:
        print(f"model: {PRETRAINED.name}, which comes with the project (what it is: {PRETRAINED.with_suffix('.md')})")
    model, info = load_model(args.resume_path, chosen)
    check_against_checkpoint(args, info)
    check_size(info.sample_duration, info.sample_size)
    broken = [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]
    if broken:
        raise ValueError(
            f"{args.resume_path}: {len(broken)} of its weights hold values that are not finite (first: {broken[0]}); "
            "its training diverged, train again with a lower --lr_rate"
        )
    return model, info, chosen


def open_clips(args, info):
    """The clips that the options choose, from the data set or from video files; what is amiss is printed."""
    from data.clips import clips_of_videos, find_clips

    if args.video and args.clips:
        raise ValueError("--clips names clips of the data set, --video takes none of it; leave one of them out")
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
    return {
        "options": {name: _plain(value) for name, value in sorted(vars(args).items())},
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "inputs": {name: _digest(getattr(args, name)) for name in INPUTS if Path(getattr(args, name, "")).is_file()},
    }


def _digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # OpenCV has several names
        return None


def _commit():
    try:
        git = ["git", "rev-parse", "HEAD"]
        found = subprocess.run(git, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    except OSError:  # no git here
        return None
    return found.stdout.strip() or None


def check_same_recipe(path, args):
    """Refuse to mix results made with different options in one folder."""
    if not path.is_file():
        return
    content, now = read_json(path), recipe(args)
    content = content if isinstance(content, dict) else {}
    before, files = content.get("options"), content.get("inputs", {})
    if not isinstance(before, dict) or not isinstance(files, dict):
        raise ValueError(f"{path} does not tell how its folder was made; give another --result_path, or --overwrite")
    for name in sorted(now["options"].keys() - INCIDENTAL):
        given = now["options"][name]
        if name in before and before[name] != given:
            raise ValueError(
                f"{path.parent} was made with --{name} {before[name]}, now {given} is given; give the same "
                "options, another --result_path, or --overwrite"
            )
    for name, digest in now["inputs"].items():
        if files.get(name, digest) != digest:
            raise ValueError(
                f"{path.parent} was made when --{name} {now['options'][name]} had another content; give another "
                "--result_path, or --overwrite"
            )


def _plain(value):
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def warn(message):
    print(f"warning: {one_line(message)}", file=sys.stderr)
