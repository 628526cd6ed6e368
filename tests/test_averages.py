"""Means over clips with their intervals."""

import math

import numpy as np
import pytest
from scipy import stats

from saliency.results.averages import (
    fewer_clips,
    format_table,
    has_interval,
    sample_text,
    summarise,
    summarise_named,
    units_of,
)

DRAWS = 4000  # samples of a simulation, each a metric of the same clips


@pytest.mark.parametrize("n", [5, 10, 60])
def test_the_interval_of_single_clips_is_that_of_students_t(n):
    values = np.random.default_rng(n).beta(4, 2, size=n)
    summary = summarise([{"auc": value} for value in values])["auc"]
    low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    assert (summary["low"], summary["high"]) == pytest.approx((low, high), abs=2e-3 * stats.sem(values))
    assert summary["mean"] == pytest.approx(values.mean()) and (summary["n"], summary["groups"]) == (n, n)


def test_clips_of_one_person_count_as_one():
    """The interval is that of Student's t over the means of the persons, if all have as many clips."""
    means = np.array([0.1, 0.4, 0.2, 0.9, 0.5, 0.3])
    rows = [{"auc": mean + shift} for mean in means for shift in (-0.05, 0.05)]
    cell = summarise(rows, np.repeat(np.arange(6), 2).tolist())["auc"]
    half = 2.571 * means.std(ddof=1) / math.sqrt(6)
    assert (cell["low"], cell["high"]) == pytest.approx((means.mean() - half, means.mean() + half), rel=1e-3)


def test_fewer_than_five_groups_are_listed():
    """Twelve clips of three persons have no interval, but the mean of each person."""
    rows = [{"auc": person + clip} for person in (0, 10, 20) for clip in (1, 2, 3, 4)]
    cell = summarise(rows, ["a"] * 4 + ["b"] * 4 + ["c"] * 4)["auc"]
    assert (cell["n"], cell["groups"], cell["values"]) == (12, 3, [2.5, 12.5, 22.5])
    assert math.isnan(cell["low"]) and math.isnan(cell["high"]) and not has_interval(cell)
    three = summarise([{"auc": 2.0}] * 3)["auc"]
    assert three["values"] == [2.0] * 3 and not has_interval(three)
    assert has_interval(summarise(rows)["auc"]) and "values" not in summarise(rows)["auc"]


def test_summary_counts_what_has_no_number():
    rows = [{"clip": "a", "auc": 0.5, "n": 3}, {"clip": "b", "auc": float("nan"), "n": 4}, {"auc": None}, {"auc": 0.7}]
    summary = summarise(rows, ["p", "p", "q", "q"])
    assert set(summary) == {"auc", "n"}
    assert summary["auc"]["mean"] == pytest.approx(0.6) and summary["n"]["mean"] == 3.5
    assert (summary["auc"]["n"], summary["auc"]["n_nan"], summary["auc"]["groups"]) == (2, 2, 2)
    assert summary["auc"]["values"] == [0.5, 0.7] and summary["n"]["groups"] == 1


def test_one_clip_has_a_mean_but_no_interval_and_none_has_neither():
    one = summarise([{"auc": 0.5}])["auc"]
    assert one["mean"] == 0.5 and math.isnan(one["low"]) and math.isnan(one["high"]) and one["n"] == 1
    none = summarise([{"auc": float("nan")}])["auc"]
    assert math.isnan(none["mean"]) and (none["n"], none["n_nan"], none["groups"]) == (0, 1, 0)
    assert summarise([]) == {}


def test_clips_are_counted_in_words_with_their_groups():
    groups = {"a1": "person 1", "a2": "person 1", "b1": "person 2"}
    assert summarise_named({"a1": {"x": 1}, "a2": {"x": 2}, "new": {"x": 4}}, groups)["x"]["values"] == [1.5, 4]
    assert units_of(groups) == "people" and sample_text(3, 2, "people") == "3 clips of 2 people"
    assert units_of({"a": "video x"}) == "videos" and sample_text(1, 1, "videos") == "1 clip of 1 video"
    assert units_of(groups | {"c": "video x"}) == "groups" and units_of(None) == units_of({}) == "clips"
    assert sample_text(2, 2, "clips") == "2 clips" and sample_text(2, 1, "people") == "2 clips of 1 person"


def test_a_table_is_aligned_sorted_and_says_which_rows_are_about_fewer_clips():
    cell = summarise([{"auc": value} for value in (0.9, 0.924)])["auc"]
    rows = [{"method": "low", "auc": cell | {"mean": 0.1, "n": 1}}, {"method": "none"}, {"method": "best", "auc": cell}]
    assert format_table(rows, ["method", "auc"], "auc").splitlines() == [
        "method  auc", "best    0.912 (0.900, 0.924)", "low     0.100 (0.900, 0.924)", "none    -"]
    assert "auc of low: 1 of 2" in fewer_clips(rows, ["auc"])
