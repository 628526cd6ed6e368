"""Checkpoints that describe themselves: weights, how to build the model, class names, and how frames were prepared.

    model, info = load_model("snapshots/run/best.pth")      # eval mode, ready to use
    info.classes, info.sample_size, info.mean
"""

import io
import math
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path

import torch

from model.cnn_lstm import build_model
from model.contract import last_layer
from model.legacy import converted
from model.registry import MODELS
from runtime.files import whole_file

FORMAT = 1
HEAD = "head."  # left out of the names of weights on disk, where a head's layers stand beside the others


@dataclass(frozen=True)
class ModelInfo:
    """Everything besides weights that is needed to use a model.

    classes: names in the order of the scores; sample_size: side of the square frames in pixels; sample_duration:
    frames per clip; mean, std: per RGB channel, for pixels in 0..1; config: arguments of the model's class; epoch:
    epochs trained; assumed: what a file of the original projects does not hold and was therefore assumed.
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


def save_checkpoint(path, model, info, **training):
    """Write a checkpoint whole or not at all. `training` holds plain values and state dicts for resuming."""
    state = {name.removeprefix(HEAD): weight for name, weight in model.state_dict().items()}
    content = io.BytesIO()  # torch hides what goes wrong with a file, such as a full disk
    torch.save({"format": FORMAT, "state_dict": state, **asdict(info), **training}, content)
    with whole_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_weights(model, state, assign=False):
    """Give a model the weights of a checkpoint's state dict. RuntimeError if they do not fit."""
    names = {name.removeprefix(HEAD): name for name in model.state_dict()}
    model.load_state_dict({names.get(name, name): weight for name, weight in state.items()}, assign=assign)


def read_checkpoint(path, **assumed):
    """The checkpoint's dict, on the CPU. FileNotFoundError or ValueError with one sentence otherwise.

    assumed: what files of the original projects do not hold, see model.legacy.ASSUMED.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train one with main.py or give another path")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} ({path.stat().st_size} bytes) is not a checkpoint that torch can load safely; it may "
                         "be damaged, or hold pickled objects beside weights: save its state_dict alone") from error
    wanted = {item.name for item in fields(ModelInfo) if item.default is item.default_factory is MISSING}
    if isinstance(content, dict) and wanted | {"format", "state_dict"} <= content.keys():
        return content
    try:
        original = converted(content, **assumed)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if original is None:
        found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path} is not a checkpoint of this project: it holds {found}; give one written by main.py")
    return original


def load_model(path, device="cpu", **assumed):
    """Build the model that a checkpoint describes, in eval mode, on the device. Returns (model, ModelInfo).

    Files of interpretability_of_lstm and cnn-lstm serve too: what they do not hold can be given (`assumed`: classes,
    sample_size, mean_dataset ..., see model.legacy.ASSUMED), and info.assumed tells what was taken.
    """
    content = read_checkpoint(path, **assumed)
    info = ModelInfo(**{item.name: content[item.name] for item in fields(ModelInfo) if item.name in content})
    _check(path, info)
    try:
        with torch.device("meta"):  # sizes that a file claims and does not hold take no memory
            model = build_model(info.model, **info.config)
        load_weights(model, content["state_dict"], assign=True)
    except (TypeError, RuntimeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"{path}: its weights do not fit the model it describes ({str(error)[:120]})") from error
    broken = [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]
    if broken:
        raise ValueError(f"{path}: {len(broken)} of its weights hold values that are not finite (first: {broken[0]}); "
                         "its training diverged, train again with a lower --lr_rate")
    return model.to(device).float().eval(), info  # a file may hold half precision


def start_from(path, model, classes):
    """Give a new model the weights of a checkpoint, all but those of its last layer where that knows other classes.

    Returns whether it knows the same. ValueError where they do not fit.
    """
    content = read_checkpoint(path)
    same, last = content["classes"] == classes, f"{last_layer(model)}."
    own = {} if same else {name: weight for name, weight in model.state_dict().items() if name.startswith(last)}
    try:
        load_weights(model, {**content["state_dict"], **own})
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"--pretrain_path {path} does not fit ({str(error)[:160]}); give the --model, --backbone and "
                         "sizes of its training") from error
    return same


def _check(path, info):
    """ValueError where what a checkpoint says of itself cannot be; it may come from anywhere."""
    wrong = [item.name for item in fields(info) if type(getattr(info, item.name)) is not item.type]
    if not wrong:
        possible = {
            "config": "backbone_weights" not in info.config and info.config.get("num_layers", 1) in range(1, 1000)
            and all(type(value) in (int, float, str) for value in info.config.values()),
            "classes": all(isinstance(name, str) for name in info.classes)
            and info.config.get("num_classes") == len(info.classes),
            "sample_size": info.sample_size > 0, "sample_duration": info.sample_duration > 0,
            "mean": _is_colour(info.mean), "std": _is_colour(info.std) and min(info.std) > 0,
        }
        wrong = [name for name, good in possible.items() if not good]
    if wrong:
        value = repr(getattr(info, wrong[0]))[:60]
        raise ValueError(f"{path}: its {wrong[0]} {value} cannot be; give a checkpoint written by main.py")
    if info.model not in MODELS:
        raise ValueError(f"{path} holds a model of kind {info.model!r}; known are: {', '.join(MODELS)}")


def _is_colour(values):
    """Whether these are three finite numbers."""
    return len(values) == 3 and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
