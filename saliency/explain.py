"""Run attribution methods on a clip, and measure how well their maps agree with the motion and the person.

    found = explain(model, clip, target, ["gradient", "tsr"], options={"tsr": {"patch": 10}})
    rows = measure(found.maps, frames, flow, masks)    # {"gradient": {"auc_flow_frame": ...}, ..., "random": {...}}
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import nn

from runtime.errors import UserError
from saliency.baselines import BASELINES, centre_map, frame_difference, random_map
from saliency.lengths import padded, true_frames
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
            registry: dict[str, Method] = METHODS, length: int | None = None) -> Explanation:
    """Explain the score of class `target` on one normalised clip (T, C, H, W) with each of the methods.

    methods: names in the registry, which is METHODS for pixels or FEATURE_METHODS for features. smooth: standard
    deviation in pixels of a Gaussian that blurs the maps of pixels; 0 for none. options: {method: keyword arguments}.
    length: the number of true frames if the frames after them are padding, which gets 0 in every map and array.
    The model may be any module from (B, T, C, H, W) to scores (B, classes), see docs/own_models.md. ValueError if a
    method is unknown or cannot explain the model, before anything is computed, for a wrong length, and if the padding
    has an influence on the scores of the model.
    """
    unknown = [name for name in methods if name not in registry]
    if unknown:
        raise UserError(f"unknown method {unknown[0]!r}; known are: {', '.join(registry)}")
    for name in methods:
        check_method(registry[name], model)
    found = Explanation({}, {}, {}, {})
    total, clip = len(clip), clip if length is None else true_frames(model, clip, length)
    for name in methods:
        attribution = attribute(registry[name], model, clip, target, score, **(options or {}).get(name, {}))
        attribution = padded(attribution, len(clip), total)
        sigma = 0.0 if attribution.time_only else smooth
        found.maps[name] = blur(attribution.map.cpu().numpy(), sigma)
        if attribution.evidence is not None:
            found.evidence[name] = blur(attribution.evidence.cpu().numpy(), sigma)
        if attribution.time_only:
            found.facts[f"{name}_time_only"] = 1.0  # see saliency.attribution.is_time_only
        found.arrays.update({key: value.cpu().numpy() for key, value in attribution.arrays.items()})
        found.facts.update({f"{name}_{fact}": value for fact, value in attribution.facts.items()})
    return found


def blur(maps: np.ndarray, sigma: float) -> np.ndarray:
    """Blur each of the maps (T, H, W) with a Gaussian of `sigma` pixels; 0 leaves the maps as they are."""
    maps = np.asarray(maps, dtype=np.float32)
    return np.stack([cv2.GaussianBlur(each, (0, 0), sigma) for each in maps]) if sigma else maps


def measure(maps: dict[str, np.ndarray], frames: np.ndarray, flow: np.ndarray, masks: np.ndarray | None = None,
            mean_flow: np.ndarray | None = None, smooth: float = 0.0, seed: int = 0,
            length: int | None = None) -> dict[str, dict[str, float]]:
    """Return saliency.metrics.map_metrics of each map and of each baseline: {method or baseline: {metric: number}}.

    frames (T, H, W) uint8, flow (T-1, H, W), masks (T, H, W) bool or None, mean_flow (H, W) of training clips or None.
    smooth: blur of the frame difference, in pixels; the maps must have it already. seed: of the random map. length: the
    number of true frames if the frames after them are padding, which no metric counts.
    """
    if length is not None:
        maps = {name: values[:length] for name, values in maps.items()}
        frames, flow, masks = frames[:length], flow[:length - 1], None if masks is None else masks[:length]
    maps = maps | baseline_maps(frames, mean_flow, smooth, seed)
    return {name: map_metrics(values, flow, masks) for name, values in maps.items()}


def baseline_maps(frames: np.ndarray, mean_flow: np.ndarray | None = None, smooth: float = 0.0,
                  seed: int = 0) -> dict[str, np.ndarray]:
    """Return the baselines of saliency/baselines.py: {name: (T, H, W)}; arguments as in `measure`."""
    maps = (random_map(frames.shape, seed), centre_map(frames.shape, mean_flow),
            blur(frame_difference(frames), smooth))
    return dict(zip(BASELINES, maps, strict=True))
