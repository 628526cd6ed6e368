"""Means that leave out values that are not finite, and means over clips with bootstrap intervals.

    summarise([{"auc": 0.8}, {"auc": 0.6}])["auc"]        # {"mean": 0.7, "low": 0.6, "high": 0.8, "n": 2, "n_nan": 0}
"""

from collections.abc import Mapping, Sequence

import numpy as np


def finite_mean(values: Sequence[float] | np.ndarray) -> float:
    """Return the mean of the finite ones of values (n,), or NaN if there are none."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def summarise(rows: Sequence[Mapping], resamples: int = 5000, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return the mean over clips of every metric, with a 95 % bootstrap interval.

    rows: one dict {metric: number or None} per clip; entries that are not numbers are left out.
    Returns {metric: {"mean", "low", "high", "n", "n_nan"}}. low and high are the 2.5th and 97.5th percentiles of the
    means of `resamples` bootstrap samples (Efron and Tibshirani 1993, section 13.3); they are NaN for a single clip. n
    counts the clips with a finite value, n_nan the others. The bootstrap treats clips as independent, so the interval
    is too narrow where several clips show one person.
    """
    names = dict.fromkeys(name for row in rows for name in row if isinstance(row[name], int | float | np.number | None))
    summary = {}
    for name in names:
        values = np.array([row.get(name) for row in rows], dtype=np.float64)  # None becomes NaN
        values = values[np.isfinite(values)]
        n, low, high = len(values), float("nan"), float("nan")
        if n > 1:
            samples = np.random.default_rng(seed).integers(n, size=(resamples, n))
            low, high = np.quantile(values[samples].mean(1), [0.025, 0.975]).tolist()
        summary[name] = {"mean": finite_mean(values), "low": low, "high": high, "n": n, "n_nan": len(rows) - n}
    return summary
