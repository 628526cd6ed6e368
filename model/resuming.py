"""Resuming a training run from its last checkpoint, so that it continues exactly as if it had never stopped."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.averaging import WeightAverage
from model.checkpoint import ModelInfo, load_weights, read_checkpoint
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
    advice = "give another --result_path, or --overwrite to start again"
    if checkpoint["classes"] != info.classes:
        raise UserError(f"{path} belongs to another run: its classes are {shortened(checkpoint['classes'])}, those of "
                        f"the data are {', '.join(info.classes)}; {advice}")
    if checkpoint.get("training_clips", info.training_clips) != info.training_clips:
        raise UserError(f"{path} belongs to another run: it was trained on other clips, or their images have changed; "
                        f"{advice}")
    load_weights(model, checkpoint["state_dict"], f"{path} belongs to another run: it", advice)
    try:
        state, own, history = checkpoint["optimizer"]["state"], checkpoint["own_weights"], checkpoint["history"]
        _check_shapes(state, own, average.parameters)
        rows = [dict(row) for row in history]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} belongs to another run, or is damaged: its optimizer state, its history or its "
                        f"weights before averaging do not fit ({shortened(error)}); {advice}") from error
    optimizer.load_state_dict({"state": state, "param_groups": settings})
    average.resume(own, len(rows))
    return rows


def _check_shapes(state: dict[int, dict], own: list[torch.Tensor], parameters: list[nn.Parameter]) -> None:
    """Raise ValueError unless Adam's state, and the weights before averaging, have the shapes of the parameters."""
    shapes = [weight.shape for weight in parameters]
    moments = [(shapes[number], value.shape) for number, values in state.items() for name, value in values.items()
               if name != "step"]
    if [weight.shape for weight in own] != shapes or any(wanted != found for wanted, found in moments):
        raise ValueError("other shapes than the weights")
