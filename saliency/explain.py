"""Everything the project has to say of one clip: maps, their agreement with motion and person, and the arrays to keep.

    arrays, maps, facts = explain(model, clip, target, ["gradient", "smoothgrad"], tsr={"patch": 10})
    rows = measure(maps, frames, flow, masks)          # {"gradient": {"auc_flow_frame": ...}, ..., "random": {...}}
"""

import numpy as np

from saliency.flow import cv2, frame_difference
from saliency.methods import METHODS
from saliency.metrics import centre_map, map_metrics, random_map
from saliency.tsr import temporal_saliency_rescaling

BASELINES = ("random", "centre", "frame_difference")


def explain(model, clip, target, methods, score="logit", smooth=0.0, tsr=None, tsr_progress=None):
    """Attribute the score of class `target` on one normalised clip (T, C, H, W) to its pixels.

    methods: names in METHODS. smooth: standard deviation, in pixels, of a Gaussian over each map. tsr: keyword
    arguments of temporal_saliency_rescaling, or None for none.
    Returns (maps, arrays, facts): maps {method: (T, H, W) float32, not negative}; arrays of TSR to keep beside them,
    time_delta (T,), time_contribution (T,), patch_delta (T, rows, columns); facts {name: number}.
    """
    maps, arrays, facts = {}, {}, {}
    for name in methods:
        attribution = METHODS[name].attribute(model, clip, target, score)
        maps[name] = blur(attribution.map.cpu().numpy(), smooth)
        facts |= {f"{name}_{fact}": value for fact, value in attribution.facts.items()}
    if tsr is not None:
        result = temporal_saliency_rescaling(model, clip, target, score=score, progress=tsr_progress, **tsr)
        maps["tsr"] = blur(result.tsr.numpy(), smooth)
        arrays = {name: getattr(result, name).numpy() for name in ("time_delta", "time_contribution", "patch_delta")}
        facts["tsr_error_bound"] = result.error_bound
    return maps, arrays, facts


def blur(maps, sigma):
    """Each map of (T, H, W) convolved with a Gaussian of `sigma` pixels; 0 leaves them as they are."""
    maps = np.asarray(maps, dtype=np.float32)
    return np.stack([cv2.GaussianBlur(each, (0, 0), sigma) for each in maps]) if sigma else maps


def measure(maps, frames, flow, masks=None, mean_flow=None, smooth=0.0, seed=0):
    """map_metrics of each map and of the baselines, smoothed alike: {method: {metric: float}}.

    frames (T, H, W) uint8, flow (T-1, H, W), masks (T, H, W) bool or None, mean_flow (H, W) of training clips or None.
    """
    baselines = {
        "random": random_map(frames.shape, seed),
        "centre": centre_map(frames.shape, mean_flow),
        "frame_difference": blur(frame_difference(frames), smooth),
    }
    return {name: map_metrics(values, flow, masks) for name, values in (maps | baselines).items()}
