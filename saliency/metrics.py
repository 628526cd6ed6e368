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

from functools import wraps

import numpy as np

MOVING = 1.0  # pixels per frame: faster pixels are the binary flow reference


def _varies(values):
    """Whether an array is finite and holds more than one value."""
    return values.size > 0 and bool(np.isfinite(values).all()) and values.min() < values.max()


def _metric(function):
    """A metric of flat arrays as one of arrays of any one shape: a float, NaN where one of them does not vary."""
    @wraps(function)
    def measured(saliency, reference):
        saliency, reference = np.asarray(saliency), np.asarray(reference)
        if saliency.shape != reference.shape:
            raise ValueError(f"the map is {saliency.shape} but its reference {reference.shape}; give both in one shape")
        if not (_varies(saliency) and _varies(reference)):
            return float("nan")
        with np.errstate(invalid="ignore"):
            return float(function(saliency.ravel().astype(np.float64), reference.ravel()))

    return measured


@_metric
def auc(saliency, reference):
    """Area under the ROC curve of `saliency` as a score for `reference` (bool), arrays of one shape.

    The share of pairs (pixel inside, pixel outside) in which the one inside is higher, ties counted half. 0.5 is
    chance. Hanley and McNeil, Radiology 1982.
    """
    outside = np.sort(saliency[~reference])
    below, not_above = (np.searchsorted(outside, saliency[reference], side) for side in ("left", "right"))
    return (below + not_above).mean() / 2 / len(outside)


@_metric
def nss(saliency, reference):
    """Normalised scanpath saliency: mean inside `reference` of (map - its mean) / its standard deviation. 0 is chance.
    Peters, Iyer, Itti and Koch, Vision Research 2005."""
    return (saliency[reference].mean() - saliency.mean()) / saliency.std()


@_metric
def mass_accuracy(saliency, reference):
    """Relevance mass accuracy: sum of the map inside `reference` over its whole sum, negative values counting as 0.

    Chance is the area's share. Arras, Osman and Samek, CLEVR-XAI, Information Fusion 2022.
    """
    mass = np.maximum(saliency, 0)
    return mass[reference].sum() / mass.sum()


@_metric
def rank_accuracy(saliency, reference):
    """Relevance rank accuracy: of the K highest values, K the size of `reference`, the share that lies inside it.

    Equal values at the limit share the places that are left. Chance and source as for mass_accuracy.
    """
    size = int(reference.sum())
    limit = np.partition(saliency, -size)[-size]  # the lowest of the K highest
    above, level = saliency > limit, saliency == limit
    share = (size - above.sum()) / level.sum()
    return ((above & reference).sum() + share * (level & reference).sum()) / size


@_metric
def cc(saliency, magnitude):
    """Pearson correlation of the map with `magnitude`. Bylinskii et al., What do different evaluation metrics tell us
    about saliency models?, TPAMI 2019."""
    return np.corrcoef(saliency, magnitude)[0, 1]


@_metric
def sim(saliency, magnitude):
    """Similarity: both scaled to sum 1 (negative values count as 0), then the sum of the smaller values; 1 is equal.
    Judd, Durand and Torralba, MIT-CSAIL-TR-2012-001; Bylinskii et al., TPAMI 2019."""
    mass, other = np.maximum(saliency, 0), np.maximum(magnitude, 0)
    return np.minimum(mass / mass.sum(), other / other.sum()).sum()


@_metric
def spearman(a, b):
    """Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank. Spearman, 1904."""
    return cc(*map(_ranks, (a, b)))


def _ranks(values):
    """The ranks of values (N,), equal ones sharing their mean rank, less a constant."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - counts / 2)[place]


BINARY = {"auc": auc, "nss": nss, "mass_accuracy": mass_accuracy, "rank_accuracy": rank_accuracy}
GRADED = {"cc": cc, "sim": sim}


def mean_of(values):
    """Mean of the values (n,) that are finite, NaN without one."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def _against(name, maps, references, magnitudes=None):
    """Metrics METRIC_`name` against references (T, H, W) bool and magnitudes, means over the frames with a reference.

    maps, references and magnitudes may also hold one item, all frames of a clip together.
    """
    seen = [t for t, reference in enumerate(references) if _varies(reference)]
    row = {f"{name}_share": mean_of([references[t].mean() for t in seen])}
    for metrics, others in ((BINARY, references), (GRADED, magnitudes)):
        for metric, function in metrics.items() if others is not None else ():
            row[f"{metric}_{name}"] = mean_of([function(maps[t], others[t]) for t in seen])
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
    if saliency.ndim != 3 or flow.shape != (len(saliency) - 1, *saliency.shape[1:]):
        raise ValueError(f"the map is {saliency.shape} and the flow {flow.shape}; give (T, H, W) and (T-1, H, W)")
    moving = flow > MOVING
    seen = [t for t in range(len(flow)) if _varies(moving[t])]
    row = {"frames_with_reference": len(seen), "frames_constant": sum(not _varies(saliency[t]) for t in seen)}
    row |= profile_metrics(np.maximum(saliency, 0).sum((1, 2), dtype=np.float64), flow.sum((1, 2), dtype=np.float64))
    against = {"flow": (saliency[:-1], moving, flow)}
    if masks is not None:
        masks = np.asarray(masks, dtype=bool)
        if masks.shape != saliency.shape:
            raise ValueError(f"the map is {saliency.shape} but the masks {masks.shape}; give a mask for every frame")
        against["mask"] = saliency, masks
        row["time_auroc_visible"] = auc(saliency.sum((1, 2), dtype=np.float64), masks.any((1, 2)))
    for name, arrays in against.items():
        for span, parts in (("frame", arrays), ("clip", [array[None] for array in arrays])):
            row |= {f"{metric}_{span}": value for metric, value in _against(name, *parts).items()}
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
        values = np.array([row.get(name) for row in rows], dtype=np.float64)  # None becomes NaN
        values = values[np.isfinite(values)]
        n, low, high = len(values), float("nan"), float("nan")
        if n > 1:
            draws = np.random.default_rng(seed).integers(n, size=(resamples, n))
            low, high = np.quantile(values[draws].mean(1), [0.025, 0.975]).tolist()
        summary[name] = {"mean": mean_of(values), "low": low, "high": high, "n": n, "n_nan": len(rows) - n}
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
        return np.inf if value is None or np.isnan(value) else -value

    table = [list(columns), *([_cell(row.get(c)) for c in columns] for row in sorted(rows, key=order))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() for line in table)
