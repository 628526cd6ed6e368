"""The part of the page about all clips: mean profiles in time, and the features used most often with example frames."""

from typing import Any

import cv2
import numpy as np

from saliency.report.pictures import encode, number, numbers
from saliency.results.over_clips import OverClips
from saliency.results.run import Run

SIDE = 60  # longer side of a thumbnail, in pixels


def overview_part(seen: OverClips, run: Run) -> dict[str, Any]:
    """Return the profiles and the features of OverClips for JSON.

    The results of clips with thumbnails are read again, one at a time.
    """
    profiles = seen.profiles()
    for group in profiles["groups"]:
        group |= {key: numbers(group[key]) for key in ("mean", "low", "high")}
    features = seen.features()
    if features:
        _add_thumbnails(features["features"], run)
    return {"profiles": profiles, "features": features}


def _add_thumbnails(features: list[dict[str, Any]], run: Run) -> None:
    """Round the numbers of the features, and add a thumbnail to each of their examples."""
    examples = [example for feature in features for example in feature["examples"]]
    for clip in dict.fromkeys(example["clip"] for example in examples):
        frames = run.result(clip).frames
        for example in examples:
            if example["clip"] == clip:
                example |= {"value": number(example["value"]), "picture": thumbnail(frames[example["frame"] - 1])}
    for feature in features:
        feature["share"] = number(feature["share"])


def thumbnail(frame: np.ndarray) -> str:
    """Return a frame (H, W) uint8, at most SIDE pixels wide and high, as a data: address."""
    factor = min(1, SIDE / max(frame.shape))
    size = [max(1, round(side * factor)) for side in frame.shape[::-1]]
    return encode(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), quality=75)
