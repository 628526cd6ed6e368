"""The pictures of the page: maps as sheets of grey tiles, one tile per frame, within a given number of bytes.

    scale = scale_of(values)
    (sheet,), quality = compress([montage(grey_levels(values, scale["peaks"], scale["signed"]), 6, border=0)], 50_000)

The page turns grey into colour (scale.js). Grey levels follow the square root of the magnitude, and each frame has a
range of its own, so faint frames and faint pixels keep their precision for the logarithmic scale and the scale per
frame.
"""

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from saliency.figures import colour_limit, montage

QUALITIES = (90, 75, 60, 45, 30, 20)  # of JPEG; the first one whose pictures fit is used


def number(value: float) -> float | None:
    """Return a number with four digits for JSON, or None if it is not finite."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def numbers(values: np.ndarray | None) -> list[float | None] | None:
    """Return an array as numbers for JSON, None for values that are not finite; None if there is no array."""
    return None if values is None else [number(value) for value in values]


def scale_of(values: np.ndarray, signed: bool = False, limit: float | None = None) -> dict[str, Any]:
    """Return the colour scales of a map (T, ...), for the clip and for each frame.

    signed: give it a diverging scale, also if no value is negative. limit: the end of the scale; by default that of
    the map (saliency.figures.colour_limit). Returns
    "limit": the end of the scale of the clip; "beyond": whether values exceed it; "signed": whether the scale diverges.
    "peaks": T numbers, the value of the strongest grey level in each frame, at most `limit` or the end of the frame.
    "ends": T numbers, the end of the scale of each frame alone (colour_limit).
    """
    magnitude = np.nan_to_num(np.abs(values)).reshape(len(values), -1)  # (T, pixels)
    limit = limit or colour_limit(values)
    ends = np.array([colour_limit(frame) for frame in magnitude])
    peaks = np.minimum(magnitude.max(1), np.maximum(ends, limit))
    peaks = np.where(peaks > 0, peaks, limit)
    return {"limit": limit, "signed": signed or bool((values < 0).any()), "beyond": bool((magnitude > limit).any()),
            "peaks": numbers(peaks), "ends": numbers(ends)}


def grey_levels(values: np.ndarray, peaks: Sequence[float], signed: bool) -> np.ndarray:
    """Return the grey levels of a map (T, ...), uint8 of the same shape.

    peaks: T numbers, see `scale_of`. Level 255 stands for the peak of the frame and 0 for 0; with `signed`, levels 1 to
    255 stand for -peak to peak, and 128 for 0. The levels follow the square root of the magnitude. NaN counts as 0.
    """
    peaks = np.reshape(peaks, (-1, *[1] * (values.ndim - 1)))
    shares = np.sqrt(np.clip(np.abs(np.nan_to_num(values)) / peaks, 0, 1))  # (T, ...)
    levels = 128 + 127 * np.copysign(shares, values) if signed else 255 * shares
    return np.rint(levels).astype(np.uint8)


def sheet_of(stack: np.ndarray) -> np.ndarray:
    """Return the frames of a stack (T, H, W) as one sheet of tiles that is about as wide as high in tiles."""
    return montage(stack, int(np.ceil(np.sqrt(len(stack)))), border=0)


def compress(sheets: Sequence[np.ndarray], allowed: int, quality: int = QUALITIES[0]) -> tuple[list[str], int]:
    """Return each sheet as a data: address, in the best quality that `allowed` bytes permit, and that quality.

    quality: the best one to try. It is that of the clip before, because clips of a run are much alike.
    """
    for lower in QUALITIES[QUALITIES.index(quality):]:
        encoded = [encode(sheet, quality=lower) for sheet in sheets]
        if sum(map(len, encoded)) * 3 / 4 <= allowed:  # base64 adds a third
            break
    return encoded, lower


def encode(picture: np.ndarray, suffix: str = ".jpg", quality: int = 85) -> str:
    """Return a picture (H, W) or (H, W, 3) BGR, uint8, as a data: address."""
    encoded = cv2.imencode(suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else [])[1]
    return f"data:image/{'jpeg' if suffix == '.jpg' else 'png'};base64,{base64.b64encode(encoded).decode()}"
