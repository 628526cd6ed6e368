"""Run attribution methods on a clip, and measure how well their maps agree with the motion and the person.

    found = explain(model, clip, target, ["gradient", "tsr"], options={"tsr": {"patch": 10}})
    rows = measure(found.maps, frames, flow, masks, facts=found.facts)    # {"gradient": {"auc_flow_frame": ...}, ...}
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import nn

from model.checks import check_clip
from model.contract import HALF, fitted
from runtime.errors import UserError
from saliency.attribution import is_time_only
from saliency.baselines import blocks_of, centre_map, frame_difference, over_blocks, random_map
from saliency.methods import METHODS, Method, attribute, check_method
from saliency.metrics import map_metrics


class Explanation(NamedTuple):
    """The results of several methods for one clip, as numpy arrays.

    maps: {method: (T, H, W), not negative, or (T, D) for features}. evidence: {method: signed map}, for the methods
    that have one. arrays: {name: further result of a method}. facts: {"METHOD_FACT": number or text}.
    See saliency.attribution.Attribution.
    """

    maps: dict[str, np.ndarray]
    evidence: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]
    facts: dict[str, float | str]


def explain(model: nn.Module, clip: torch.Tensor, target: int, methods: list[str], score: str = "logit",
            smooth: float = 0.0, options: dict[str, dict] | None = None,
            registry: dict[str, Method] = METHODS, seed: int = 0) -> Explanation:
    """Explain the score of class `target` on one normalised clip (T, C, H, W) with each of the methods.

    methods: names in the registry, which is METHODS for pixels or FEATURE_METHODS for features. smooth: standard
    deviation in pixels of a Gaussian that blurs the maps of pixels; 0 for none. options: {method: keyword arguments}.
    seed: of everything that the methods draw at random; the same seed gives the same maps.
    The model may be any module from (B, T, C, H, W) to scores (B, classes), see docs/models.md. ValueError if a
    method is unknown or cannot explain the model, before anything is computed.
    """
    unknown = [name for name in methods if name not in registry]
    if unknown:
        raise UserError(f"unknown method {unknown[0]!r}; known are: {', '.join(registry)}")
    check_clip(clip)
    clip = clip.float() if clip.dtype in HALF else clip
    model = fitted(model, clip)
    for name in methods:
        check_method(registry[name], model)
    found = Explanation({}, {}, {}, {})
    for name in methods:
        own = {"seed": seed} | (options or {}).get(name, {})
        attribution = attribute(registry[name], model, clip, target, score, **own)
        found.maps[name] = blur(attribution.map.cpu().numpy(), smooth)
        if attribution.evidence is not None:
            found.evidence[name] = blur(attribution.evidence.cpu().numpy(), smooth)
        if attribution.time_only:
            found.facts[f"{name}_time_only"] = 1.0  # see saliency.attribution.is_time_only
        found.arrays.update({key: value.cpu().numpy() for key, value in attribution.arrays.items()})
        found.facts.update({f"{name}_{fact}": value for fact, value in attribution.facts.items()})
    return found


def blur(maps: np.ndarray, sigma: float) -> np.ndarray:
    """Blur each of the maps (T, H, W) with a Gaussian of `sigma` pixels; 0, or a constant map, changes nothing."""
    maps = np.array(maps, dtype=np.float32)
    for each in maps:
        if sigma and each.min() != each.max():
            each[:] = cv2.GaussianBlur(each, (0, 0), sigma)
    return maps


def measure(maps: dict[str, np.ndarray], frames: np.ndarray, flow: np.ndarray, masks: np.ndarray | None = None,
            mean_flow: np.ndarray | None = None, smooth: float = 0.0, seed: int = 0,
            facts: Mapping[str, Any] | None = None, time_only: Collection[str] = ()) -> dict[str, dict[str, float]]:
    """Return saliency.metrics.map_metrics of each map and of each baseline: {method or baseline: {metric: number}}.

    frames (T, H, W) uint8, flow (T-1, H, W), masks (T, H, W) bool or None, mean_flow (H, W) of training clips or None.
    smooth: blur of the frame difference, in pixels; the maps must have it already. seed: of the random map. facts:
    those of the Explanation, which say which maps are constant within a frame, and which consist of patches; frame
    difference averaged over the same patches stands beside these. time_only: further maps, of your own, that are
    constant within a frame.
    """
    facts = {f"{name}_time_only": 1.0 for name in time_only} | dict(facts or {})
    maps = maps | baseline_maps(frames, mean_flow, smooth, seed, blocks_of(facts, maps))
    return {name: map_metrics(values, flow, masks, is_time_only(facts, name)) for name, values in maps.items()}


def baseline_maps(frames: np.ndarray, mean_flow: np.ndarray | None = None, smooth: float = 0.0,
                  seed: int = 0, blocks: Mapping[str, tuple[int, int]] | None = None) -> dict[str, np.ndarray]:
    """Return the baselines: {name: (T, H, W)}; blocks: result of `blocks_of`, other arguments as in `measure`."""
    difference = frame_difference(frames)
    averaged = {name: over_blocks(difference, *block) for name, block in (blocks or {}).items()}
    return {"random": random_map(frames.shape, seed), "centre": centre_map(frames.shape, mean_flow),
            **{name: blur(each, smooth) for name, each in ({"frame_difference": difference} | averaged).items()}}
