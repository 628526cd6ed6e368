"""Open a model for a script: load a checkpoint, or build a network of the user and load its weights.

What was assumed is printed, and facts that contradict a checkpoint are refused.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.adapters import LAYOUTS
from model.checkpoint import ModelInfo, check_finite, load_model
from model.checks import has_encoder
from model.contract import class_scores, fitted
from model.legacy import ASSUMED
from model.normalisation import NORMALISATION, normalisation
from model.own import OwnModel, is_own_model, load_own_weights
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, check_size
from model.scores import n_classes
from model.state_dicts import weights_digest
from runtime.errors import UserError


def open_model(path: Path | None, device: torch.device, facts: dict[str, Any],
               labels: list[str] | None = None) -> tuple[torch.nn.Module, ModelInfo]:
    """Return the trained model on the device, in eval mode, and its ModelInfo.

    path: the checkpoint, or None for the weights that a network of the user has. facts: what the user says about the
    model, by the names of the flags. A checkpoint of main.py must agree with them; to a checkpoint of the original
    projects, which holds only weights, and to a network of the user (`open_own`) they are added. labels: the classes of
    the data set, which name the scores of the latter two. ValueError for contradictions and for sizes that do not fit
    into memory.
    """
    if is_own_model(facts.get("model")):
        return open_own(path, device, facts, labels)
    for name in ("layout", "step"):
        if name in facts:
            raise UserError(f"--{name} {facts[name]} was given, but it belongs to a network of your own; give --model "
                            "FILE.py:FUNCTION, or leave it out")
    assumed = {name: facts.get(name) for name in ASSUMED}
    model, info = load_model(path, device, **assumed)
    if info.assumed:
        info = _tell_assumed(path, info, labels if labels and not facts.get("classes") else None)
    _check_facts(path, facts, info)
    check_size(info.sample_duration, info.sample_size)
    return model, info


def open_own(path: Path | None, device: torch.device, facts: dict[str, Any],
             labels: list[str] | None = None) -> tuple[torch.nn.Module, ModelInfo]:
    """Return a network that a function of the user builds, as `open_model` does.

    Running the function executes the code of the user. The ModelInfo's `config` holds a digest of the weights. The
    network is checked on noise (`fitted`) before anything is written. ValueError if a fact is missing, the function
    fails or the scores do not fit the classes.
    """
    place, layout = OwnModel.parse(facts["model"]), facts.get("layout")
    classes = list(facts.get("classes") or labels or [])
    missing = [f"--{name}" for name in ("sample_size", "sample_duration") if name not in facts]
    missing += [] if classes else ["--classes"]
    if missing:
        raise UserError(f"--model {facts['model']} is a network of your own, which does not say what it reads; give "
                        f"{' and '.join(missing)}")
    if facts.get("n_classes") not in (None, len(classes)):
        raise UserError(f"--n_classes {facts['n_classes']} was given, but {len(classes)} classes are named: "
                        f"{', '.join(classes)}; correct --n_classes or --classes")
    size, duration = facts["sample_size"], facts["sample_duration"]
    check_size(duration, size)
    model = place.build(len(classes))
    if path is not None:
        load_own_weights(model, path)
    check_finite(model, path or place.path, "give other weights")
    if layout is not None and has_encoder(model):
        raise UserError(f"--layout {layout} was given, but the network of {place.path} has encode and classify, which "
                        "read (B, T, C, H, W); leave --layout out")
    clip = torch.randn(duration, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        model = fitted(model.to(device).eval(), clip, len(classes), facts.get("step"), layout or LAYOUTS[0])
    except UserError as error:
        raise UserError(f"{place.path}{place.line_of(error.__cause__ or error)}: {error}") from error
    _check_classes(model, place, classes, clip)
    asked = {name: facts[name] for name in NORMALISATION if name in facts}
    mean, std = normalisation(**asked) if asked else (IMAGENET_MEAN, IMAGENET_STD)
    return model, ModelInfo(facts["model"], {"weights": weights_digest(model)}, classes, size, duration, list(mean),
                            list(std))


@torch.no_grad()
def _check_classes(model: torch.nn.Module, place: OwnModel, classes: list[str], clip: torch.Tensor) -> None:
    """Raise UserError unless a network of the user has one score per class, or one score for two classes."""
    scores = class_scores(model, clip[None])
    if scores.shape[1] == 1 and len(classes) != 2:
        raise UserError(f"the network of {place.path} has one score per clip, which is the logit of the second of two "
                        f"classes, but --classes names {', '.join(classes)}; give two names")
    if n_classes(scores) != len(classes):
        raise UserError(f"the network of {place.path} has {scores.shape[1]} scores, but {len(classes)} classes are "
                        f"named ({', '.join(classes)}); give --classes, one name per score and in their order")


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
            raise UserError(f"--{name} {facts[name]} contradicts the checkpoint {path}, which has {fact}; leave the "
                            "flag out")
    asked = {name: facts[name] for name in NORMALISATION if name in facts}
    if asked and not np.allclose(normalisation(**asked), (info.mean, info.std)):
        given, fact = (np.round(numbers, 4).ravel().tolist()
                       for numbers in (normalisation(**asked), (info.mean, info.std)))
        raise UserError(f"the normalisation flags give mean and deviation {given} for pixels in 0..1, which "
                        f"contradicts the checkpoint {path}, which has {fact}; leave them out")
