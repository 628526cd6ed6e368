"""Checkpoints that describe themselves: weights, arguments of the model, class names, preparation of frames.

    model, info = load_model("snapshots/run/best.pth")      # eval mode, ready to use
    info.classes, info.sample_size, info.mean
"""

import io
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.backbones import check_frame_size
from model.cnn_lstm import CNNLSTM, MODELS, build_model
from model.contract import last_layer
from model.heads import HEADS
from model.legacy import converted
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from model.state_dicts import load_tensors, read_safely, tensors_in, tensors_of
from model.vision import without_memory
from runtime.errors import UserError
from runtime.files import whole_file
from runtime.sentences import shortened

FORMAT = 1
HEAD = "head."  # the prefix of the head's weights in a model; names in a file lack it


@dataclass(frozen=True)
class ModelInfo:
    """Everything besides the weights that is needed to use a model.

    model: a name in model.cnn_lstm.MODELS. config: arguments of the model's class. classes: names in the order of the
    scores. sample_size: side of the square frames in pixels. sample_duration: frames per clip. mean, std: per RGB
    channel, for pixels in 0..1. epoch: epochs trained. assumed: settings that were assumed because a file of the
    original projects does not contain them. frame_rate: of the training clips in frames per second, 0 if unknown.
    training_clips: digests of the clips in training (data.images). training_groups: the persons, groups and videos in
    training, such as "kth person 7". Both are empty if they are unknown. grey: whether training saw no colour.
    """

    model: str
    config: dict
    classes: list
    sample_size: int
    sample_duration: int
    mean: list
    std: list
    epoch: int = 0
    assumed: dict = field(default_factory=dict)
    frame_rate: float = 0.0
    training_clips: list = field(default_factory=list)
    training_groups: list = field(default_factory=list)
    grey: bool = False


def save_checkpoint(path: str | Path, model: nn.Module, info: ModelInfo, **training: Any) -> None:
    """Write a checkpoint completely or not at all. training: plain values and state dicts for resuming."""
    state = {name.removeprefix(HEAD): weight for name, weight in model.state_dict().items()}
    content = io.BytesIO()  # not the file itself, because torch.save hides errors such as a full disk
    described = asdict(info)
    torch.save({"format": FORMAT, "state_dict": state, **described, **training}, content)
    with whole_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_weights(model: nn.Module, state: dict[str, torch.Tensor], fault: str, advice: str,
                 assign: bool = False) -> None:
    """Load the state dict of a checkpoint, whose names lack HEAD, into a model; see `load_tensors`."""
    names = {name.removeprefix(HEAD): name for name in model.state_dict()}
    load_tensors(model, {names.get(name, name): weight for name, weight in state.items()}, fault, advice, assign)


def read_checkpoint(path: str | Path, **assumed: Any) -> dict[str, Any]:
    """Return the content of a checkpoint, with its tensors on the CPU and with the names of the bare model's weights.

    assumed: settings that files of the original projects do not contain, see model.legacy.ASSUMED. Raises
    FileNotFoundError if there is no such file and ValueError if it is not a checkpoint.
    """
    content = read_safely(path, "train one with main.py or give another path")
    required = {item.name for item in fields(ModelInfo) if item.default is item.default_factory is MISSING}
    if isinstance(content, dict) and required | {"format", "state_dict"} <= content.keys():
        return content | {"state_dict": tensors_of(content["state_dict"])}
    try:
        original = converted(content, **assumed)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if original is None:
        found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{path} is not a checkpoint of this project: it contains {found}; give one written by "
                        "main.py")
    return original


def load_model(path: str | Path, device: str | torch.device = "cpu", **assumed: Any) -> tuple[CNNLSTM, ModelInfo]:
    """Return the model of a checkpoint, on the device, in eval mode and float32, and its ModelInfo.

    The file may also be one of interpretability_of_lstm or cnn-lstm. assumed: settings that such a file does not
    contain, by the names in model.legacy.ASSUMED; info.assumed holds the settings in use. Raises FileNotFoundError if
    there is no such file and ValueError if it is not a checkpoint or its parts contradict each other.
    """
    content = read_checkpoint(path, **assumed)
    info = ModelInfo(**{item.name: content[item.name] for item in fields(ModelInfo) if item.name in content})
    _check(path, info)
    try:
        check_frame_size(info.config.get("backbone", "resnet18"), info.sample_size)
        with without_memory():
            model = build_model(info.model, **{**_named(info), "backbone_weights": "none"})
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (RuntimeError, TypeError) as error:
        raise UserError(f"{path}: it does not describe a model ({shortened(error)}); give a checkpoint written by "
                        "main.py") from error
    load_weights(model, content["state_dict"], f"{path}: its weights do not fit the model that it describes: it",
                 "give a checkpoint written by main.py", assign=True)
    check_finite(model, path, "its training diverged, train again with a lower --lr_rate")
    return model.to(device).float().eval(), info


def check_finite(model: nn.Module, source: str | Path, advice: str) -> None:
    """Raise UserError if a weight of a model is not finite. source: where its weights come from."""
    broken = [name for name, value in tensors_in(model).items() if not torch.isfinite(value).all()]
    if broken:
        raise UserError(f"{source}: {len(broken)} of its weights contain values that are not finite (first: "
                        f"{broken[0]}); {advice}")


def _named(info: ModelInfo) -> dict[str, Any]:
    """Return the arguments of a checkpoint's model; those that it does not name have the values of earlier versions."""
    head = HEADS.get(info.config.get("head", MODELS[info.model].unnamed_head))
    return {**(head.unnamed if head else {}), **info.config}


def start_from(path: str | Path, model: nn.Module, classes: list[str]) -> bool:
    """Load the weights of a checkpoint into a new model and return whether the checkpoint has the given classes.

    If it has other classes, the last layer of the model keeps its own weights. Raises ValueError if the weights do not
    fit.
    """
    content = read_checkpoint(path)
    same, last = content["classes"] == classes, f"{last_layer(model)}."
    own = {} if same else {name: weight for name, weight in model.state_dict().items() if name.startswith(last)}
    load_weights(model, {**content["state_dict"], **own}, f"--pretrain_path {path} does not fit this model: it",
                 "give the same --model, --backbone and sizes as in its training")
    return same


def normalisation_of(weights: str | Path) -> tuple[list[float], list[float]]:
    """Return mean and deviation of the pixels with which weights were trained: those of a checkpoint, or ImageNet's.

    weights: a checkpoint, or what --backbone_weights takes. Another normalisation than ImageNet's is printed.
    """
    content = read_safely(Path(weights)) if Path(weights).is_file() else None
    mean, std = (content.get(name) if isinstance(content, dict) else None for name in ("mean", "std"))
    if not (isinstance(mean, list) and isinstance(std, list) and _is_colour(mean) and _is_colour(std)):
        return IMAGENET_MEAN, IMAGENET_STD
    if [*mean, *std] != [*IMAGENET_MEAN, *IMAGENET_STD]:
        print(f"pixels are normalised as in the training of {weights}: mean {mean}, deviation {std}")
    return mean, std


def with_training_of(info: ModelInfo, path: str | Path) -> ModelInfo:
    """Return a ModelInfo that also names the training clips and groups of the checkpoint that training starts from."""
    content = read_checkpoint(path)
    return replace(info, **{name: sorted({*getattr(info, name), *content.get(name, [])})
                            for name in ("training_clips", "training_groups")})


def _check(path: str | Path, info: ModelInfo) -> None:
    """Raise UserError if a field of a checkpoint has an impossible value."""
    wrong = [item.name for item in fields(info) if type(getattr(info, item.name)) is not item.type]
    if not wrong:
        possible = {
            "model": info.model in MODELS, "config": info.config.get("num_layers", 1) in range(1, 1000),
            "classes": all(isinstance(name, str) for name in info.classes)
            and info.config.get("num_classes") == len(info.classes) > 1,
            "sample_size": info.sample_size > 0, "sample_duration": info.sample_duration > 0,
            "frame_rate": 0 <= info.frame_rate < 1000,
            "training_clips": all(isinstance(name, str) for name in info.training_clips + info.training_groups),
            "mean": _is_colour(info.mean), "std": _is_colour(info.std) and min(info.std) > 0,
        }
        wrong = [name for name, good in possible.items() if not good]
    if wrong:
        raise UserError(f"{path}: its {wrong[0]} is {shortened(repr(getattr(info, wrong[0])), 60)}, which is not valid;"
                        " give a checkpoint written by main.py")


def _is_colour(values: list) -> bool:
    return len(values) == 3 and all(isinstance(value, int | float) and abs(value) < 1e6 for value in values)
