"""A run over clips: nobody else writes into its folder, complete results are kept, what cannot be read is left out.

    with result_folder(Path("results/frame_saliency"), options):
        rows, counts = explain_clips(clips, info, load, explain, Path("results/frame_saliency"))
    print(counts)                                  # 3 clips explained, 1 kept from before, 0 left out
"""

import csv
import warnings
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from data.clips import normalise
from data.files import read_json, sole_writer, whole_file, whole_folder
from data.recipe import keep_recipe
from model import processes
from saliency.summary import checked


@contextmanager
def result_folder(folder, options):
    """Keep other runs out of the folder during the block, and in it what it is made with, see data.recipe."""
    with processes.held_by_first(sole_writer(folder)):
        processes.by_first(keep_recipe, folder, options)
        yield


def over_clips(clips, work):
    """[(clip, work(clip))], shared out among the processes, without those for which it is None.

    ValueError where it is None for all.
    """
    found = [pair for pair in zip(clips, processes.spread(work, clips), strict=True) if pair[1] is not None]
    if not found:
        raise ValueError(f"none of the {len(clips)} clips could be read, see the warnings above")
    return found


def explain_clips(clips, info, load, explain, folder, overwrite=False, methods=True):
    """Call explain(clip, what `load` gives, place) for each clip that has no results, or for all with `overwrite`.

    place: an empty folder, which becomes folder/<class>/<clip> when saliency.npz and metrics.json are in it. methods:
    whether the metrics are by method, see saliency.summary.checked.
    Returns ({name of a clip that could be read: its metrics}, how many were explained, kept and left out, in words).
    """
    def explained(clip):
        place = folder / (clip.label or "video") / clip.name
        kept = (place / "saliency.npz").is_file() and not overwrite
        if not kept:
            content = read(clip, info, load)
            if content is None:
                return None
            with whole_folder(place) as temporary:
                explain(clip, content, temporary)
        return checked(read_json(place / "metrics.json"), place / "metrics.json", methods), kept

    found = over_clips(clips, explained)
    n_kept = sum(kept for _, (_, kept) in found)
    counts = f"{len(found) - n_kept} clips explained, {n_kept} kept from before, {len(clips) - len(found)} left out"
    return {clip.name: metrics for clip, (metrics, _) in found}, counts


def read(clip, info, load):
    """load(clip, frames per clip, side of a frame), None with a warning where the clip cannot be read."""
    try:
        return load(clip, info.sample_duration, info.sample_size)
    except (ValueError, OSError) as error:
        warnings.warn(f"{clip.name} is left out: {error}", stacklevel=2)
        return None


class Prediction(NamedTuple):
    """A clip as a model sees it, and the class that it is explained for."""

    tensor: torch.Tensor  # (T, C, H, W), normalised
    features: torch.Tensor  # (T, D)
    probabilities: np.ndarray  # (classes,)
    target: int  # the index of the class
    facts: dict  # what saliency.npz says of the clip
    title: str  # of pictures


@torch.no_grad()
def predict(model, info, clip, frames, target="predicted"):
    """The Prediction for a clip's frames (T, H, W, 3) uint8. target: "predicted", "label" or the name of a class."""
    tensor = normalise(frames, info.mean, info.std).to(next(model.parameters()).device)
    features = model.encode(tensor[None])
    scores = model.classify(features)[0]
    if not torch.isfinite(scores).all():
        raise ValueError(f"{clip.name}: the model's scores are not finite; check its weights, train it again")
    probabilities = scores.softmax(0).cpu().numpy()
    predicted = info.classes[int(probabilities.argmax())]
    target = {"predicted": predicted, "label": clip.label}.get(target, target)
    index = info.classes.index(target)
    facts = {"clip": clip.name, "label": clip.label or "", "predicted": predicted, "target": target,
             "probability": float(probabilities[index])}
    title = f"{clip.name}: {clip.label or 'no label'}, predicted {predicted} ({probabilities.max():.2f})"
    return Prediction(tensor, features[0], probabilities, index, facts, title)


def write_csv(path, rows):
    with whole_file(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
