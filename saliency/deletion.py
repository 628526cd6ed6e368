"""Deletion and insertion: how fast the target's probability falls when the pixels that a map calls important vanish.

    rows = deletion_metrics(model, clip, target, {"gradient": map})
    rows["gradient"]["deletion_frame_auc"], rows["random"]["deletion_frame_auc"]

Whole frames, or patches of frames, are replaced by the background of the clip one after the other, the most important
first; insertion starts from the background instead. A good map has a small area under the deletion curve and a large
area under the insertion curve. Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box
Models", BMVC 2018, section 4.1.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from model.checks import check_clip
from saliency.fills import background
from saliency.gradient import untouched
from saliency.sequences import Sequences

CURVE_PARTS = 20  # parts of equal size that are deleted one after the other
DRAWS = 3  # random orders


@torch.no_grad()
def deletion_metrics(model: nn.Module, clip: torch.Tensor, target: int, maps: dict[str, np.ndarray | torch.Tensor],
                     patch: int = 10, draws: int = DRAWS, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return the areas under the curves of P(target) for maps {method: (T, H, W)} of one normalised clip (T, C, H, W).

    patch: side of a patch in pixels. draws: number of random orders, whose mean is the row "random".
    Returns {method: {CURVE_UNIT_auc: area, CURVE_UNIT_gain: gain}}, where CURVE is deletion or insertion and UNIT is
    frame or patch. The gain says how much better the map is than random order; above 0 is good for both curves. A map
    with the same value for all units has no order and gets NaN.
    """
    check_clip(clip)
    generator, empty = torch.Generator().manual_seed(seed), background(clip)
    maps = {name: torch.as_tensor(values, dtype=torch.float64) for name, values in maps.items()}
    rows = {name: {} for name in ("random", *maps)}
    with untouched(model):
        sequences = Sequences(model, clip, target, "probability")
        parts = torch.cat([sequences.describe(clip), sequences.describe(empty[None])])  # (T + 1, ...)
        for unit, side in (("frame", max(clip.shape[-2:])), ("patch", patch)):  # a frame is one large patch
            probabilities = partial(patch_probabilities, sequences, clip, empty, parts, side)
            size = patch_sums(clip[:, 0], side).numel()
            orders = [torch.randperm(size, generator=generator) for _ in range(draws)]
            # Inserting in a random order visits the same clips as deleting in the reversed order, which is random too.
            # So one random area serves both curves.
            random_area = sum(curve_area(order, probabilities) for order in orders) / draws
            for curve, sign in (("deletion", -1), ("insertion", 1)):
                rows["random"] |= {f"{curve}_{unit}_auc": random_area, f"{curve}_{unit}_gain": 0.0}
                for name, values in maps.items():
                    order = descending(patch_sums(values, side).flatten(), generator)
                    area = float("nan") if order is None else curve_area(order, probabilities, curve == "insertion")
                    rows[name] |= {f"{curve}_{unit}_auc": area, f"{curve}_{unit}_gain": sign * (area - random_area)}
    return rows


def curve_area(order: torch.Tensor, probabilities: Callable[[torch.Tensor], torch.Tensor], insertion: bool = False,
               parts: int = CURVE_PARTS) -> float:
    """Return the area under P(target) over the share of units that are deleted or inserted, by the trapezoidal rule.

    order (N,): indices of the units; the first is deleted or inserted first. probabilities: a function from masks of
    deleted units (k, N) bool to P(target) (k,). parts: number of points of the curve after the first.
    """
    size = len(order)
    counts = torch.linspace(0, size, min(parts, size) + 1).round().long()  # (k,) units deleted at each point
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(size)
    reached = ranks < counts[:, None]  # (k, N)
    return float(torch.trapezoid(probabilities(~reached if insertion else reached), counts.double() / size))


def patch_probabilities(sequences: Sequences, clip: torch.Tensor, empty: torch.Tensor, parts: torch.Tensor, patch: int,
                        deleted: torch.Tensor) -> torch.Tensor:
    """Return P(target) of the clip (T, C, H, W) with patches replaced by the background `empty` (C, H, W).

    sequences: of the score "probability". parts (T + 1, ...): the clip and the background, as sequences.describe
    returns them. deleted (k, T * rows * columns) bool: the patches that are replaced, a row per result (k,). Only
    frames that are replaced in part are described.
    """
    height, width = clip.shape[-2:]
    times = torch.arange(len(clip), device=clip.device)
    shown, orders, count = [parts], [], len(parts)
    for cells in deleted.to(clip.device).unflatten(1, (len(clip), -(-height // patch), -(-width // patch))):
        whole = cells.all(2).all(1)  # (T,)
        partly = cells.any(2).any(1) & ~whole
        order = torch.where(whole, len(clip), times)  # (T,), the part that each step shows
        if partly.any():
            pixels = cells[partly].repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, None, :height, :width]
            shown.append(sequences.describe(torch.where(pixels, empty, clip[partly])))
            order[partly] = torch.arange(count, count + len(shown[-1]), device=clip.device)
            count += len(shown[-1])
        orders.append(order)
    return sequences.scores(torch.cat(shown), torch.stack(orders)).double().cpu()


def patch_sums(maps: torch.Tensor, patch: int) -> torch.Tensor:
    """Return the sums over square patches, which are smaller at the edges: (T, H, W) -> (T, rows, columns)."""
    padded = torch.nn.functional.pad(maps, (0, -maps.shape[2] % patch, 0, -maps.shape[1] % patch))
    return padded.unflatten(1, (-1, patch)).unflatten(3, (-1, patch)).sum((2, 4))


def descending(values: torch.Tensor, generator: torch.Generator) -> torch.Tensor | None:
    """Return the indices of values (N,), largest first, equal values in random order.

    Returns None if all values are equal or one is not finite.
    """
    if not torch.isfinite(values).all() or values.min() == values.max():
        return None
    shuffled = torch.randperm(len(values), generator=generator)
    return shuffled[values[shuffled].argsort(descending=True, stable=True)]
