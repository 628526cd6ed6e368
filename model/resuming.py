"""Resuming a training run from its last checkpoint, so that it continues exactly as if it had never stopped."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.averaging import WeightAverage
from model.checkpoint import ModelInfo, is_number, load_weights, read_checkpoint
from runtime.errors import UserError
from runtime.sentences import shortened


def resume(path: Path, model: nn.Module, info: ModelInfo, optimizer: torch.optim.Adam,
           average: WeightAverage) -> list[dict[str, Any]]:
    """Load the weights, their average and the optimizer's state of last.pth; return its history, a dict per epoch.

    Without a file, the run starts: nothing is loaded and the history is empty. The optimizer keeps its settings, such
    as the learning rate. Raises ValueError if the file belongs to another run.
    """
    if not path.is_file():
        return []
    checkpoint, settings = read_checkpoint(path), optimizer.state_dict()["param_groups"]
    checkpoint.setdefault("own_weights", [weight.detach().clone() for weight in average.parameters])
    fault = _fault(checkpoint, info, average.parameters)
    try:
        load_weights(model, checkpoint["state_dict"])
    except RuntimeError as error:
        fault = fault or shortened(error)
    if fault:
        raise UserError(f"{path} belongs to another run ({fault}); give another --result_path, or --overwrite to start "
                        "again")
    optimizer.load_state_dict({"state": checkpoint["optimizer"]["state"], "param_groups": settings})
    average.resume(checkpoint["own_weights"], len(checkpoint["history"]))
    return [_with_balanced_accuracy(row) for row in checkpoint["history"]]


def _fault(checkpoint: dict[str, Any], info: ModelInfo, parameters: list[nn.Parameter]) -> str | None:
    """Return why a checkpoint does not belong to this run, or None. parameters: of the optimizer, in its order."""
    if checkpoint["classes"] != info.classes:
        return f"its classes are {shortened(checkpoint['classes'])}, those of the data are {', '.join(info.classes)}"
    optimizer, known, own = checkpoint.get("optimizer"), dict(enumerate(parameters)), checkpoint["own_weights"]
    state = optimizer.get("state") if isinstance(optimizer, dict) else None
    if not (isinstance(state, dict) and state.keys() <= known.keys() and all(
            _fits(known[number], each) for number, each in state.items()) and _is_history(checkpoint.get("history"))
            and isinstance(own, list) and [getattr(weight, "shape", None) for weight in own] == [
                weight.shape for weight in parameters]):
        return "its optimizer state, its history or its weights before averaging are damaged"
    return None


def _with_balanced_accuracy(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the history with NaN for the balanced accuracy that earlier versions did not compute."""
    complete = {}  # in the order of a new row, because log.csv has one header
    for name, value in row.items():
        complete[name] = value
        if name.endswith("_accuracy") and "balanced" not in name:
            balanced = name.replace("accuracy", "balanced_accuracy")
            complete[balanced] = row.get(balanced, math.nan)
    return complete


def _fits(parameter: nn.Parameter, state: Any) -> bool:
    """Return whether Adam's state of a parameter has its shape."""
    shapes = {name: getattr(value, "shape", None) for name, value in state.items()} if isinstance(state, dict) else {}
    return shapes == {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}


def _is_history(history: Any) -> bool:
    """Return whether this is a list with one dict of numbers for each epoch, from epoch 1 on."""
    return isinstance(history, list) and all(
        isinstance(row, dict) and row.get("epoch") == number and row.keys() == history[0].keys()
        and _is_complete(row) and all(map(is_number, row.values())) for number, row in enumerate(history, start=1)
    )


def _is_complete(row: dict[str, Any]) -> bool:
    """Return whether a row of the history has the loss and accuracy of training, and of validation if there was any."""
    parts = ["train", *({"validation"} & {str(name).partition("_")[0] for name in row})]
    return row.keys() >= {f"{part}_{quantity}" for part in parts for quantity in ("loss", "accuracy")}
