"""The prediction of a trained model for one clip."""

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from model.checkpoint import ModelInfo
from model.checks import has_encoder
from model.contract import class_scores, encode_clips
from model.feature_cache import FeatureCache
from model.preprocessing import check_size, normalise
from model.scores import class_probabilities
from runtime.errors import UserError
from runtime.sentences import shortened


class Prediction(NamedTuple):
    """The clip as the model reads it, its features and probabilities, and the classes that are explained."""

    tensor: torch.Tensor  # (T, C, H, W), normalised
    features: torch.Tensor | None  # (T, D); None if the model has no encode
    probabilities: np.ndarray  # (classes,)
    predicted: str  # the name of the most probable class
    target: int  # the index of the explained class, or of the first one
    targets: tuple[int, ...]  # the indices of all explained classes


def reading(info: ModelInfo, whole: bool = False) -> dict[str, Any]:
    """Return the keyword arguments with which data.clips.load_frames reads clips for a model.

    whole: read all frames of a clip, also if the model was trained on fewer; otherwise the middle of a longer clip.
    """
    return {"duration": None if whole else info.sample_duration, "size": info.sample_size, "check": check_size,
            "grey": info.grey}


@torch.no_grad()
def predict(model: torch.nn.Module, info: ModelInfo, frames: np.ndarray, target: str | Sequence[str] = "predicted",
            label: str | None = None, cache: FeatureCache | None = None) -> Prediction:
    """Classify a clip, given as frames (T, H, W, 3) uint8 RGB of the size that the model reads.

    target: the class to be explained, or several: see `explained_classes`. label: the name of the true class.
    cache: where features are kept on disk, see `feature_cache`.
    Raises ValueError if a score is not finite, or if the model cannot read as many frames as the clip has.
    """
    weight = next(model.parameters(), None)
    tensor = normalise(frames, info.mean, info.std).to("cpu" if weight is None else weight.device)
    try:
        features = _features(model, tensor, frames, cache) if has_encoder(model) else None
        scores = class_scores(model, tensor[None])[0] if features is None else model.classify(features)[0]
    except RuntimeError as error:
        if len(frames) == info.sample_duration:
            raise
        raise UserError(f"the model fails on a clip of {len(frames)} frames ({shortened(error)}); it is known to read "
                        f"clips of {info.sample_duration} frames, so give such clips") from error
    if not torch.isfinite(scores).all():
        raise UserError("the model's scores are not finite; check its weights, or train it again")
    probabilities = class_probabilities(scores).cpu().numpy()
    predicted = info.classes[int(probabilities.argmax())]
    explained = explained_classes(target, info.classes, predicted, label)
    features = None if features is None else features[0]
    return Prediction(tensor, features, probabilities, predicted, explained[0], explained)


def explained_classes(target: str | Sequence[str], classes: Sequence[str], predicted: str,
                      label: str | None = None) -> tuple[int, ...]:
    """Return the indices of the classes to be explained, each once, in the order of `target`.

    target: the name of a class, "predicted", "label" (the true class, given as `label`) or "all" (the predicted class,
    then all others), or several of these. ValueError if a class is unknown.
    """
    words = {"predicted": [predicted], "label": [label]} | ({} if "all" in classes else {"all": [predicted, *classes]})
    targets = [target] if isinstance(target, str) else target
    names = dict.fromkeys(name for each in targets for name in words.get(each, [each]))
    unknown = [name for name in names if name not in classes]
    if unknown or not names:
        raise UserError(f"{unknown[0] if unknown else 'no class'} was given as the target, but the model knows "
                        f"{', '.join(classes)}; give one of them")
    return tuple(classes.index(name) for name in names)


def feature_cache(folder: Path | None, model: torch.nn.Module, info: ModelInfo) -> FeatureCache | None:
    """Return where the features of clips are kept on disk for `predict`, or None without a folder.

    ValueError if the model has no features.
    """
    if folder is None:
        return None
    if not has_encoder(model):
        raise UserError("--feature_cache was given, but the model has no encode and classify, so there are no "
                        "features to keep; leave it out")
    device = next(iter(model.state_dict().values())).device.type
    return FeatureCache(folder, model, f"features {info.mean} {info.std} {device}", whole=True)


def _features(model: torch.nn.Module, tensor: torch.Tensor, frames: np.ndarray,
              cache: FeatureCache | None) -> torch.Tensor:
    """Return the features (1, T, D) of a clip (T, C, H, W), from the cache if they are there."""
    if cache is None:
        return encode_clips(model, tensor[None])
    key = f"{frames.shape} {hashlib.sha256(np.ascontiguousarray(frames)).hexdigest()}"
    features = cache.load(key)
    if features is not None and features.ndim == 3 and features.shape[:2] == (1, len(frames)):
        return features.to(tensor.device)
    features = encode_clips(model, tensor[None])
    cache.save(key, features.cpu())
    return features


def with_known_features(model: torch.nn.Module, seen: Prediction) -> torch.nn.Module:
    """Return a model with the same weights whose `encode` does not compute the features of this clip again.

    They are taken only where no gradient with respect to the frames is asked for.
    """
    if seen.features is None:
        return model
    known, frames = copy.copy(model), seen.tensor

    def encode(clips: torch.Tensor, *lengths: torch.Tensor | None) -> torch.Tensor:
        same = clips.numel() == frames.numel() and clips.shape[2:] == frames.shape[1:] and not clips.requires_grad
        if same and torch.equal(clips.flatten(0, 1), frames):
            return seen.features.reshape(*clips.shape[:2], -1).clone()
        return model.encode(clips, *lengths)

    known.encode = encode
    return known
