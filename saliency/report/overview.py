"""The part of the page about all clips: mean profiles in time, and the features used most often with example frames."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from saliency.over_clips import OverClips
from saliency.report.pictures import encode, number, numbers
from saliency.result import ClipResult

SIDE = 60  # longer side of a thumbnail, in pixels


def overview_part(seen: OverClips, folder: Path) -> dict[str, Any]:
    """Return the profiles and the features of OverClips for JSON.

    The clips of `seen` have the name of their folder below the result folder, "<class>/<clip>"; their files are read
    again for the thumbnails, one at a time.
    """
    profiles = seen.profiles()
    for group in profiles["groups"]:
        group |= {key: numbers(group[key]) for key in ("mean", "low", "high")}
    features = seen.features()
    if features:
        _add_thumbnails(features["features"], folder)
    return {"profiles": profiles, "features": features}


def _add_thumbnails(features: list[dict[str, Any]], folder: Path) -> None:
    """Round the numbers of the features, and add the thumbnail and the name of the clip to each of their examples."""
    examples = [example for feature in features for example in feature["examples"]]
    for place in dict.fromkeys(example["clip"] for example in examples):
        result = ClipResult.read(folder / place / "saliency.npz")
        for example in examples:
            if example["clip"] == place:
                example |= {"value": number(example["value"]), "name": result.facts.get("clip", Path(place).name),
                            "picture": thumbnail(result.frames[example["frame"] - 1])}
    for feature in features:
        feature["share"] = number(feature["share"])


def thumbnail(frame: np.ndarray) -> str:
    """Return a frame (H, W) uint8, at most SIDE pixels wide and high, as a data: address."""
    factor = min(1, SIDE / max(frame.shape))
    size = [max(1, round(side * factor)) for side in frame.shape[::-1]]
    return encode(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), quality=75)
