"""How far a saliency map agrees with where the motion or the person is, with baselines and intervals. numpy only.

    row = map_metrics(saliency, flow, masks)                            # one clip -> {"auc_flow_frame": 0.83, ...}
    print(format_table(rows, ["method", "auc_flow_frame"]))             # rows of several clips or methods
    summarise(rows)["auc_flow_frame"]                                   # {"mean", "low", "high", "n", "n_nan"}

Names in a row, METRIC_REFERENCE_SPAN:

    METRIC      auc, nss, mass_accuracy, rank_accuracy against a binary reference; cc, sim against the flow magnitude
    REFERENCE   flow: the pixels faster than 1 pixel per frame; mask: the pixels of the person, where the truth is known
    SPAN        frame: mean over the frames that have a reference; clip: once over all pixels of the clip together

    flow_share_SPAN, mask_share_SPAN    share of the pixels that the reference (the person) covers on the same frames:
                                        what mass and rank accuracy are for a map that knows nothing
    frames_with_reference   frames whose flow reference is neither empty nor full
    frames_constant         of these, those where the map is constant: they are left out of the means
    time_spearman_flow      Spearman correlation of the saliency per frame with the flow per frame
    time_auroc_visible      AUC of the saliency per frame against the frames that show the person
    last_quarter_share      share of all saliency in the last quarter of the clip (0.25 where it is even)

One rule for what cannot be measured: a map or a reference that is constant (an empty or full reference, a blank map),
empty or not finite gives NaN. `summarise` leaves NaN out and counts it.
"""

from functools import cached_property

import numpy as np

MOVING = 1.0  # pixels per frame: faster pixels are the binary flow reference


class _Maps:
    """Maps as rows (R, N), sorted once and only when a metric asks for ranks."""

    def __init__(self, values):
        self.values = np.asarray(values, dtype=np.float64)
        self.varies = _varies(self.values)

    @cached_property
    def ranks(self):
        """(order, first, last), each (R, N), lowest value first: where in the flattened rows the value stands, and the
        first and last of the ranks 1..N that it shares with its equals."""
        count = self.values.shape[1]
        order = np.argsort(self.values, axis=1) + count * np.arange(len(self.values))[:, None]
        ordered = self.values.ravel()[order]
        begins_run = np.ones(ordered.shape, dtype=bool)
        begins_run[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        begins = np.flatnonzero(begins_run)
        lengths = np.diff(begins, append=begins_run.size)
        first = np.repeat(begins % count + 1, lengths).reshape(order.shape)
        return order, first, first + (np.repeat(lengths, lengths) - 1).reshape(order.shape)


def _varies(rows):
    """(R,) bool: which rows (R, N) are finite and hold more than one value."""
    if not rows.shape[1]:
        return np.zeros(len(rows), dtype=bool)
    low, high = rows.min(axis=1), rows.max(axis=1)
    return np.isfinite(low) & np.isfinite(high) & (low < high)


def _auc(maps, reference):
    inside = reference.sum(axis=1)
    outside = reference.shape[1] - inside
    order, first, last = maps.ranks
    rank_sum = ((first + last) * reference.ravel()[order]).sum(axis=1) / 2
    return (rank_sum - inside * (inside + 1) / 2) / (inside * outside)


def _nss(maps, reference):
    centred = maps.values - maps.values.mean(axis=1, keepdims=True)
    return (centred * reference).sum(axis=1) / reference.sum(axis=1) / centred.std(axis=1)


def _mass_accuracy(maps, reference):
    mass = np.maximum(maps.values, 0)
    return (mass * reference).sum(axis=1) / mass.sum(axis=1)


def _rank_accuracy(maps, reference):
    order, first, last = maps.ranks
    inside = reference.sum(axis=1)
    left_out = reference.shape[1] - inside[:, None]  # the ranks above this one are the K largest
    chosen = np.clip((last - left_out) / (last - first + 1), 0, 1)  # (R, N), a fraction where equals cross the limit
    return (chosen * reference.ravel()[order]).sum(axis=1) / inside


def _pearson(a, b):
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def _cc(maps, magnitude):
    return _pearson(maps.values, magnitude)


def _spearman(maps, other):
    ranks = np.empty((2, *other.shape))
    for row, (order, first, last) in zip(ranks, (maps.ranks, _Maps(other).ranks), strict=True):
        row.ravel()[order] = (first + last) / 2
    return _pearson(*ranks)


def _sim(maps, magnitude):
    mass, other = np.maximum(maps.values, 0), np.maximum(magnitude, 0)
    return np.minimum(mass / mass.sum(axis=1, keepdims=True), other / other.sum(axis=1, keepdims=True)).sum(axis=1)


BINARY = {"auc": _auc, "nss": _nss, "mass_accuracy": _mass_accuracy, "rank_accuracy": _rank_accuracy}
GRADED = {"cc": _cc, "sim": _sim}


def _score(function, maps, reference):
    """function row by row, (R,), NaN where the map or the reference (R, N) does not vary."""
    usable = maps.varies & _varies(reference)
    if not usable.any():
        return np.full(len(reference), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(usable, function(maps, reference.astype(np.float64)), np.nan)


def _single(function, saliency, reference, binary):
    saliency, reference = np.asarray(saliency), np.asarray(reference)
    if saliency.shape != reference.shape:
        raise ValueError(f"the map is {saliency.shape} but its reference {reference.shape}; give both in one shape")
    reference = reference.reshape(1, reference.size).astype(bool if binary else np.float64)
    return float(_score(function, _Maps(saliency.reshape(1, saliency.size)), reference)[0])


def auc(saliency, reference):
    """Area under the ROC curve of `saliency` as a score for `reference` (bool), arrays of one shape.

    The share of pairs (pixel inside, pixel outside) in which the one inside is higher, ties counted half: with R the
    sum of the ranks inside, (R - n1 (n1 + 1) / 2) / (n1 n0). 0.5 is chance. Hanley and McNeil, Radiology 1982.
    """
    return _single(_auc, saliency, reference, binary=True)


def auroc_in_time(scores, visible):
    """`auc` in time: one score per frame (T,) against the frames where the evidence is visible (T,) bool."""
    return auc(scores, visible)


def nss(saliency, reference):
    """Normalised scanpath saliency: mean inside `reference` of (map - its mean) / its standard deviation. 0 is chance.
    Peters, Iyer, Itti and Koch, Vision Research 2005."""
    return _single(_nss, saliency, reference, binary=True)


def mass_accuracy(saliency, reference):
    """Relevance mass accuracy: sum of the map inside `reference` over its whole sum, negative values counting as 0.

    Chance is the area's share. Arras, Osman and Samek, CLEVR-XAI, Information Fusion 2022.
    """
    return _single(_mass_accuracy, saliency, reference, binary=True)


def rank_accuracy(saliency, reference):
    """Relevance rank accuracy: of the K highest values, K the size of `reference`, the share that lies inside it.

    Equal values at the limit share the places that are left. Chance and source as for mass_accuracy.
    """
    return _single(_rank_accuracy, saliency, reference, binary=True)


def cc(saliency, magnitude):
    """Pearson correlation of the map with `magnitude`. Bylinskii et al., What do different evaluation metrics tell us
    about saliency models?, TPAMI 2019."""
    return _single(_cc, saliency, magnitude, binary=False)


def sim(saliency, magnitude):
    """Similarity: both scaled to sum 1 (negative values count as 0), then the sum of the smaller values; 1 is equal.
    Judd, Durand and Torralba, MIT-CSAIL-TR-2012-001; Bylinskii et al., TPAMI 2019."""
    return _single(_sim, saliency, magnitude, binary=False)


def spearman(a, b):
    """Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank. Spearman, 1904."""
    return _single(_spearman, a, b, binary=False)


def _mean(values):
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def _against(name, span, maps, reference, magnitude=None):
    """Metrics of `maps` (R, N) against a reference (R, N) bool and a magnitude (R, N), means over the rows with one."""
    has_reference = _varies(reference)
    row = {f"{name}_share_{span}": _mean(reference.sum(axis=1)[has_reference] / max(reference.shape[1], 1))}
    for metric, function in BINARY.items():
        row[f"{metric}_{name}_{span}"] = _mean(_score(function, maps, reference))
    for metric, function in GRADED.items() if magnitude is not None else ():
        row[f"{metric}_{name}_{span}"] = _mean(_score(function, maps, magnitude)[has_reference])
    return row


def profile_metrics(totals, flow_totals):
    """time_spearman_flow and last_quarter_share of the saliency per frame (T,), not negative, and the flow (T-1,)."""
    in_last_quarter = np.clip(np.arange(1, len(totals) + 1) - 0.75 * len(totals), 0, 1)
    usable = 0 < totals.sum() < np.inf
    return {
        "time_spearman_flow": spearman(totals[:-1], flow_totals),
        "last_quarter_share": float(totals @ in_last_quarter / totals.sum()) if usable else float("nan"),
    }


def map_metrics(saliency, flow, masks=None):
    """Every number of the module's list for one clip: a flat dict of floats and counts.

    saliency (T, H, W), higher is more important; flow (T-1, H, W) magnitude in pixels per frame, flow[t] belonging to
    frame t, so that the last frame is not compared with it; masks (T, H, W) bool, the person's pixels, where known.
    """
    saliency, flow = np.asarray(saliency), np.asarray(flow)
    length = len(saliency)
    if saliency.ndim != 3 or flow.shape != (length - 1, *saliency.shape[1:]):
        raise ValueError(f"the map is {saliency.shape} and the flow {flow.shape}; give (T, H, W) and (T-1, H, W)")
    frames, speed = _Maps(saliency.reshape(length, -1)), np.zeros(saliency.shape)
    speed[:-1] = flow
    speed = speed.reshape(length, -1)  # (T, H*W), nothing moves in the last frame: it has no reference
    row = _against("flow", "frame", frames, speed > MOVING, speed)
    flow = flow.reshape(1, -1)  # (1, (T-1)*H*W)
    row |= _against("flow", "clip", _Maps(saliency[:-1].reshape(1, -1)), flow > MOVING, flow)
    has_reference = _varies(speed > MOVING)
    row["frames_with_reference"] = int(has_reference.sum())
    row["frames_constant"] = int((has_reference & ~frames.varies).sum())
    totals = np.maximum(saliency, 0).sum(axis=(1, 2), dtype=np.float64)  # (T,)
    row |= profile_metrics(totals, speed[:-1].sum(axis=1))
    if masks is not None:
        masks = np.asarray(masks, dtype=bool)
        if masks.shape != saliency.shape:
            raise ValueError(f"the map is {saliency.shape} but the masks {masks.shape}; give a mask for every frame")
        row |= _against("mask", "frame", frames, masks.reshape(length, -1))
        row |= _against("mask", "clip", _Maps(saliency.reshape(1, -1)), masks.reshape(1, -1))
        row["time_auroc_visible"] = auroc_in_time(saliency.sum(axis=(1, 2), dtype=np.float64), masks.any(axis=(1, 2)))
    return row


def random_map(shape, seed=0):
    """Baseline: uniform noise in 0..1 of `shape` (T, H, W)."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def centre_map(shape, mean_flow=None):
    """Baseline that knows where people walk but not this clip: `mean_flow` (H, W) of the training clips in every frame.

    Without one, a Gaussian at the centre, its deviation a quarter of each side. float32 of `shape` (T, H, W).
    """
    _, height, width = shape
    if mean_flow is None:
        rows, columns = ((np.arange(n) - (n - 1) / 2) / (n / 4) for n in (height, width))
        mean_flow = np.exp(-0.5 * (rows[:, None] ** 2 + columns**2))
    if np.shape(mean_flow) != (height, width):
        raise ValueError(f"the mean flow is {np.shape(mean_flow)} but the frames are {(height, width)}; use one size")
    return np.broadcast_to(np.asarray(mean_flow, dtype=np.float32), shape).copy()


def summarise(rows, resamples=5000, seed=0):
    """Mean over clips of every metric in `rows` (dicts of one clip each), with a bootstrap interval.

    Returns {metric: {mean, low, high, n, n_nan}}: low and high bound the central 95 % of the means of `resamples`
    draws of n clips (percentile bootstrap; Efron and Tibshirani 1993, section 13.3), NaN for one clip. n_nan counts
    the clips without a number. Clips are drawn as if independent: those of one person are less so.
    """
    names = dict.fromkeys(name for row in rows for name in row if isinstance(row[name], int | float | np.number | None))
    summary = {}
    for name in names:
        values = np.array([np.nan if row.get(name) is None else row[name] for row in rows], dtype=np.float64)
        values = values[np.isfinite(values)]
        n, low, high = len(values), float("nan"), float("nan")
        if n > 1:
            draws = np.random.default_rng(seed).integers(n, size=(resamples, n))
            means = values[draws].mean(axis=1)
            low, high = (float(x) for x in np.quantile(means, [0.025, 0.975]))
        summary[name] = {"mean": _mean(values), "low": low, "high": high, "n": n, "n_nan": len(rows) - n}
    return summary


def _cell(value):
    """A summary as `0.912 [0.880, 0.940]`, a fraction with three decimals, `-` for what is missing."""
    if isinstance(value, dict):
        interval = "" if np.isnan(value["low"]) else f" [{value['low']:.3f}, {value['high']:.3f}]"
        return _cell(value["mean"]) + interval
    if value is None or value != value:
        return "-"
    return f"{value:.3f}" if isinstance(value, (float, np.floating)) else str(value)


def format_table(rows, columns, sort_by=None):
    """Aligned plain text of `rows` (dicts) under the keys `columns`, the highest `sort_by` (second column) first.

    Rows without a number there come last. Values are text, numbers, or the dicts that `summarise` makes.
    """
    sort_by = sort_by or columns[1]

    def order(row):
        value = row.get(sort_by)
        value = value["mean"] if isinstance(value, dict) else value
        return (1, 0) if value is None or value != value else (0, -value)

    table = [list(columns), *([_cell(row.get(c)) for c in columns] for row in sorted(rows, key=order))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() for line in table)
