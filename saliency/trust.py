"""One table that answers which method to trust for a model: how far each map beats what knows less than the model does.

    found = trust(content["clips"], content.get("random_head", {}))        # the parts of a run's metrics.json
    found["rows"][0]["method"], found["rows"][0]["passed"]                  # "freeze", 3
    print(trust_table(found))

A test compares a map with the best baseline (random order, the centre map, the frame difference), on the same clips, or
with the map of the same method for a random head. What the run did not measure is no test.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from saliency.averages import finite_mean, summarise
from saliency.baselines import BASELINES
from saliency.tables import format_table

RULE = ("Which method to trust: the method that passes the most tests stands first, and among equals the one with the "
        "larger mean margin.")
MEANING = ("A test is passed if the 95 % interval of the margin lies above 0; for a single clip, if the margin does. "
           "A margin is the gain over the best baseline, whose own margin is 0, or over a random head on the same "
           "backbone.")
HEAD = "random head"

Row = Mapping[str, float | None]  # {metric: value} of one method in one clip


class Test(NamedTuple):
    """A test of a map against the baselines: its words, and a function from a Row to its value, larger is better."""

    words: str
    value: Callable[[Row], float]


def _metric(name: str, sign: int = 1) -> Callable[[Row], float]:
    """Return a function that gives a metric of a row, NaN if the row has none; with sign -1, its negative."""
    def value(row: Row) -> float:
        found = row.get(name)
        return float("nan") if found is None else sign * found

    return value


def _gain(unit: str) -> Callable[[Row], float]:
    """Return a function that gives the mean of the gains over random order in deleting and inserting a unit."""
    return lambda row: (_metric(f"deletion_{unit}_gain")(row) + _metric(f"insertion_{unit}_gain")(row)) / 2


TESTS = {
    "flow": Test("AUC per frame against optical flow", _metric("auc_flow_frame")),
    "person": Test("AUROC of the frames that show the person", _metric("time_auroc_visible")),
    "frames": Test("mean gain in deleting and inserting frames", _gain("frame")),
    "patches": Test("mean gain in deleting and inserting patches", _gain("patch")),
    "infidelity": Test("infidelity, less is better", _metric("infidelity", -1)),
}


def trust(clips: Mapping[str, Mapping[str, Row]], random_head: Mapping[str, Mapping[str, Any]] | None = None) -> dict:
    """Return {"rule": text, "rows": [{"method", "passed", "tests", "mean_margin", "margins"}]}, best method first.

    clips: {clip: {method or baseline: Row}}. random_head: as saliency.sanity.check returns it. margins: {test: summary
    of the margins over clips, see saliency.averages.summarise}. passed, tests: how many tests the method passes, and
    how many it took.
    """
    names = list(dict.fromkeys(name for rows in clips.values() for name in rows))
    margins = {name: {} for name in names}
    for key, test in TESTS.items():
        values = {name: np.array([test.value(rows.get(name, {})) for rows in clips.values()]) for name in names}
        baselines = {name: finite_mean(values[name]) for name in BASELINES if name in values}
        baselines = {name: mean for name, mean in baselines.items() if np.isfinite(mean)}
        for name in names:
            if baselines and np.isfinite(values[name]).any():
                margin = values[name] - values[max(baselines, key=baselines.get)]
                margins[name][key] = summarise([{key: each} for each in margin])[key]
    for name, summary in (random_head or {}).items():
        difference = summary.get("difference") or {}
        if name in margins and _is_number(difference.get("mean")):
            margins[name][HEAD] = difference
    rows = [_row(name, own) for name, own in margins.items()]
    rows.sort(key=lambda row: (-row["passed"], -row["mean_margin"] if row["tests"] else np.inf))
    return {"rule": RULE, "rows": rows}


def _is_number(value: Any) -> bool:
    return value is not None and bool(np.isfinite(value))


def _row(name: str, margins: dict[str, dict[str, float]]) -> dict:
    """Return the row of one method: how many tests it passes, and its margins."""
    margins = {key: margin for key, margin in margins.items() if _is_number(margin["mean"])}
    lowest = [margin["low"] if _is_number(margin["low"]) else margin["mean"] for margin in margins.values()]
    return {"method": name, "passed": sum(low > 0 for low in lowest), "tests": len(margins),
            "mean_margin": finite_mean([margin["mean"] for margin in margins.values()]), "margins": margins}


def trust_table(found: dict) -> str:
    """Return the result of `trust` as text, with the rule above the table and the meaning of its columns below."""
    used = [key for key in (*TESTS, HEAD) if any(key in row["margins"] for row in found["rows"])]
    rows = [{"method": row["method"], "passed": f"{row['passed']} of {row['tests']}", "mean margin": row["mean_margin"],
             **row["margins"]} for row in found["rows"]]
    words = "; ".join(f"{key}: {TESTS[key].words}" for key in used if key in TESTS)
    return "\n".join([found["rule"], format_table(rows, ["method", "passed", "mean margin", *used], sort_by=""),
                      *([f"{words}."] if words else []), MEANING])


def trusted(found: dict) -> str | None:
    """Return what the table says in a sentence; None if no method or no test was measured."""
    methods = [row for row in found["rows"] if row["method"] not in BASELINES and row["tests"]]
    if len(methods) < 2:
        return None
    best = methods[0]
    if not best["passed"]:
        return (f"None of {len(methods)} methods passes a test against the baselines; {best['method']} comes first, "
                f"with a mean margin of {best['mean_margin']:.3f}.")
    beside = [row for row in found["rows"] if row["method"] in ("random", "frame_difference")]
    others = " and ".join(f"{row['method'].replace('_', ' ')} passes {row['passed']}" for row in beside)
    text = (f"Of {len(methods)} methods, {best['method']} comes first: it passes {best['passed']} of {best['tests']} "
            "tests")
    return f"{text}; {others}." if others else f"{text}."
