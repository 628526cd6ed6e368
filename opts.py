"""The command line: shared argument groups, and the one place that turns bad input into one line and exit status 2."""

from runtime import packages
from runtime.errors import UserError, told

packages.require()  # before the imports below, which would end in a traceback

import argparse
import errno
import sys
import warnings
from pathlib import Path

from data.datasets import DATASETS
from model.adapters import LAYOUTS
from model.cnn_lstm import MODELS
from model.normalisation import MEANS, NORMALISATION
from model.own import is_own_model
from runtime import processes
from runtime.declare import MOST_THREADS, add_flag, cache_folder, number, values_of
from runtime.names import readable
from saliency.methods import ALL, ALL_METHODS, Method
from saliency.scores import SCORES

PRETRAINED = Path(__file__).parent / "model" / "pretrained" / "kth_mobilenet_v2.pth"
whole_number, positive_int = number(int, 0), number(int, 1)  # types of values of flags
not_negative, fraction, frame_rate = number(float, 0), number(float, 0, 1), number(float, 1, 999)
FAULT = "this is a fault of the project, not of your input; please report it with the following lines"
FAULT_OR_YOURS = "your network or the project is at fault; if it is the project, please report the following lines"


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there is one."""

    def _get_help_string(self, action):
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser that shows defaults, complains in one line, and refuses options that nothing uses."""

    def __init__(self, description):
        super().__init__(description=description, formatter_class=Formatter, allow_abbrev=False)
        self.owners = {}  # flag: {method, head or switch that uses it: how to ask for that}

    def declare(self, options, asked, group=None):
        """Add a flag for each option that methods or heads declare, once, and remember which of them use it.

        options: {name of a method or a head: its options}. asked: {name: how to ask for it}. group: for all flags; by
        default each method has its own.
        """
        users, groups = {}, {}  # flag: {name: option}; name of a method: its group
        for name, declared in options.items():
            for option in declared:
                users.setdefault(option.destination, {})[name] = option
        for flag, by_name in users.items():
            first = next(iter(by_name))
            if group is None and first not in groups:
                groups[first] = self.add_argument_group(f"method {first}")
            add_flag(group or groups[first], by_name[first], {name: each.default for name, each in by_name.items()})
            self.owners[f"--{flag}"] = {name: asked[name] for name in by_name}

    def parse_args(self, args=None, namespace=None):
        parsed = super().parse_args(args, namespace)
        words = {str(word).partition("=")[0] for word in (sys.argv[1:] if args is None else args)}
        used = {name for name, value in vars(parsed).items() if value is True or (isinstance(value, list) and value)}
        compared = getattr(parsed, "compare", ())
        used |= {getattr(parsed, name, None) for name in ("method", "tsr_base", "score")}
        used |= {"gradient", *(ALL_METHODS if ALL in compared else compared)}
        if "head" in parsed:
            used.add(parsed.head or MODELS[parsed.model].head)
        for flag, owners in self.owners.items():
            if flag in words and not used & owners.keys():
                self.error(f"{flag} belongs to {' and '.join(owners)}, but nothing here uses it; add "
                           f"{' or '.join(owners.values())}, or leave it out")
        return parsed

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

    UserError and OSError carry a sentence for the user (what was given, what was found, what to do): it is printed
    as one line on stderr and the process ends with status 2. The same holds if memory runs out. Every other exception
    is a fault of the project: it is raised again after a line that asks for a report, so the script shows its traceback
    and ends with status 1.
    """
    args = parser.parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # like stderr, so that no name of a file ends the run
    for name in DATASET_PATHS if "dataset" in args else ():
        if name in args and getattr(args, name) is None:
            setattr(args, name, dataset_path(args.dataset, name))
    if "layout" in args:
        args.resume_path = checkpoint_of(args)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *place: warn(message)
            return work(args)
    except Exception as error:
        text = "another process of this run has ended; see what it told" if processes.is_loss(error) else told(error)
        if text is None:
            fault = FAULT_OR_YOURS if is_own_model(getattr(args, "model", None)) else FAULT
            processes.tell(f"{parser.prog}: {fault}", processes.ENDED)
            raise
        if getattr(error, "errno", None) == errno.ENOSPC:
            text += "; what is complete is kept: make room and run the same command to go on"
        parser.refuse(text)
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; what is complete is kept, run the same command to go on")


def one_line(text):
    """The text in one line, with escapes for bytes in names of files that are no text (runtime.names)."""
    return " ".join(readable(str(text)).split())


def warn(message):
    processes.tell(f"warning: {one_line(message)}")


DATASET_PATHS = {  # flag: (attribute of a data set, help)
    "raw_path": ("raw_path", "class folders of videos"),
    "trimmed_path": ("trimmed_path", "class folders of clips of a fixed length"),
    "image_path": ("image_path", "class folders of extracted frames"),
    "video_path": ("image_path", "class folders of extracted frames"),
    "annotation_path": ("annotation_path", "the JSON file that lists clips, classes and subsets"),
}


def dataset_path(dataset, flag):
    return getattr(DATASETS[dataset], DATASET_PATHS[flag][0])


def add_dataset(parser, *flags, several=()):
    """Add --dataset, and flags in DATASET_PATHS whose defaults depend on it; `several` names flags that take a list."""
    parser.add_argument("--dataset", choices=tuple(DATASETS), default="kth",
                        help="kth, or folder for class folders of any videos; sets the default paths and the split")
    for flag in flags:
        parser.add_argument(f"--{flag}", type=Path, metavar="PATH", nargs="+" if flag in several else None,
                            help=f"{DATASET_PATHS[flag][1]} (default for kth: {dataset_path('kth', flag)})")


def as_list(value):
    """Return the value of a flag that takes a list as a list, also if it is a single value, such as a default."""
    return value if isinstance(value, list) else [value]


def add_data_options(parser):
    group = parser.add_argument_group("data")
    add_dataset(group, "annotation_path", "video_path")
    group.add_argument("--n_classes", type=positive_int, help="number of classes, checked against data and model")
    group.add_argument("--num_workers", type=whole_number, default=0, help="processes that load clips")


def add_normalisation_options(group):
    add = group.add_argument
    add("--mean_dataset", choices=tuple(MEANS), help="data set whose mean is subtracted from the pixels")
    add("--no_mean_norm", action="store_true", default=None, help="subtract no mean, unless --std_norm is given")
    add("--std_norm", action="store_true", default=None, help="also divide by the standard deviation")
    add("--norm_value", type=positive_int, help="1: pixels, mean and deviation are in 0..255; 255: in 0..1")


def add_run_options(parser, result_path):
    add = parser.add_argument_group("device").add_argument
    add("--use_cuda", action="store_true", help="compute on a GPU")
    add("--gpu", type=int, help="number of the GPU, from 0 (implies --use_cuda); with torchrun, of the first GPU")
    add("--threads", type=number(int, 1, MOST_THREADS), metavar="N",
        help="threads on the CPU (default: OMP_NUM_THREADS, or a thread per core that this process may use)")
    add = parser.add_argument_group("results").add_argument
    add("--result_path", type=Path, default=result_path, help="folder for the results")
    add("--overwrite", action="store_true", help="compute results again that are already there")
    add("--seed", type=whole_number, default=0, help="seed of everything random; same seed, same results")


def parser_for_trained_model(description, result_path):
    """Return a parser with the options that all scripts with a trained model have."""
    parser = Parser(description)
    add_data_options(parser)
    add = parser.add_argument_group("which clips").add_argument
    add("--subset", choices=("training", "validation", "testing", "all"), default="testing",
        help="part of the data set's split")
    add("--clips", nargs="+", metavar="NAME", help="only these clips of the subset")
    add("--limit", type=positive_int, help="only N clips, in turns of classes, persons and videos")
    add("--video", nargs="+", type=Path, metavar="FILE",
        help="cut the clips from video files, or from the videos in a folder, instead")
    add("--duration", choices=("model", "full"), default="model",
        help="frames per clip: as many as the model was trained on, or all of the clip or the video")
    add("--fps", choices=("model", "native"), default="model", help="of videos, read the frame nearest to each time at "
        "the frame rate that the model was trained at, or every frame")
    add("--stride", type=positive_int, default=1, metavar="N", help="read every Nth frame, for networks trained so")
    group = parser.add_argument_group(
        "model", "A checkpoint of main.py describes itself; a flag that contradicts it is an error. A checkpoint of "
        "the original projects holds only weights; the flags give the rest.")
    add = group.add_argument
    add("--model", type=model_choice, metavar=f"{{{','.join(MODELS)}}}|FILE.py:FUNCTION", help="kind of model; or a "
        "function of yours that returns a torch.nn.Module (docs/models.md). It runs the file: name one you trust")
    add("--resume_path", type=Path, help="checkpoint (default: the bundled model; with --model FILE.py:FUNCTION, none, "
        "which keeps the weights that the function gives)")
    add("--layout", choices=LAYOUTS, help="order of the dimensions that a network of --model FILE.py:FUNCTION reads: "
        "batch, time, channels, height, width (default: BTCHW; most 3D CNNs read BCTHW)")
    add("--step", type=positive_int, metavar="N", help="which of the scores per step, (B, T, classes), of "
        "such a network count, from 1 (default: the last)")
    add("--sample_size", type=positive_int, help="side of the frames in pixels")
    add("--sample_duration", type=positive_int, help="frames per clip")
    add("--classes", nargs="+", metavar="NAME", help="names of the classes, in the order of the scores")
    add("--unit_pixels", action="store_true", default=None,
        help="scale pixels to 0..1 whatever --norm_value says, as interpretability_of_lstm's later main.py does")
    add_normalisation_options(group)
    add("--feature_cache", type=cache_folder, metavar="DIR|none", help="keep the features of clips in this folder, so "
        "that the next run on the same clips, of any of these scripts, does not compute them again")
    add_run_options(parser, result_path)
    return parser


def add_saliency_options(parser, methods: dict[str, Method], several_targets=False):
    """Add what both saliency scripts ask for and the flags that the methods declare.

    Returns the add_argument of the group of maps, for further options.
    """
    add = parser.add_argument_group("what is explained").add_argument
    several = {"nargs": "+"} if several_targets else {}
    add("--target", default="predicted", metavar=f"predicted|label{'|all' if several else ''}|CLASS", **several,
        help="class whose score is explained" + "; of several, or all, each one, with their difference" * bool(several))
    add("--score", choices=SCORES, default="logit", help="what of the class is explained: its score before or after "
        "the softmax (or the sigmoid of a network with one score per clip), its margin over the best other class, or "
        "the difference of its score from that of --against")
    add("--against", metavar="CLASS", help="the other class of --score difference")
    parser.owners["--against"] = {"difference": "--score difference"}
    add_map = parser.add_argument_group("maps").add_argument
    lines = "; ".join(f"{name}: {method.line}" for name, method in methods.items())
    add_map("--method", choices=tuple(methods), default="gradient", help=f"attribution behind the map. {lines}")
    add_map("--tsr", action="store_true", help="compute temporal saliency rescaling too: how much masking each frame "
            "and each part of the important frames changes the map")
    add_map("--figure_format", choices=("png", "pdf", "svg"), default="png", help="format of the figures")
    asked = {name: "--tsr" if name == "tsr" else f"--method {name}" for name in methods}
    parser.declare({name: method.options for name, method in methods.items()}, asked)
    return add_map


def method_options(args, method: Method):
    """Return the keyword arguments of a method, as given on the command line."""
    return values_of(args, method.options)


def options_of_methods(args, methods: dict[str, Method], names):
    """Return {name: keyword arguments} of the methods with these names. TSR gets its base, and the base's options."""
    options = {name: method_options(args, methods[name]) for name in names}
    if "base" in options.get("tsr", {}):
        base = args.tsr_base or (args.method if methods[args.method].is_base else "gradient")
        options["tsr"] |= {"base": base, "base_options": method_options(args, methods[base])}
    return options


def given(args, names):
    """Return {name: value} of the flags that were given."""
    return {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}


def model_choice(text):
    """Return a value of --model of a script with a trained model: a name in MODELS, or a function of the user."""
    if text in MODELS or is_own_model(text):
        return text
    raise argparse.ArgumentTypeError(f"{text} is none of {', '.join(MODELS)}, and not of the form FILE.py:FUNCTION")


def checkpoint_of(args):
    """Return the path of the checkpoint, or None if a network of the user keeps its own weights."""
    own = is_own_model(args.model)
    return None if own and args.resume_path == Path("none") else args.resume_path or (None if own else PRETRAINED)


def model_facts(args):
    """Return what the flags say about the model: facts to check against a self-describing checkpoint, or to assume."""
    names = ("model", "layout", "step", "n_classes", "classes", "sample_size", "sample_duration")
    return given(args, (*names, *NORMALISATION))


def clip_choice(args, info):
    """Return the keyword arguments of data.clips.choose_clips; info: of the model, whose frame rate videos get."""
    names = {"annotation_path": "annotation_path", "video_path": "video_path", "subset": "subset", "names": "clips",
             "limit": "limit", "videos": "video", "dataset": "dataset", "stride": "stride"}
    choice = {keyword: getattr(args, name) for keyword, name in names.items()}
    return choice | {"whole": args.duration == "full", "rate": info.frame_rate if args.fps == "model" else None}


def check_target(args, classes, words=("predicted", "label")):
    """Raise ValueError if --target, one or several, cannot be explained. words: those that stand for classes.

    The value of --score difference gets the number of the class of --against, see saliency.scores.target_score.
    """
    if args.score == "difference":
        if args.against not in classes or not set(as_list(args.target)) <= {*classes} - {args.against}:
            raise UserError(f"--score difference was given, with --target {' '.join(as_list(args.target))} and "
                            f"--against {args.against}; give two different classes of {', '.join(classes)}")
        args.score = f"difference:{classes.index(args.against)}"
    for target in as_list(args.target):
        if target == "label" and args.video:
            raise UserError("--target label was given, but clips of --video have no label; name the class, or give "
                            "predicted")
        if target not in (*words, *classes):
            raise UserError(f"--target {target}: the model knows {', '.join(classes)}; give one of them, "
                            f"{', '.join(words[:-1])} or {words[-1]}")
