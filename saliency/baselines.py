"""Baseline maps, which do not use the model. A saliency map should agree with the motion better than they do.

    random_map(frames.shape)         # agrees with the motion by chance only
    centre_map(frames.shape)         # knows where people usually walk
    frame_difference(frames)         # knows where this clip changes
    over_blocks(frame_difference(frames), 10)       # the same in the patches of TSR, or in the blocks of an occlusion
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from runtime.errors import UserError
from saliency.flow import grey

PATCHES, BLOCKS = "frame_difference_patches", "frame_difference_blocks"  # only beside a map that is made of these
BASELINES = ("random", "centre", "frame_difference", PATCHES, BLOCKS)  # their names in tables and files
BESIDE = {PATCHES: "tsr", BLOCKS: "occlusion_block"}  # the only method whose map has the form of this baseline


def baselines_of(method: str) -> tuple[str, ...]:
    """Return the baselines with which the map of a method is compared."""
    return tuple(name for name in BASELINES if BESIDE.get(name, method) == method)


def words_of(baseline: str) -> str:
    """Return the name of a baseline as words."""
    *words, last = baseline.split("_")
    return " ".join([*words, *(["in", "the", "same"] if baseline in BESIDE else []), last])


def random_map(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return uniform noise in 0..1 of `shape` (T, H, W), float32."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def centre_map(shape: tuple[int, ...], mean_flow: np.ndarray | None = None) -> np.ndarray:
    """Return the mean flow (H, W) of the training clips, repeated for every frame: `shape` (T, H, W), float32.

    Without a mean flow it is a Gaussian at the centre, whose standard deviation is a quarter of each side.
    ValueError if the mean flow has another size than the frames.
    """
    _, height, width = shape
    if mean_flow is None:
        rows, columns = ((np.arange(n) - (n - 1) / 2) / (n / 4) for n in (height, width))
        mean_flow = np.exp(-0.5 * (rows[:, None] ** 2 + columns**2))
    if np.shape(mean_flow) != (height, width):
        raise UserError(f"the mean flow is {np.shape(mean_flow)} but the frames are {(height, width)}; use one size")
    return np.broadcast_to(np.asarray(mean_flow, dtype=np.float32), shape).copy()


def frame_difference(frames: np.ndarray) -> np.ndarray:
    """Return |x_t - x_{t+1}| in grey levels: (T, H, W) or (T, H, W, 3) uint8 -> (T, H, W) float32.

    The last frame is compared with the frame before it. A clip of one frame gives zeros.
    """
    frames = grey(frames).astype(np.float32)
    if len(frames) < 2:
        return np.zeros_like(frames)
    difference = np.abs(np.diff(frames, axis=0))
    return np.concatenate([difference, difference[-1:]])


def over_blocks(maps: np.ndarray, pixels: int, frames: int = 1) -> np.ndarray:
    """Return the mean of maps (T, H, W) in each block of TSR or occlusion_block, at all pixels of the block."""
    for axis, side in enumerate((frames, pixels, pixels)):
        starts = np.arange(0, maps.shape[axis], side)
        sizes = np.diff(starts, append=maps.shape[axis])
        means = np.add.reduceat(maps, starts, axis) / np.expand_dims(sizes, tuple({0, 1, 2} - {axis}))
        maps = np.repeat(means, sizes, axis).astype(np.float32)
    return maps


def blocks_of(facts: Mapping[str, Any], methods: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return {PATCHES or BLOCKS: (pixels, frames)} of the methods whose maps are made of such, by the facts saved."""
    sizes = {name: [int(facts[key]) for key in (f"{name}_patch", f"{name}_patch_frames") if key in facts]
             for name in methods}
    return {BLOCKS if len(size) > 1 else PATCHES: tuple(size) for size in sizes.values() if size}
