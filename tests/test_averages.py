"""Means over clips with their intervals."""

import math

import numpy as np
import pytest
from scipy import stats

from saliency.averages import summarise


@pytest.mark.parametrize("n", [3, 10, 60])
def test_interval_equals_the_bootstrap_of_scipy(n):
    values = np.random.default_rng(n).beta(4, 2, size=n)
    summary = summarise([{"auc": value} for value in values], resamples=20000)["auc"]
    reference = stats.bootstrap((values,), np.mean, n_resamples=20000, method="percentile", random_state=1)
    interval = reference.confidence_interval
    tolerance = 0.05 * values.std()
    assert summary["low"] == pytest.approx(interval.low, abs=tolerance)
    assert summary["high"] == pytest.approx(interval.high, abs=tolerance)
    assert summary["mean"] == pytest.approx(values.mean()) and (summary["n"], summary["n_nan"]) == (n, 0)


def test_summary_counts_what_has_no_number():
    rows = [{"clip": "a", "auc": 0.5, "n": 3}, {"clip": "b", "auc": float("nan"), "n": 4}, {"auc": None}, {"auc": 0.7}]
    summary = summarise(rows)
    assert set(summary) == {"auc", "n"}
    assert summary["auc"]["mean"] == pytest.approx(0.6) and summary["n"]["mean"] == 3.5
    assert (summary["auc"]["n"], summary["auc"]["n_nan"]) == (2, 2)
    assert 0.5 <= summary["auc"]["low"] < 0.6 < summary["auc"]["high"] <= 0.7


def test_one_clip_has_a_mean_but_no_interval_and_none_has_neither():
    one = summarise([{"auc": 0.5}])["auc"]
    assert one["mean"] == 0.5 and math.isnan(one["low"]) and math.isnan(one["high"]) and one["n"] == 1
    none = summarise([{"auc": float("nan")}])["auc"]
    assert math.isnan(none["mean"]) and (none["n"], none["n_nan"]) == (0, 1)
    assert summarise([]) == {}


def test_summary_depends_on_the_seed_alone():
    rows = [{"auc": value, "nss": -value} for value in (0.1, 0.5, 0.6, 0.9)]
    assert summarise(rows) == summarise(rows)
    assert summarise(rows)["nss"]["low"] == pytest.approx(-summarise(rows)["auc"]["high"])  # the same clips are drawn
    assert summarise([{"nss": row["nss"]} for row in rows])["nss"] == summarise(rows)["nss"]
