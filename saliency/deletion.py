"""Deletion and insertion: how fast the target's probability falls when the pixels that a map calls important vanish.

    rows = deletion_metrics(model, clip, target, {"gradient": map})
    rows["gradient"]["deletion_frame_auc"], rows["random"]["deletion_frame_auc"]

Whole frames, or patches of frames, are replaced by the background of the clip one after the other, the most important
first; insertion starts from the background instead. A good map has a small area under the deletion curve and a large
area under the insertion curve. Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box
Models", BMVC 2018, section 4.1.

Single points of the same two curves are the metrics of DeYoung et al., "ERASER: A Benchmark to Evaluate Rationalized
NLP Models", ACL 2020, section 4.3, which `rationale_metrics` defines.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from model.checks import check_clip
from runtime.progress import Progress
from saliency.fills import background
from saliency.gradient import untouched
from saliency.sequences import Sequences

CURVE_PARTS = 20  # parts of equal size that are deleted one after the other
DRAWS = 20  # curves by chance of frames, and a quarter of them of patches, which take longer; see `measure`
TOP = 0.2  # share of the units that is the rationale of a map
TOP_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # shares over which the AOPC is the mean (DeYoung et al. 2020)
TINY = 1e-12  # the log-odds take lower probabilities for this one


@torch.no_grad()
def deletion_metrics(model: nn.Module, clip: torch.Tensor, target: int, maps: dict[str, np.ndarray | torch.Tensor],
                     patch: int = 10, draws: int = DRAWS, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return the areas under the curves of P(target) for maps {method: (T, H, W)} of one normalised clip (T, C, H, W).

    patch: side of a patch in pixels. draws: number of curves by chance, 8 or more, see DRAWS; their mean is the row
    "random".
    Returns {method: {CURVE_UNIT_auc: area, CURVE_UNIT_gain: gain, CURVE_UNIT_gain_error: error, and METRIC_UNIT: see
    `rationale_metrics`}}, where CURVE is deletion or insertion and UNIT is frame or patch. The gain says how much
    better the map is than random order; above 0 is good for both curves. The error is the standard error of the gain
    from the draws; it is the same for all maps. All clips have the same draws, so their mean has this error too. It
    cancels in the mean of both gains. A map with the same value for all units has no order and gets NaN.
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
            count = draws if unit == "frame" else draws // 4
            orders = [torch.arange(size)] * count
            orders += [descending(patch_sums(values, side).flatten(), generator) for values in maps.values()]
            results = []
            with Progress(len(orders), f"deletion by {unit}", "curve", announce=True, leave=False) as progress:
                for place, order in enumerate(orders):
                    chance = generator if place < count else None
                    results.append(None if order is None else measure(order, probabilities, chance))
                    progress.update()
            means = {key: sum(each[key] for each in results[:count]) / count for key in results[0]}
            area = means["insertion_auc"] = means["deletion_auc"]  # the same area, from slightly other points
            error = float(np.std([each["deletion_auc"] for each in results[:count]], ddof=1) / math.sqrt(count))
            own = [each or dict.fromkeys(means, float("nan")) for each in results[count:]]
            found = {"random": means} | dict(zip(maps, own, strict=True))
            for method, measured in found.items():
                measured |= {"deletion_gain": area - measured["deletion_auc"],
                             "insertion_gain": measured["insertion_auc"] - area}
                measured |= {f"{name}_error": error + 0 * measured[name]  # NaN where the gain is
                             for name in ("deletion_gain", "insertion_gain")}
                rows[method] |= {_key(key, unit): value for key, value in measured.items()}
    return rows


def _key(name: str, unit: str) -> str:
    """Return the name of a metric of one unit: deletion_auc -> deletion_frame_auc, sufficiency -> sufficiency_frame."""
    curve, _, rest = name.partition("_")
    return f"{curve}_{unit}_{rest}" if curve in ("deletion", "insertion") else f"{name}_{unit}"


def measure(order: torch.Tensor, probabilities: Callable[[torch.Tensor], torch.Tensor],
            chance: torch.Generator | None = None) -> dict[str, float]:
    """Return deletion_auc, insertion_auc and the values of `rationale_metrics` for an order of the units (N,).

    probabilities: a function from masks of deleted units (k, N) bool to P(target) (k,). chance: with this source of
    random numbers, each point of the curve is that of a random order of its own in place of `order`, so that one curve
    estimates the mean over random orders without bias from 20 to 30 of them, at the price of one. The units that are
    left after N - k of them are then as random as the first k, so that the insertion curve is the deletion curve read
    from its end.
    """
    size = len(order)
    counts = torch.linspace(0, size, min(CURVE_PARTS, size) + 1).round().long().tolist()  # units deleted at each point
    tops = [max(1, round(share * size)) for share in TOP_SHARES]
    points = {*counts, *tops}
    points = torch.tensor(sorted(points | {size - point for point in points} if chance else points))  # (k,)
    if chance:
        ranks = torch.stack([torch.randperm(size, generator=chance) for _ in points])  # (k, N)
        without = probabilities(ranks < points[:, None])
        alone = without.flip(0)
    else:
        without, alone = (curve(order, probabilities, points, insertion) for insertion in (False, True))
    on_curve = torch.isin(points, torch.tensor(counts))
    at_tops = torch.searchsorted(points, torch.tensor(tops))
    return {
        "deletion_auc": area_under(without[on_curve], points[on_curve]),
        "insertion_auc": area_under(alone[on_curve], points[on_curve]),
        **rationale_metrics(float(without[0]), without[at_tops], alone[at_tops]),
    }


def rationale_metrics(whole: float, without: torch.Tensor, alone: torch.Tensor) -> dict[str, float]:
    """Return comprehensiveness, sufficiency, log-odds and AOPC of a map.

    whole: P(target) of the clip. without, alone (5,): of the clip without its most important units, and of these units
    alone, at each share of TOP_SHARES, but always at least one unit.

    comprehensiveness: whole - without at the share TOP; high if the map's units are needed. sufficiency: whole - alone
    at TOP; low if they are enough. aopc_comprehensiveness, aopc_sufficiency: their means over TOP_SHARES, the area over
    the perturbation curve (DeYoung et al. 2020, after Samek et al. 2017). log_odds: log(without / whole) at TOP; low if
    the units are needed (Shrikumar, Greenside and Kundaje, "Learning Important Features Through Propagating Activation
    Differences", ICML 2017, in the form of the package time_interpret: Enguehard, "Learning Perturbations to Explain
    Time Series Predictions", ICML 2023).
    """
    top = TOP_SHARES.index(TOP)
    return {
        "comprehensiveness": whole - float(without[top]), "sufficiency": whole - float(alone[top]),
        "log_odds": math.log(max(float(without[top]), TINY) / max(whole, TINY)),
        "aopc_comprehensiveness": whole - float(without.mean()), "aopc_sufficiency": whole - float(alone.mean()),
    }


def curve(order: torch.Tensor, probabilities: Callable[[torch.Tensor], torch.Tensor], counts: torch.Tensor,
          insertion: bool = False) -> torch.Tensor:
    """Return P(target) when the first counts (k,) units of an order are deleted, or all others, for insertion: (k,).

    order (N,): indices of the units; the first is deleted or inserted first. probabilities: see `measure`.
    """
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    reached = ranks < counts[:, None]  # (k, N)
    return probabilities(~reached if insertion else reached)


def area_under(values: torch.Tensor, counts: torch.Tensor) -> float:
    """Return the area under P(target) (k,) over the share of units counts / N (k,), by the trapezoidal rule."""
    return float(torch.trapezoid(values, counts.double() / int(counts[-1])))


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
