"""Command line: shared argument groups, and the one place that turns bad input into one line and exit 2."""

import argparse
import errno
import math
import re
import sys
import warnings
from dataclasses import replace
from pathlib import Path

from model import processes

DATASETS = ("kth", "folder")
PRETRAINED = Path(__file__).parent / "model" / "pretrained" / "kth_mobilenet_v2.pth"
NORMALISATION = ("mean_dataset", "no_mean_norm", "std_norm", "norm_value", "unit_pixels")
LARGEST = 2**31 - 1  # of whole numbers, so that no library overflows
OUT_OF_MEMORY = re.compile("out of memory|insufficient memory|allocate|storage size calculation overflowed", re.I)


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there is one."""

    def _get_help_string(self, action):
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser that shows defaults and complains in one line."""

    def __init__(self, description):
        super().__init__(description=description, formatter_class=Formatter, allow_abbrev=False)

    def exit(self, status=0, message=None):
        if message:
            processes.tell(message.rstrip(), processes.ENDED)
        sys.exit(status)

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")


def run(parser, work, argv=None):
    """What `run_alone` does, in each of the processes that torchrun starts, if it does."""
    with processes.together():
        return run_alone(parser, work, argv)


def run_alone(parser, work, argv):
    """Parse `argv`, call work(args) and return its result.

    ValueError and OSError carry a sentence for the user (what was given, what was found, what to do): it is printed
    as one line on stderr and the process ends with status 2. So it does where memory runs out.
    """
    args = parser.parse_args(argv)
    for name in ("annotation_path", "video_path") if "dataset" in args else ():
        if getattr(args, name) == parser.get_default(name):
            setattr(args, name, Path(str(getattr(args, name)).replace("kth", args.dataset)))
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *place: warn(message)
            return work(args)
    except (ValueError, OSError) as error:
        text = str(error).rstrip()
        if "Traceback (" in text:  # from a process that loads clips: its last line is the sentence
            text = text.splitlines()[-1].partition(": ")[2]
        if getattr(error, "errno", None) == errno.ENOSPC:
            text += "; what is complete is kept: make room and run the same command to go on"
        parser.exit(2, f"{parser.prog}: error: {one_line(text) or type(error).__name__}\n")
    except Exception as error:
        if processes.is_loss(error):
            parser.exit(2, f"{parser.prog}: error: another process of this run has ended; see what it told\n")
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
    group.add_argument("--dataset", choices=DATASETS, default="kth",
                       help="folder: any class folders of videos; its default paths say folder instead of kth")
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

    group = parser.add_argument_group("model", "A checkpoint of main.py describes itself, flags may only repeat it; a "
                                      "file of the original projects holds weights alone, flags tell the rest.")
    group.add_argument("--model", choices=tuple(MODELS), help="which kind of model")
    group.add_argument("--resume_path", type=Path, default=PRETRAINED, help="checkpoint")
    group.add_argument("--sample_size", type=positive_int, help="side of the frames in pixels")
    group.add_argument("--sample_duration", type=positive_int, help="frames per clip")
    group.add_argument("--classes", nargs="+", metavar="NAME", help="in the order of the scores")
    group.add_argument("--unit_pixels", action="store_true", default=None,
                       help="pixels in 0..1 whatever --norm_value says, as in interpretability_of_lstm's later main.py")
    add_normalisation_options(group)


def add_normalisation_options(group):
    from model.legacy import MEANS

    group.add_argument("--mean_dataset", choices=tuple(MEANS), help="whose mean is subtracted from the pixels")
    group.add_argument("--no_mean_norm", action="store_true", default=None, help="subtract none, unless --std_norm")
    group.add_argument("--std_norm", action="store_true", default=None, help="divide by the standard deviation as well")
    group.add_argument("--norm_value", type=positive_int, help="1: pixels, mean, deviation in 0..255; 255: in 0..1")


def normalisation(args):
    """(mean, std) per RGB channel, for pixels in 0..1, that the flags ask for; None where there is no such flag."""
    from model import legacy

    given = {name: getattr(args, name) for name in NORMALISATION if getattr(args, name, None) is not None}
    return legacy.normalisation(**given) if given else None


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
    group.add_argument("--gpu", type=int, default=None, help="which GPU (implies --use_cuda); with torchrun the first")


def add_result_options(parser, default):
    group = parser.add_argument_group("results")
    group.add_argument("--result_path", type=Path, default=default, help="where results go")
    group.add_argument("--overwrite", action="store_true", help="compute again what is already there")
    group.add_argument("--seed", type=whole_number, default=0)


def device(args):
    """The torch device that the options ask for; processes that torchrun started take the next GPUs, and meet here."""
    import torch

    if not args.use_cuda and args.gpu is None:
        processes.join(torch.device("cpu"))
        return torch.device("cpu")
    index = (args.gpu or 0) + processes.local_rank()
    if not torch.cuda.is_available():
        raise ValueError("--use_cuda was given, PyTorch finds no CUDA device here; leave --use_cuda and --gpu out")
    if not 0 <= index < torch.cuda.device_count():
        raise ValueError(f"--gpu {index} was given, there are {torch.cuda.device_count()} GPUs, numbered from 0")
    processes.join(torch.device("cuda", index))
    return torch.device("cuda", index)


def check_against_checkpoint(args, info):
    """A flag that contradicts the checkpoint is an error, not a silent choice."""
    facts = {"model": info.model, "n_classes": len(info.classes), "classes": info.classes,
             "sample_size": info.sample_size, "sample_duration": info.sample_duration}
    for name, fact in facts.items():
        given = getattr(args, name)
        if given not in (None, fact):
            raise ValueError(
                f"--{name} {given} contradicts the checkpoint {args.resume_path}, which has {fact}; leave the flag out"
            )
    asked, fact = normalisation(args), info.mean + info.std
    if asked and not all(map(math.isclose, asked[0] + asked[1], fact)):
        given, fact = ([round(value, 4) for value in values] for values in (asked[0] + asked[1], fact))
        raise ValueError(
            f"the flags of normalisation give mean and deviation {given} for pixels in 0..1, which contradicts the "
            f"checkpoint {args.resume_path}, which has {fact}; leave them out"
        )


def tell_assumed(args, info):
    """Print what was assumed of a file of the original projects; returns info, with class names of the annotation."""
    from data.annotation import read_annotation

    names = read_annotation(args.annotation_path).labels if args.annotation_path.is_file() else []
    if not args.classes and len(names) == len(info.classes):  # as the originals do, whose files have no names
        info = replace(info, classes=names, assumed=info.assumed | {"classes": names})
    facts = {name: "" if value is True else " ".join(value) if name == "classes" else value
             for name, value in info.assumed.items() if value is not False}
    print(f"{args.resume_path} holds weights alone; what is assumed beside them can be given: "
          + " ".join(f"--{name} {value}".strip() for name, value in facts.items()))
    return info


def open_model(args):
    """The trained model on the chosen device, its ModelInfo, and the device; flags are checked against it."""
    from data.clips import check_size
    from model.checkpoint import load_model
    from model.legacy import ASSUMED

    chosen = device(args)
    if args.resume_path == PRETRAINED:
        print(f"model: {PRETRAINED.name}, which comes with the project (what it is: {PRETRAINED.with_suffix('.md')})")
    model, info = load_model(args.resume_path, chosen, **{name: getattr(args, name) for name in ASSUMED})
    if info.assumed:
        info = tell_assumed(args, info)
    check_against_checkpoint(args, info)
    check_size(info.sample_duration, info.sample_size)
    return model, info, chosen


def open_clips(args, info):
    """The clips that the options choose, from the data set or from video files; what is amiss is printed."""
    from data.clips import clips_of_videos, find_clips

    if args.video and args.clips:
        raise ValueError("--clips names clips of the data set, --video takes none of it; leave one of them out")
    if args.video:
        clips, problems = clips_of_videos(args.video, info.sample_duration, args.limit)
        for problem in problems:
            warn(problem)
        return clips
    labels, clips, problems = find_clips(args.annotation_path, args.video_path, args.subset, args.clips, args.limit)
    if sorted(labels) != sorted(info.classes):
        raise ValueError(
            f"{args.annotation_path} has the classes {', '.join(labels)}, the checkpoint {args.resume_path} knows "
            f"{', '.join(info.classes)}; give the data that it was trained for"
        )
    for problem in problems:
        warn(problem)
    return clips


def warn(message):
    processes.tell(f"warning: {one_line(message)}")
