"""Deletion and insertion: how fast the target's probability falls when what a map calls important goes.

    rows = deletion_metrics(model, clip, target, {"gradient": map})
    rows["gradient"]["deletion_frame_auc"], rows["random"]["deletion_frame_auc"]

Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018, section 4.1,
by whole frames and by patches of frames; what is deleted becomes the background of the clip. Good are a low area under
the deletion curve and a high one under the insertion curve.
"""

from functools import partial

import torch

from saliency.fills import background
from saliency.gradient import encode_frames, score_of, untouched

CURVE_PARTS = 20  # parts of equal size that are deleted one after the other
DRAWS = 3  # random orders


@torch.no_grad()
def deletion_metrics(model, clip, target, maps, patch=10, draws=DRAWS, seed=0):
    """Areas under the curves of P(target) for maps {method: (T, H, W)} of one normalised clip (T, C, H, W).

    patch: side in pixels. Returns {method: flat dict}, and a row "random", the mean of `draws` random orders. Keys are
    CURVE_UNIT_auc and CURVE_UNIT_gain, CURVE deletion or insertion, UNIT frame or patch; the gain is how far the map
    beats random order: above 0 is good in both curves. A map that has one value for all units orders nothing: NaN.

    Random order backwards is random order, and inserting in it visits the clips of deleting: one curve serves both.
    """
    generator, empty = torch.Generator().manual_seed(seed), background(clip)
    maps = {name: torch.as_tensor(values, dtype=torch.float64) for name, values in maps.items()}
    rows = {name: {} for name in ("random", *maps)}
    with untouched(model):
        features, empty_features = encode_frames(model, clip), encode_frames(model, empty[None])[0]  # (T, D), (D,)
        for unit, side in (("frame", max(clip.shape[-2:])), ("patch", patch)):  # a frame is one large patch
            probabilities = partial(patch_probabilities, model, clip, empty, features, empty_features, target, side)
            size = patch_sums(clip[:, 0], side).numel()
            orders = [torch.randperm(size, generator=generator) for _ in range(draws)]
            chance = sum(curve_area(order, probabilities) for order in orders) / draws
            for curve, sign in (("deletion", -1), ("insertion", 1)):
                rows["random"] |= {f"{curve}_{unit}_auc": chance, f"{curve}_{unit}_gain": 0.0}
                for name, values in maps.items():
                    order = descending(patch_sums(values, side).flatten(), generator)
                    area = float("nan") if order is None else curve_area(order, probabilities, curve == "insertion")
                    rows[name] |= {f"{curve}_{unit}_auc": area, f"{curve}_{unit}_gain": sign * (area - chance)}
    return rows


def curve_area(order, probabilities, insertion=False, parts=CURVE_PARTS):
    """Area under the curve over the share of the units that is deleted (or inserted), by the trapezoidal rule.

    order (N,): indices of the units, first to go first. probabilities: of clips with units deleted, (k, N) -> (k,).
    """
    size = len(order)
    counts = torch.linspace(0, size, min(parts, size) + 1).round().long()  # (k,)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(size)
    reached = ranks < counts[:, None]  # (k, N)
    return float(torch.trapezoid(probabilities(~reached if insertion else reached), counts.double() / size))


def patch_probabilities(model, clip, empty, features, empty_features, target, patch, deleted):
    """P(target) with patches deleted (k, T * rows * columns) bool. Only frames that are partly deleted are encoded."""
    height, width = clip.shape[-2:]
    sequences = []
    for cells in deleted.to(clip.device).unflatten(1, (len(clip), -(-height // patch), -(-width // patch))):
        everything = cells.all(2).all(1)  # (T,)
        sequence = torch.where(everything[:, None], empty_features, features)
        partly = cells.any(2).any(1) & ~everything
        if partly.any():
            pixels = cells[partly].repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, None, :height, :width]
            sequence[partly] = encode_frames(model, torch.where(pixels, empty, clip[partly]))
        sequences.append(sequence)
    return score_of(model, torch.stack(sequences), target, "probability").double().cpu()


def patch_sums(maps, patch):
    """(T, H, W) summed over square patches, smaller at the edges: (T, rows, columns)."""
    padded = torch.nn.functional.pad(maps, (0, -maps.shape[2] % patch, 0, -maps.shape[1] % patch))
    return padded.unflatten(1, (-1, patch)).unflatten(3, (-1, patch)).sum((2, 4))


def descending(values, generator):
    """Indices of values (N,), largest first, equals in random order; None where all are equal or one is not finite."""
    if not torch.isfinite(values).all() or values.min() == values.max():
        return None
    shuffled = torch.randperm(len(values), generator=generator)
    return shuffled[values[shuffled].argsort(descending=True, stable=True)]
