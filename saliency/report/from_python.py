"""Explain clips with any model from Python, and write the page of the run.

    from saliency.report import explain_to_report

    page = explain_to_report(model, clips, ["running", "walking"], "results/mine", methods=["gradient", "freeze"])

clips are frames (T, H, W, 3) uint8 RGB of the size that the model reads, or normalised tensors (T, C, H, W).
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from model.checks import check_clip
from model.contract import class_scores, fitted
from model.prediction import Prediction
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, normalise
from model.scores import class_probabilities, n_classes
from model.state_dicts import weights_digest
from runtime.errors import UserError
from runtime.files import read_json, sole_writer, whole_folder, write_json
from runtime.progress import each
from runtime.recipe import WEIGHTS, recipe
from saliency.flow import grey
from saliency.frames import Names, Plan, explain_frames
from saliency.methods import METHODS, check_method
from saliency.report.page import write_report
from saliency.results.clip_files import write_frames
from saliency.results.run import summarise_run, write_run
from saliency.results.tables import zero_maps
from saliency.state import untouched

Clip = np.ndarray | torch.Tensor


def explain_to_report(model: nn.Module, clips: Sequence[Clip], classes: Sequence[str], folder: str | Path, *,
                      names: Sequence[str] | None = None, labels: Sequence[str | None] | None = None,
                      methods: Sequence[str] = ("gradient",), target: str = "predicted", score: str = "logit",
                      options: dict[str, dict] | None = None, mean: Sequence[float] = IMAGENET_MEAN,
                      std: Sequence[float] = IMAGENET_STD, seed: int = 0) -> Path:
    """Explain clips with a model, write the results and report.html into a new folder, and return the page's path.

    opts.json keeps these arguments, the versions of the packages and a digest of the model's weights.

    model: any module from clips (B, T, C, H, W) to scores (B, classes), see docs/models.md. clips: see the
    docstring of this module. classes: the names of the scores in their order. names, labels: of the clips; a label may
    be None. methods: names in saliency.methods.METHODS; the findings are about the first. target: "predicted", "label"
    or a class. options: {method: keyword arguments}. mean, std: per channel, for pixels in 0..1; they make tensors of
    frames, and frames of tensors. seed: of everything random.
    ValueError, before anything is written, if the arguments do not fit together; also if the folder has results.
    """
    folder, methods = Path(folder), list(methods)
    names = [f"clip{number:03}" for number in range(1, len(clips) + 1)] if names is None else list(names)
    labels = [None] * len(clips) if labels is None else list(labels)
    _check(model, clips, classes, names, labels, methods, target, folder)
    for clip, name in zip(clips, names, strict=True):  # so that a wrong clip is found before anything is written
        tensor, _ = _tensor_and_frames(clip, name, mean, std)
    model = fitted(model, tensor, len(classes))
    _probabilities(model, tensor, classes, name)
    rows, made = {}, recipe({
        "model": type(model).__name__, "method": methods[0], "methods": methods, "target": target, "score": score,
        "classes": list(classes), "mean": list(map(float, mean)), "std": list(map(float, std)), "seed": seed,
        "method_options": {name: {key: str(value) for key, value in given.items()}
                           for name, given in (options or {}).items()},
    })
    made["inputs"][WEIGHTS] = weights_digest(model)
    plan = Plan(methods, score, seed=seed, options=options or {})
    with sole_writer(folder):
        write_json(folder / "opts.json", made)
        for clip, name, label in each(list(zip(clips, names, labels, strict=True)), "explaining", "clip"):
            tensor, frames = _tensor_and_frames(clip, name, mean, std)
            probabilities = _probabilities(model, tensor, classes, name)
            predicted = classes[int(probabilities.argmax())]
            explained = classes.index({"predicted": predicted, "label": label}.get(target, target))
            seen = Prediction(tensor, None, probabilities, predicted, explained, (explained,))
            found = explain_frames(model, seen, frames, Names(name, label, classes), plan)
            place = folder / (label or "video") / name
            with whole_folder(place) as new:
                write_frames(new, reference={"seed": seed}, **found)
            rows[name] = read_json(place / "metrics.json")
        content = summarise_run(rows, methods[0])
        for sentence in zero_maps(content["summary"]):
            warnings.warn(sentence, stacklevel=2)
        write_run(folder, content)
        return write_report(folder)


def _check(model: nn.Module, clips: Sequence[Clip], classes: Sequence[str], names: list[str], labels: list[str | None],
           methods: list[str], target: str, folder: Path) -> None:
    """Raise ValueError, in one sentence, if the arguments of `explain_to_report` do not fit together."""
    if not len(clips) or len(names) != len(clips) or len(labels) != len(clips):
        raise UserError(f"{len(clips)} clips, {len(names)} names and {len(labels)} labels were given; give one of "
                        "each for at least one clip")
    wrong = [name for name in names if names.count(name) > 1 or Path(name).name != name or name.startswith(".")]
    if wrong:
        raise UserError(f"{wrong[0]!r} cannot be the name of a folder of one clip; give each clip a name of its own")
    unknown = [label for label in labels if label not in (None, *classes)]
    if unknown or target not in ("predicted", "label", *classes) or (target == "label" and None in labels):
        raise UserError(f"{unknown[0] if unknown else target!r} is none of the classes {', '.join(classes)}, or a clip "
                        "has no label")
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise UserError(f"the methods {methods} were given; known are: {', '.join(METHODS)}")
    for name in methods:
        check_method(METHODS[name], model)
    if any(folder.glob("*/*/saliency.npz")):
        raise UserError(f"{folder} has results already; give another folder, or remove this one")


def _tensor_and_frames(clip: Clip, name: str, mean: Sequence[float],
                       std: Sequence[float]) -> tuple[torch.Tensor, np.ndarray]:
    """Return a clip as a normalised tensor (T, C, H, W), and as grey frames (T, H, W) uint8."""
    if isinstance(clip, torch.Tensor):
        check_clip(clip)
        pixels = clip.detach().cpu() * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)
        frames = (255 * pixels.clamp(0, 1)).round().byte().permute(0, 2, 3, 1).numpy()  # (T, H, W, C)
        return clip, grey(np.ascontiguousarray(frames))
    if not isinstance(clip, np.ndarray) or clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3:
        found = f"{clip.dtype} {clip.shape}" if isinstance(clip, np.ndarray) else f"a {type(clip).__name__}"
        raise UserError(f"{name} is {found}; give frames (T, H, W, 3) of type uint8, or a tensor (T, C, H, W)")
    return normalise(clip, list(mean), list(std)), grey(clip)


@torch.no_grad()
def _probabilities(model: nn.Module, clip: torch.Tensor, classes: Sequence[str], name: str) -> np.ndarray:
    """Return the probabilities (classes,) of a clip; ValueError if the model has other classes or overflows."""
    with untouched(model):
        scores = class_scores(model, clip[None])[0]
    if n_classes(scores) != len(classes):
        raise UserError(f"{len(classes)} names of classes were given, but the model tells {n_classes(scores)} apart")
    if not torch.isfinite(scores).all():
        raise UserError(f"the model's scores of {name} are not finite; check its weights and the normalisation")
    return class_probabilities(scores).cpu().numpy()
