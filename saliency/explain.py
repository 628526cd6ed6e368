"""Everything the project has to say of one clip: maps, their agreement with motion and person, and the arrays to keep.

    maps, arrays, facts = explain(model, clip, target, ["gradient", "tsr"], options={"tsr": {"patch": 10}})
    rows = measure(maps, frames, flow, masks)          # {"gradient": {"auc_flow_frame": ...}, ..., "random": {...}}
"""

import numpy as np

from saliency.flow import cv2, frame_difference
from saliency.methods import METHODS
from saliency.metrics import centre_map, map_metrics, random_map

BASELINES = ("random", "centre", "frame_difference")


def explain(model, clip, target, methods, score="logit", smooth=0.0, options=None):
    """Attribute the score of class `target` on one normalised clip (T, C, H, W) to its pixels.

    methods: names in METHODS. smooth: standard deviation, in pixels, of a Gaussian over each map. options: {method:
    its keyword arguments}.
    Returns (maps, arrays, facts): maps {method: (T, H, W) float32, not negative}; arrays {name: what the methods want
    kept beside them}; facts {name: number}.
    """
    maps, arrays, facts = {}, {}, {}
    for name in methods:
        attribution = METHODS[name].attribute(model, clip, target, score, **(options or {}).get(name, {}))
        maps[name] = blur(attribution.map.cpu().numpy(), smooth)
        arrays |= {key: value.cpu().numpy() for key, value in attribution.arrays.items()}
        facts |= {f"{name}_{fact}": value for fact, value in attribution.facts.items()}
    return maps, arrays, facts


def blur(maps, sigma):
    """Each map of (T, H, W) convolved with a Gaussian of `sigma` pixels; 0 leaves them as they are."""
    maps = np.asarray(maps, dtype=np.float32)
    return np.stack([cv2.GaussianBlur(each, (0, 0), sigma) for each in maps]) if sigma else maps


def measure(maps, frames, flow, masks=None, mean_flow=None, smooth=0.0, seed=0):
    """map_metrics of each map and of the baselines, smoothed alike: {method: {metric: float}}.

    frames (T, H, W) uint8, flow (T-1, H, W), masks (T, H, W) bool or None, mean_flow (H, W) of training clips or None.
    """
    baselines = (random_map(frames.shape, seed), centre_map(frames.shape, mean_flow),
                 blur(frame_difference(frames), smooth))
    maps = maps | dict(zip(BASELINES, baselines, strict=True))
    return {name: map_metrics(values, flow, masks) for name, values in maps.items()}
