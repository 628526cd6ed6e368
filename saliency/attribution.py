"""The result of an attribution method, the same for frames and for features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
import torch

SPREAD = ("interval", "shapley_frame")  # methods that spread the value of a frame over its pixels


@dataclass(frozen=True)
class Attribution:
    """The result of one method for one clip.

    map: for frames (T, H, W), not negative, larger means more important; for features (T, D), signed.
    evidence: for frames (T, H, W), signed, positive where the input raises the score of the explained class, or None if
    the method has no sign; for features None, because the map is signed already.
    facts: what the method states about itself: numbers, such as a completeness gap, or the name of TSR's base.
    arrays: further results that are saved with the map, such as TSR's time contribution.
    time_only: whether the method tells frames apart but not the pixels of a frame, so that its map is constant within
    each frame. Such a map is neither blurred nor measured against pixels, and it is drawn over time.
    """

    map: torch.Tensor
    evidence: torch.Tensor | None = None
    facts: dict[str, float | str] = field(default_factory=dict)
    arrays: dict[str, torch.Tensor] = field(default_factory=dict)
    time_only: bool = False


def with_seed(function: Callable, options: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the options of a method with the seed of a run, if the function draws at random and names no other."""
    return {"seed": seed} | options if "seed" in signature(function).parameters else options


def is_time_only(facts: Mapping[str, Any], method: str) -> bool:
    """Return whether the map of a method is constant within each frame, from the facts that saliency.explain saves."""
    return bool(facts.get(f"{method}_time_only"))


def frame_values(values: np.ndarray, facts: Mapping[str, Any], method: str) -> np.ndarray:
    """Return a value per frame (T,) of a map (T, H, W): its sum over the pixels, or the value that they share.

    They share it if the method tells frames apart only (is_time_only) and does not spread the value over the pixels.
    """
    shared = is_time_only(facts, method) and method not in SPREAD
    return values[:, 0, 0] if shared else values.sum((1, 2), dtype=np.float64)
