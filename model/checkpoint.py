"""Checkpoints that describe themselves: weights, arguments of the model, class names, preparation of frames.

    model, info = load_model("snapshots/run/best.pth")      # eval mode, ready to use
    info.classes, info.sample_size, info.mean
"""

import io
import math
import sys
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.backbones import check_frame_size
from model.cnn_lstm import CNNLSTM, build_model
from model.contract import last_layer
from model.heads import HEADS
from model.legacy import converted
from model.registry import MODELS
from model.state_dicts import plain_names, read_safely
from model.vision import without_memory
from runtime.errors import UserError
from runtime.files import whole_file
from runtime.flags import LARGEST
from runtime.sentences import shortened

FORMAT = 1
ARGUMENTS = {  # of a model, in the configuration of a checkpoint; the head has more
    "num_classes": int, "backbone": str, "head": str, "feature_size": int, "hidden_size": int, "num_layers": int,
    "classifier_size": int, "dropout": float, "vector_dropout": float,
}
HEAD = "head."  # the prefix of the head's weights in a model; names in a file lack it


@dataclass(frozen=True)
class ModelInfo:
    """Everything besides the weights that is needed to use a model.

    model: a name in model.registry.MODELS. config: arguments of the model's class. classes: names in the order of the
    scores. sample_size: side of the square frames in pixels. sample_duration: frames per clip. mean, std: per RGB
    channel, for pixels in 0..1. epoch: epochs trained. assumed: settings that were assumed because a file of the
    original projects does not contain them. frame_rate: of the training clips in frames per second, 0 if unknown.
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


def save_checkpoint(path: str | Path, model: nn.Module, info: ModelInfo, **training: Any) -> None:
    """Write a checkpoint completely or not at all. training: plain values and state dicts for resuming."""
    state = {name.removeprefix(HEAD): weight for name, weight in model.state_dict().items()}
    content = io.BytesIO()  # not the file itself, because torch.save hides errors such as a full disk
    described = asdict(info)
    torch.save({"format": FORMAT, "state_dict": state, **described, **training}, content)
    with whole_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_weights(model: nn.Module, state: dict[str, torch.Tensor], assign: bool = False) -> None:
    """Load the state dict of a checkpoint into a model. Raise RuntimeError if it does not fit.

    assign: replace the model's tensors instead of copying into them. Weights in half precision become those of the
    model's type.
    """
    types = {name: weight.dtype for name, weight in model.state_dict().items()}
    names = {name.removeprefix(HEAD): name for name in types}
    state = {names.get(name, name): weight for name, weight in state.items()}
    if assign:
        state = {name: weight.to(types.get(name)) if weight.is_floating_point() else weight
                 for name, weight in state.items()}
    model.load_state_dict(state, assign=assign)


def read_checkpoint(path: str | Path, **assumed: Any) -> dict[str, Any]:
    """Return the content of a checkpoint, with its tensors on the CPU and with the names of the bare model's weights.

    assumed: settings that files of the original projects do not contain, see model.legacy.ASSUMED. Raises
    FileNotFoundError if there is no such file and ValueError if it is not a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train one with main.py or give another path")
    content = read_safely(path)
    required = {item.name for item in fields(ModelInfo) if item.default is item.default_factory is MISSING}
    if isinstance(content, dict) and required | {"format", "state_dict"} <= content.keys():
        state = content["state_dict"] if isinstance(content["state_dict"], dict) else {}
        tensors = {name: value for name, value in plain_names(state).items() if isinstance(value, torch.Tensor)}
        return content | {"state_dict": tensors}
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
    _check_fields(path, info)
    try:
        with without_memory():
            model = build_model(info.model, **_named(info))
        load_weights(model, content["state_dict"], assign=True)
        broken = [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]
    except RuntimeError as error:
        raise UserError(f"{path}: its weights do not fit the model it describes ({shortened(error)}); give a "
                        "checkpoint written by main.py") from error
    if broken:
        raise UserError(f"{path}: {len(broken)} of its weights contain values that are not finite (first: "
                        f"{broken[0]}); its training diverged, train again with a lower --lr_rate")
    return model.to(device).float().eval(), info


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
    try:
        load_weights(model, {**content["state_dict"], **own})
    except RuntimeError as error:
        raise UserError(f"--pretrain_path {path} does not fit this model ({shortened(error, 160)}); give the same "
                        "--model, --backbone and sizes as in its training") from error
    return same


def _check_fields(path: str | Path, info: ModelInfo) -> None:
    """Raise ValueError if a field of a checkpoint has an impossible value. The file may come from an unknown source."""
    wrong = [item.name for item in fields(info) if type(getattr(info, item.name)) is not item.type]
    if not wrong:
        possible = {
            "config": _is_config(info.config, MODELS[info.model].unnamed_head if info.model in MODELS else "lstm"),
            "classes": all(isinstance(name, str) for name in info.classes)
            and info.config.get("num_classes") == len(info.classes) > 1,
            "sample_size": info.sample_size > 0, "sample_duration": info.sample_duration > 0,
            "frame_rate": 0 <= info.frame_rate < 1000,
            "mean": _is_colour(info.mean), "std": _is_colour(info.std) and min(info.std) > 0,
        }
        wrong = [name for name, good in possible.items() if not good]
    if wrong:
        value = shortened(repr(getattr(info, wrong[0])), 60)
        raise UserError(f"{path}: its {wrong[0]} is {value}, which is not valid; give a checkpoint written by main.py")
    if info.model not in MODELS:
        raise UserError(f"{path} contains a model of kind {info.model!r}; known are: {', '.join(MODELS)}")
    try:
        check_frame_size(info.config.get("backbone", "resnet18"), info.sample_size)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _is_config(config: dict, unnamed_head: str) -> bool:
    """Return whether a configuration has only arguments of a model, with values of their types in a possible range.

    unnamed_head: the head if the configuration names none. An unknown head or backbone is told by the model.
    """
    head = HEADS.get(str(config.get("head", unnamed_head)))
    types = ARGUMENTS | {option.name: option.type for option in (head.options if head else ())}
    least = {"classifier_size": 0}
    return config.get("num_layers", 1) in range(1, 1000) and all(
        0 <= value <= 1 if types.get(name) is float and type(value) in (int, float) else
        type(value) is types.get(name) and (type(value) is str or least.get(name, 1) <= value <= LARGEST)
        for name, value in config.items())


def is_number(value: Any) -> bool:
    """Return whether this is a float, or an int that a float can hold."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= sys.float_info.max)


def _is_colour(values: list) -> bool:
    """Return whether the values are three finite numbers."""
    return len(values) == 3 and all(is_number(value) and math.isfinite(value) for value in values)
