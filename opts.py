"""Command line: shared argument groups, and the one place that turns bad input into one line and exit 2."""

import argparse
import errno
import re
import sys
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from model import processes

PRETRAINED = Path(__file__).parent / "model" / "pretrained" / "kth_mobilenet_v2.pth"
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
            processes.tell(message, processes.ENDED)
        sys.exit(status)

    def refuse(self, sentence):
        self.exit(2, f"{self.prog}: error: {one_line(sentence)}")

    def error(self, message):
        self.refuse(f"{message} (see {self.prog} --help)")


@processes.together()
def run(parser, work, argv=None):
    """Parse `argv`, call work(args) and return its result; so does each of the processes that torchrun starts.

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
        parser.refuse(text or type(error).__name__)
    except Exception as error:
        if processes.is_loss(error):
            parser.refuse("another process of this run has ended; see what it told")
        if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        advice = "choose smaller sizes (clips, batches, layers), or a machine with more"
        parser.refuse(f"out of memory ({one_line(error)[:120]}); {advice}")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; what is complete is kept, run the same command to go on")


def one_line(text):
    """The text in one line, with escapes for what no terminal can show: halves of characters, as in broken names."""
    return " ".join(str(text).encode(errors="backslashreplace").decode().split())


def warn(message):
    processes.tell(f"warning: {one_line(message)}")


def number(convert, least, most, complaint):
    """A type for argparse: what `convert` makes of a text, from `least` to `most`; `complaint` is said of others."""
    def parse(text):
        with suppress(ValueError):
            if least <= convert(text) <= most:
                return convert(text)
        raise argparse.ArgumentTypeError(f"{text} is {complaint}")

    return parse


whole_number = number(int, 0, LARGEST, f"not a whole number from 0 to {LARGEST}")
positive_int = number(int, 1, LARGEST, f"not a whole number from 1 to {LARGEST}")
not_negative = number(float, 0, LARGEST, "negative, too large or not a number")
fraction = number(float, 0, 1, "not between 0 and 1")


def add_data_options(parser):
    add = parser.add_argument_group("data").add_argument
    add("--dataset", choices=("kth", "folder"), default="kth",
        help="folder: any class folders of videos; its default paths say folder instead of kth")
    add("--annotation_path", type=Path, default=Path("data/kth/annotation/kth1.json"), help="the JSON")
    add("--video_path", type=Path, default=Path("data/kth/image_data"), help="extracted frames")
    add("--n_classes", type=positive_int, help="checked against the data and the model")
    add("--num_workers", type=whole_number, default=0, help="processes that load clips")


def add_normalisation_options(add):
    """add: the add_argument of a group."""
    from model.legacy import MEANS  # takes seconds, as all that needs torch: only for the scripts that need it anyway

    add("--mean_dataset", choices=tuple(MEANS), help="whose mean is subtracted from the pixels")
    add("--no_mean_norm", action="store_true", default=None, help="subtract none, unless --std_norm")
    add("--std_norm", action="store_true", default=None, help="divide by the standard deviation as well")
    add("--norm_value", type=positive_int, help="1: pixels, mean, deviation in 0..255; 255: in 0..1")


def add_run_options(parser, result_path):
    add = parser.add_argument_group("device").add_argument
    add("--use_cuda", action="store_true", help="compute on a GPU")
    add("--gpu", type=int, help="which GPU (implies --use_cuda); with torchrun the first")
    add = parser.add_argument_group("results").add_argument
    add("--result_path", type=Path, default=result_path, help="where results go")
    add("--overwrite", action="store_true", help="compute again what is already there")
    add("--seed", type=whole_number, default=0)


def parser_for_trained_model(description, result_path):
    """A parser with what the scripts that use a trained model have in common."""
    from model.checkpoint import MODELS

    parser = Parser(description)
    add_data_options(parser)
    add = parser.add_argument_group("which clips").add_argument
    add("--subset", choices=("training", "validation", "testing", "all"), default="testing")
    add("--clips", nargs="+", metavar="NAME", help="only these clips of the subset")
    add("--limit", type=positive_int, help="only the first N clips")
    add("--video", nargs="+", type=Path, metavar="FILE", help="windows of video files, not the data set")
    add = parser.add_argument_group(
        "model", "A checkpoint of main.py describes itself, flags may only repeat it; a file of the original projects "
        "holds weights alone, flags tell the rest.").add_argument
    add("--model", choices=tuple(MODELS), help="which kind of model")
    add("--resume_path", type=Path, default=PRETRAINED, help="checkpoint")
    add("--sample_size", type=positive_int, help="side of the frames in pixels")
    add("--sample_duration", type=positive_int, help="frames per clip")
    add("--classes", nargs="+", metavar="NAME", help="in the order of the scores")
    add("--unit_pixels", action="store_true", default=None,
        help="pixels in 0..1 whatever --norm_value says, as in interpretability_of_lstm's later main.py")
    add_normalisation_options(add)
    add_run_options(parser, result_path)
    return parser


def add_saliency_options(parser, methods, parts):
    """What both saliency scripts ask for; methods: by name, parts: what TSR masks, in a word.

    Returns the add_argument of the groups of maps and of TSR, for further options.
    """
    from saliency.gradient import SCORES
    from saliency.tsr import FILLS

    add = parser.add_argument_group("what is explained").add_argument
    add("--target", default="predicted", metavar="predicted|label|CLASS", help="the class explained")
    add("--score", choices=SCORES, default="logit", help="its score: before or after the softmax")
    add_map = parser.add_argument_group("maps").add_argument
    lines = "; ".join(f"{name}: {method.line}" for name, method in methods.items())
    add_map("--method", choices=tuple(methods), default="gradient", help=f"attribution behind the map. {lines}")
    add_map("--figure_format", choices=("png", "pdf", "svg"), default="png")
    add_tsr = parser.add_argument_group("temporal saliency rescaling").add_argument
    add_tsr("--tsr", action="store_true")
    add_tsr("--tsr_quantile", type=fraction, default=0.55, help=f"frames above it have {parts} masked")
    add_tsr("--tsr_fill", choices=tuple(FILLS), default="background",
            help=f"what masked {parts} become; background: the median over the clip")
    return add_map, add_tsr


def tsr_options(args):
    """Keyword arguments of temporal saliency rescaling: the values of the flags --tsr_NAME, by name."""
    return {name.removeprefix("tsr_"): value for name, value in vars(args).items() if name.startswith("tsr_")}


def normalisation(args):
    """(mean, std) per RGB channel, for pixels in 0..1, that the flags ask for; None where there is no such flag."""
    from model import legacy

    given = {name: getattr(args, name) for name in legacy.NORMALISATION if getattr(args, name, None) is not None}
    return legacy.normalisation(**given) if given else None


def device(args):
    """The torch device that the options ask for; processes that torchrun started take the next GPUs, and meet here."""
    import torch

    chosen = torch.device("cpu")
    if args.use_cuda or args.gpu is not None:
        if not torch.cuda.is_available():
            raise ValueError("--use_cuda was given, PyTorch finds no CUDA device here; leave --use_cuda and --gpu out")
        index = (args.gpu or 0) + processes.local_rank()
        if not 0 <= index < torch.cuda.device_count():
            raise ValueError(f"--gpu {index} was given, there are {torch.cuda.device_count()} GPUs, numbered from 0")
        chosen = torch.device("cuda", index)
        torch.cuda.set_device(chosen)
    processes.join("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    return chosen


def open_model(args):
    """The trained model on the chosen device, and its ModelInfo; flags are checked against it."""
    from data.clips import check_size
    from model.checkpoint import load_model
    from model.legacy import ASSUMED

    chosen = device(args)
    if args.resume_path == PRETRAINED:
        print(f"model: {PRETRAINED.name}, which comes with the project (what it is: {PRETRAINED.with_suffix('.md')})")
    model, info = load_model(args.resume_path, chosen, **{name: getattr(args, name) for name in ASSUMED})
    if info.assumed:
        info = tell_assumed(args, info)
    check_flags(args, info)
    check_size(info.sample_duration, info.sample_size)
    return model, info


def tell_assumed(args, info):
    """Print what was assumed of a file of the original projects; returns info, with class names of the annotation."""
    from data.annotation import read_annotation

    names = read_annotation(args.annotation_path).labels if args.annotation_path.is_file() else []
    if not args.classes and len(names) == len(info.classes):  # as the originals do, whose files have no names
        info = replace(info, classes=names, assumed=info.assumed | {"classes": names})
    told = {name: value for name, value in info.assumed.items() if value is not False}
    told["classes"] = " ".join(info.classes)
    flags = (f"--{name}" if value is True else f"--{name} {value}" for name, value in told.items())
    print(f"{args.resume_path} holds weights alone; what is assumed beside them can be given: {' '.join(flags)}")
    return info


def check_flags(args, info):
    """A flag that contradicts the checkpoint is an error, not a silent choice; so is a --target that no clip has."""
    facts = {"model": info.model, "n_classes": len(info.classes), "classes": info.classes,
             "sample_size": info.sample_size, "sample_duration": info.sample_duration}
    for name, fact in facts.items():
        given = getattr(args, name)
        if given not in (None, fact):
            raise ValueError(f"--{name} {given} contradicts the checkpoint {args.resume_path}, which has {fact}; leave "
                             "the flag out")
    asked = normalisation(args)
    if asked and not np.allclose(asked, (info.mean, info.std)):
        given, fact = (np.round(numbers, 4).ravel().tolist() for numbers in (asked, (info.mean, info.std)))
        raise ValueError(f"the flags of normalisation give mean and deviation {given} for pixels in 0..1, which "
                         f"contradicts the checkpoint {args.resume_path}, which has {fact}; leave them out")
    if "target" in args:
        if args.target == "label" and args.video:
            raise ValueError("--target label was given, clips of --video have no label; name the class, or give "
                             "predicted")
        if args.target not in ("predicted", "label", *info.classes):
            raise ValueError(f"--target {args.target}: the model knows {', '.join(info.classes)}; give one of them, "
                             "predicted or label")


def open_clips(args, info):
    """The clips that the options choose, from the data set or from video files; what is amiss is printed."""
    from data.clips import clips_of_videos, find_clips

    if args.video and args.clips:
        raise ValueError("--clips names clips of the data set, --video takes none of it; leave one of them out")
    if args.video:
        clips, problems = clips_of_videos(args.video, info.sample_duration, args.limit)
    else:
        labels, clips, problems = find_clips(args.annotation_path, args.video_path, args.subset, args.clips, args.limit)
        if sorted(labels) != sorted(info.classes):
            raise ValueError(f"{args.annotation_path} has the classes {', '.join(labels)}, the checkpoint "
                             f"{args.resume_path} knows {', '.join(info.classes)}; give the data that it was trained "
                             "for")
    for problem in problems:
        warn(problem)
    return clips
