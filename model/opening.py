"""Open a checkpoint for a script: load it, print what was assumed, and refuse facts that contradict it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.checkpoint import ModelInfo, load_model
from model.legacy import ASSUMED
from model.normalisation import NORMALISATION, normalisation
from model.preprocessing import check_size


def open_model(path: Path, device: torch.device, facts: dict[str, Any],
               labels: list[str] | None = None) -> tuple[torch.nn.Module, ModelInfo]:
    """Return the trained model on the device, in eval mode, and its ModelInfo.

    facts: what the user says about the model, by the names of the flags. A checkpoint of main.py must agree with them;
    to a checkpoint of the original projects, which holds only weights, they are added. labels: the classes of the data
    set, which name the scores of the latter. ValueError for contradictions and for sizes that do not fit into memory.
    """
    assumed = {name: facts.get(name) for name in ASSUMED}
    model, info = load_model(path, device, **assumed)
    if info.assumed:
        info = _tell_assumed(path, info, labels if labels and not facts.get("classes") else None)
    _check_facts(path, facts, info)
    check_size(info.sample_duration, info.sample_size)
    return model, info


def _tell_assumed(path: Path, info: ModelInfo, labels: list[str] | None) -> ModelInfo:
    """Print what was assumed about a checkpoint of the original projects.

    Returns the ModelInfo, with the class names `labels` of the data set if their number fits.
    """
    if labels and len(labels) == len(info.classes):
        info = replace(info, classes=labels, assumed=info.assumed | {"classes": labels})
    told = {name: value for name, value in info.assumed.items() if value is not False}
    told["classes"] = " ".join(info.classes)
    flags = (f"--{name}" if value is True else f"--{name} {value}" for name, value in told.items())
    print(f"{path} contains only weights; the settings assumed for the rest can be overridden: {' '.join(flags)}")
    return info


def _check_facts(path: Path, facts: dict[str, Any], info: ModelInfo) -> None:
    """Raise ValueError if the user contradicts the checkpoint."""
    known = {"model": info.model, "n_classes": len(info.classes), "classes": info.classes,
             "sample_size": info.sample_size, "sample_duration": info.sample_duration}
    for name, fact in known.items():
        if facts.get(name) not in (None, fact):
            raise ValueError(f"--{name} {facts[name]} contradicts the checkpoint {path}, which has {fact}; leave the "
                             "flag out")
    asked = {name: facts[name] for name in NORMALISATION if name in facts}
    if asked and not np.allclose(normalisation(**asked), (info.mean, info.std)):
        given, fact = (np.round(numbers, 4).ravel().tolist()
                       for numbers in (normalisation(**asked), (info.mean, info.std)))
        raise ValueError(f"the normalisation flags give mean and deviation {given} for pixels in 0..1, which "
                         f"contradicts the checkpoint {path}, which has {fact}; leave them out")
