"""Metrics that compare a saliency map with where the motion or the person is.

    row = map_metrics(saliency, flow, masks)               # one clip -> {"auc_flow_frame": 0.83, ...}

Most names in a row have the form METRIC_REFERENCE_SPAN:

    METRIC      auc, nss, mass_accuracy, rank_accuracy compare with a binary reference; cc, sim with the flow magnitude
    REFERENCE   flow: the moving pixels (saliency.flow.moving_threshold); mask: the person's pixels, where known
    SPAN        frame: the mean over the frames that have a reference; clip: all pixels of the clip together

The other names are:

    flow_share_SPAN, mask_share_SPAN    share of the pixels that the reference covers, which is the mass accuracy and
                                        rank accuracy of an uninformed map
    frames_with_reference   number of frames whose flow reference is neither empty nor full
    frames_constant         number of these frames where the map is constant; they count as chance
    map_is_zero             1 if the map is 0 everywhere, else 0
    time_spearman_flow      Spearman correlation of the saliency per frame with the flow per frame
    time_auroc_visible      AUC of the saliency per frame as a score for the frames that show the person
    time_aup_visible, time_aur_visible      area under precision and under recall of the saliency per frame, likewise
    sparseness, time_sparseness     Gini index of the saliency of all pixels, and of the saliency per frame
    last_quarter_share      share of the saliency in the last quarter of the clip (0.25 if it is even over time)
    peak_frame_moves        1 if pixels move into or out of the frame with the most saliency, else 0

All maps are measured in the same frames. A map that is constant where the reference is not has the value of chance: AUC
0.5; NSS, CC and the correlation in time 0; accuracies and SIM those of a uniform map. A metric is NaN if chance has no
value (AUP, AUR, sparseness), if the reference is constant, or if map or reference are not finite;
saliency.results.averages.summarise counts it. A map that is the same all over each frame has metrics over time only.
"""

import inspect
from collections.abc import Callable
from functools import wraps

import numpy as np

from runtime.errors import UserError
from saliency.flow import moving_threshold
from saliency.results.averages import finite_mean

ArrayMetric = Callable[[np.ndarray, np.ndarray], float]


def _varies(values: np.ndarray) -> bool:
    """Return whether an array is finite and holds more than one value."""
    return values.size > 0 and bool(np.isfinite(values).all()) and values.min() < values.max()


def _metric(function: ArrayMetric) -> ArrayMetric:
    """Extend a metric of flat arrays to arrays of any shape.

    The new function returns a float, or NaN if the map is not finite or the reference does not vary. A constant map is
    measured as a map of ones. ValueError if the shapes differ. A metric that is extended already stays as it is.
    """
    function = inspect.unwrap(function)

    @wraps(function)
    def checked(saliency, reference):
        saliency, reference = np.asarray(saliency), np.asarray(reference)
        if saliency.shape != reference.shape:
            raise UserError(f"the map is {saliency.shape} but its reference {reference.shape}; give both in one shape")
        if not saliency.size or not np.isfinite(saliency).all() or not _varies(reference):
            return float("nan")
        flat = saliency.ravel().astype(np.float64) if _varies(saliency) else np.ones(saliency.size)
        with np.errstate(invalid="ignore"):
            return float(function(flat, reference.ravel()))

    return checked


@_metric
def auc(saliency: np.ndarray, reference: np.ndarray) -> float:
    """Return the area under the ROC curve of the map as a score for `reference` (bool). Chance is 0.5.

    It is the share of pairs (pixel inside, pixel outside) in which the pixel inside has the higher value; ties count
    half. Hanley and McNeil, Radiology 1982.
    """
    outside, inside = np.sort(saliency[~reference]), np.sort(saliency[reference])  # ascending values are found sooner
    below, not_above = (np.searchsorted(outside, inside, side) for side in ("left", "right"))
    return (below + not_above).mean() / 2 / len(outside)


@_metric
def nss(saliency: np.ndarray, reference: np.ndarray) -> float:
    """Return the normalised scanpath saliency: the mean of the standardised map inside `reference`. Chance is 0.

    Peters, Iyer, Itti and Koch, Vision Research 2005.
    """
    return (saliency[reference].mean() - saliency.mean()) / (saliency.std() or 1.0)


def _shares(values: np.ndarray) -> np.ndarray:
    """Return values (N,) scaled to sum 1, negative ones counted as 0; equal shares if none is positive."""
    mass = np.maximum(values, 0)
    return mass / mass.sum() if mass.any() else np.full(len(values), 1 / len(values))


@_metric
def mass_accuracy(saliency: np.ndarray, reference: np.ndarray) -> float:
    """Return the relevance mass accuracy: the share of the map's sum that lies inside `reference`.

    Negative values count as 0. Chance is the share of the pixels that `reference` covers. Arras, Osman and Samek,
    CLEVR-XAI, Information Fusion 2022.
    """
    return _shares(saliency)[reference].sum()


@_metric
def rank_accuracy(saliency: np.ndarray, reference: np.ndarray) -> float:
    """Return the relevance rank accuracy: the share of the K highest values that lies inside `reference`.

    K is the number of pixels in `reference`. Values equal to the lowest of the K share the places that are left. Chance
    and source are those of mass_accuracy.
    """
    size = int(reference.sum())
    limit = np.partition(saliency, -size)[-size]  # the lowest of the K highest values
    above, level = saliency > limit, saliency == limit
    share = (size - above.sum()) / level.sum()
    return ((above & reference).sum() + share * (level & reference).sum()) / size


@_metric
def aup(saliency: np.ndarray, reference: np.ndarray) -> float:
    """Return the area under precision over the thresholds 0..1 of the map, which is scaled to 0..1 first.

    The precision at a threshold is the share of the values at or above it that lie inside `reference`. 1 is best.
    Chance is about the share that `reference` covers. Crabbé and van der Schaar, "Explaining Time Series Predictions
    with Dynamic Masks", ICML 2021, section 4.1.
    """
    order = np.argsort(-saliency, kind="stable")
    values = (saliency[order] - saliency.min()) / np.ptp(saliency)  # descending, from 1 to 0
    precision = np.cumsum(reference[order]) / np.arange(1, len(order) + 1)
    return precision[:-1] @ -np.diff(values)  # equal values have no width, so only the last of them counts


@_metric
def aur(saliency: np.ndarray, reference: np.ndarray) -> float:
    """Return the area under recall over the thresholds 0..1 of the map, which is scaled to 0..1 first. 1 is best.

    The recall at a threshold is the share of `reference` whose values are at or above it. Its integral is the mean of
    the scaled map inside `reference`, so a map that is high everywhere but for one place has a high area. Source as for
    aup.
    """
    return (saliency[reference].mean() - saliency.min()) / np.ptp(saliency)


def sparseness(saliency: np.ndarray) -> float:
    """Return the Gini index of the values of a map; negative values count as 0.

    0 means that all values are equal; 1 - 1 / N, that one of N values holds everything. NaN as in the other metrics.
    Hurley and Rickard, "Comparing Measures of Sparsity", IEEE Transactions on Information Theory 2009; for saliency
    maps, Chalasani et al., "Concise Explanations of Neural Networks using Adversarial Training", ICML 2020.
    """
    values = np.sort(np.maximum(saliency, 0), axis=None).astype(np.float64)  # (N,), ascending
    if not _varies(values):
        return float("nan")
    size = len(values)
    return float(np.arange(1 - size, size, 2.0) @ values / (size * values.sum()))


@_metric
def cc(saliency: np.ndarray, magnitude: np.ndarray) -> float:
    """Return the Pearson correlation of the map with `magnitude`.

    Bylinskii et al., "What do different evaluation metrics tell us about saliency models?", TPAMI 2019.
    """
    return np.corrcoef(saliency, magnitude)[0, 1] if np.ptp(saliency) else 0.0


@_metric
def sim(saliency: np.ndarray, magnitude: np.ndarray) -> float:
    """Return the similarity: scale map and `magnitude` to sum 1 each and add up the smaller value of each pixel.

    1 means equal. Negative values count as 0. Judd, Durand and Torralba, MIT-CSAIL-TR-2012-001; Bylinskii et al., TPAMI
    2019.
    """
    return np.minimum(_shares(saliency), _shares(magnitude)).sum()


@_metric
def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's correlation: Pearson's of the ranks; equal values share their mean rank. NaN for a constant."""
    return cc(_ranks(a), _ranks(b)) if np.ptp(a) else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values (N,) up to a constant. Equal values share their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - counts / 2)[place]


BINARY = {
    "auc": auc, "nss": nss, "mass_accuracy": mass_accuracy, "rank_accuracy": rank_accuracy,
}
GRADED = {"cc": cc, "sim": sim}


def _reference_metrics(name: str, maps: np.ndarray, references: np.ndarray,
                       magnitudes: np.ndarray | None = None) -> dict[str, float]:
    """Return {METRIC_name: mean over the frames with a reference} and the share that the reference covers.

    maps (T, H, W), references (T, H, W) bool, magnitudes (T, H, W) or None. For a whole clip, give arrays (1, T, H, W).
    """
    seen = [t for t, reference in enumerate(references) if _varies(reference)]
    pairs = {metric: (function, references) for metric, function in BINARY.items()}
    if magnitudes is not None:
        pairs |= {metric: (function, magnitudes) for metric, function in GRADED.items()}
    row = {f"{name}_share": finite_mean([references[t].mean() for t in seen])}
    for metric, (function, own) in pairs.items():
        values = [_metric(function)(maps[t], own[t]) for t in seen]
        row[f"{metric}_{name}"] = float(np.mean(values)) if values else float("nan")
    return row


def profile_metrics(totals: np.ndarray, flow_totals: np.ndarray) -> dict[str, float]:
    """Return time_spearman_flow and last_quarter_share.

    totals (T,): saliency per frame, not negative. flow_totals (T-1,): flow per frame.
    """
    in_last_quarter = np.clip(np.arange(1, len(totals) + 1) - 0.75 * len(totals), 0, 1)  # (T,) part of each frame
    usable = 0 < totals.sum() < np.inf
    even = _varies(flow_totals) and np.isfinite(totals).all() and not _varies(totals[:-1])
    return {
        "time_spearman_flow": 0.0 if even else spearman(totals[:-1], flow_totals),
        "last_quarter_share": float(totals @ in_last_quarter / totals.sum()) if usable else float("nan"),
    }


def _peak_moves(totals: np.ndarray, moving: np.ndarray) -> float:
    """Return 1.0 if the frame with the largest of totals (T,) has neighbours that moved, else 0.0; NaN without a peak.

    moving (T-1, H, W) bool: the pixels that move from each frame to the next.
    """
    if not _varies(totals):
        return float("nan")
    peak = int(totals.argmax())
    return float(moving[max(peak - 1, 0):peak + 1].any())


def map_metrics(saliency: np.ndarray, flow: np.ndarray, masks: np.ndarray | None = None,
                time_only: bool = False) -> dict[str, float | int]:
    """Return every number listed in the module's docstring for one clip.

    saliency (T, H, W): larger means more important. flow (T-1, H, W): magnitude in pixels per frame; flow[t] belongs to
    frame t, so the last frame is not compared with flow. masks (T, H, W) bool: the pixels of the person, where known.
    time_only: return the metrics over time alone, for a map whose method does not tell the pixels of a frame apart.
    ValueError if the shapes do not agree.
    """
    saliency, flow = np.asarray(saliency), np.asarray(flow)
    if saliency.ndim != 3 or flow.shape != (len(saliency) - 1, *saliency.shape[1:]):
        raise UserError(f"the map is {saliency.shape} and the flow {flow.shape}; give (T, H, W) and (T-1, H, W)")
    moving = flow > moving_threshold(saliency.shape[1])
    row = profile_metrics(np.maximum(saliency, 0).sum((1, 2), dtype=np.float64), flow.sum((1, 2), dtype=np.float64))
    totals = saliency.sum((1, 2), dtype=np.float64)  # (T,)
    row |= {"peak_frame_moves": _peak_moves(totals, moving), "time_sparseness": sparseness(totals),
            "map_is_zero": float(not saliency.any())}
    references = {"flow": (saliency[:-1], moving, flow)}
    if masks is not None:
        masks = np.asarray(masks, dtype=bool)
        if masks.shape != saliency.shape:
            raise UserError(f"the map is {saliency.shape} but the masks {masks.shape}; give a mask for every frame")
        references["mask"] = saliency, masks
        visible = masks.any((1, 2))
        row |= {f"time_{name}_visible": metric(totals, visible)
                for name, metric in (("auroc", auc), ("aup", aup), ("aur", aur))}
    if time_only:
        return row
    seen = [t for t in range(len(flow)) if _varies(moving[t])]
    row |= {"frames_with_reference": len(seen), "frames_constant": sum(int(np.ptp(saliency[t]) == 0) for t in seen),
            "sparseness": sparseness(saliency)}
    for name, by_frame in references.items():
        whole_clip = [array[None] for array in by_frame]  # (1, T, H, W)
        for span, arrays in (("frame", by_frame), ("clip", whole_clip)):
            row |= {f"{metric}_{span}": value for metric, value in _reference_metrics(name, *arrays).items()}
    return row
