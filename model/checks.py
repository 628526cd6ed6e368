"""Checks of what is given to a model and of what it returns. Each ends in one sentence that says what to do."""

from typing import Any

import torch

from model.scores import n_classes
from runtime.errors import UserError


def has_encoder(model: Any) -> bool:
    """Return whether a model has `encode` and `classify`, so that the features of its frames can be explained."""
    return all(callable(getattr(model, name, None)) for name in ("encode", "classify"))


def check_clip(clip: torch.Tensor) -> None:
    """Raise ValueError unless the clip is a tensor (T, C, H, W) of floating-point numbers with at least one frame."""
    _check_tensor(clip, "the clip", "(T, C, H, W)", 4)


def check_clips(clips: torch.Tensor) -> None:
    """Raise ValueError unless the clips are a tensor (B, T, C, H, W) of floating-point numbers."""
    _check_tensor(clips, "the batch of clips", "(B, T, C, H, W)", 5)


def check_features(features: torch.Tensor, clips: int, frames: int) -> None:
    """Raise ValueError unless the features that `encode` returned have the shape (clips, frames, D)."""
    shape = getattr(features, "shape", None)
    if shape is None or len(shape) != 3 or tuple(shape[:2]) != (clips, frames):
        raise UserError(f"encode returned {described(features)} for {clips} clips of {frames} frames; it must return "
                        "one vector per frame, (B, T, D)")


def check_scores(scores: torch.Tensor, target: int | None = None, clips: int | None = None) -> None:
    """Raise ValueError unless the scores have the shape (B, classes) and `target` is one of the classes.

    clips: the number of rows expected, or None. One score per clip, (B, 1), tells two classes apart (model/scores.py).
    """
    shape = getattr(scores, "shape", None)
    if shape is None or len(shape) != 2 or clips not in (None, shape[0]):
        expected = "(B, classes)" if clips is None else f"({clips}, classes)"
        raise UserError(f"the model returned {described(scores)}; it must return class scores of shape {expected}")
    if target is not None and not 0 <= target < n_classes(scores):
        raise UserError(f"class {target} was given as the target, but the model has {n_classes(scores)} classes; give "
                        f"a number from 0 to {n_classes(scores) - 1}")


def described(value: Any) -> str:
    """Return a few words about a value: the shape of a tensor, or the type of anything else."""
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" if shape is None else f"a tensor of shape {tuple(shape)}"


def _check_tensor(tensor: torch.Tensor, name: str, shape: str, rank: int) -> None:
    """Raise ValueError unless a tensor has the rank and floating-point numbers, and is not empty."""
    if getattr(tensor, "ndim", None) != rank:
        found = f"has shape {tuple(tensor.shape)}" if hasattr(tensor, "shape") else f"is a {type(tensor).__name__}"
        raise UserError(f"{name} {found}; give one of shape {shape}")
    if not getattr(tensor, "is_floating_point", bool)():
        raise UserError(f"{name} has the type {tensor.dtype}; give floating-point numbers, as "
                        "model.preprocessing.normalise makes of pixels in 0..255")
    if 0 in tensor.shape:
        raise UserError(f"{name} is empty: its shape is {tuple(tensor.shape)}; give at least one frame")
