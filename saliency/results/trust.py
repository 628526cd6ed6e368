"""Which method to trust for a model: how far each map beats what knows less than the model does, a table per question.

    found = trust(content["clips"], content.get("random_head"), content.get("groups"))  # parts of a run's metrics.json
    found["questions"][0]["rows"][0]["method"]  # "smoothgrad", the first of the methods that say where
    print(trust_table(found))

A test compares a map with the best baseline (random order, the centre map, the frame difference), on the same clips, or
with the map of the same method for a random head. What the run did not measure is no test, and a method is in the
tables of the questions that it answers.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from runtime.sentences import first_names
from saliency.baselines import BASELINES, baselines_of
from saliency.results.averages import (
    Groups,
    fewer_clips,
    finite_mean,
    format_table,
    has_interval,
    is_number,
    sample_text,
    summarise,
    units_of,
)
from saliency.sanity import METRIC
from saliency.when.encoded import NEGLIGIBLE

RULE = """Which method to trust: the method that passes the most tests stands first, and among equals the one with the
larger mean margin. A test is passed if the 95 % interval of the margin lies above 0. A margin is the gain over the best
baseline, whose own margin is 0, or over a random head on the same backbone."""
HEAD = "random head"

Row = Mapping[str, float | None]  # {metric: value} of one method in one clip


class Test(NamedTuple):
    """A test of a map: its words, and the metrics whose mean, times the sign, is its value; larger is better."""

    words: str
    metrics: tuple[str, ...]
    sign: int = 1

    def value(self, row: Row) -> float:
        """Return the value of a map in one clip, NaN if a metric is missing."""
        found = [row.get(name) for name in self.metrics]
        return float("nan") if None in found else self.sign * sum(found) / len(found)


QUESTIONS = {  # {question: (its tests, what is said if the run has measured none of them for a method)}
    "where": ({"flow": Test("AUC per frame against optical flow", (METRIC,))},
              "not measurable here, because no map of pixels could be compared with moving pixels"),
    "when": ({"person": Test("AUROC of the frames that show the person", ("time_auroc_visible",))},
             "not measurable here, because no clip is known to have frames with and without the person"),
    "faithful to the model": ({  # the error of the random orders cancels in the mean of both gains
        "frames": Test("mean gain in deleting and inserting frames", ("deletion_frame_gain", "insertion_frame_gain")),
        "patches": Test("mean gain in deleting and inserting patches", ("deletion_patch_gain", "insertion_patch_gain")),
        "infidelity": Test("infidelity, less is better", ("infidelity",), -1),
    }, "not measured; --deletion and --robustness do this"),
}


def trust(clips: Mapping[str, Mapping[str, Row]], random_head: Mapping[str, Mapping[str, Any]] | None = None,
          groups: Groups | None = None) -> dict[str, list[dict]]:
    """Return {"questions": [{"question", "note"}]} for each of QUESTIONS.

    clips: {clip: {method or baseline: Row}}. random_head: as saliency.sanity.check returns it, for "where". groups:
    those of the clips, see saliency.results.averages.summarise.
    A question that the run has measured for a method also has "rows", [{"method", "passed", "tests", "mean_margin",
    "margins"}], best method first, and "beside", the methods that are not distinguishable from the first: the interval
    of the difference, the mean over the tests of both, holds 0. margins: {test: summary of the margins over
    the clips in which both maps have a value}. tests: how many margins have an interval. passed: how many of these
    intervals lie above 0.
    """
    names = dict.fromkeys(name for rows in clips.values() for name in rows)
    members, found = [(groups or {}).get(clip, clip) for clip in clips], []
    constant = [name for name in names if not any(is_number(rows[name].get("sparseness", 0))  # undefined for one value
                                                  for rows in clips.values() if name in rows)]
    for question, (tests, missing) in QUESTIONS.items():
        margins = _margins(clips, [name for name in names if name not in constant], tests)
        cells = {name: {key: summarise([{"": each} for each in margin], members)[""] for key, margin in own.items()}
                 for name, own in margins.items()}
        for name in cells if question == "where" else ():
            difference = (random_head or {}).get(name, {}).get("difference") or {}
            cells[name] |= {HEAD: difference} if is_number(difference.get("mean")) else {}
        rows = sorted((_row(name, own) for name, own in cells.items()),
                      key=lambda row: (-row["passed"], -row["mean_margin"]))
        methods = [row["method"] for row in rows if row["method"] not in BASELINES]
        found.append({"question": question, "note": missing} if not methods else {
            "question": question, "rows": rows, "note": _note(rows, constant, units_of(groups)),
            "beside": [name for name in methods[1:] if _are_equal(margins[methods[0]], margins[name], members)]})
    return {"questions": found}


def _margins(clips: Mapping[str, Mapping[str, Row]], names: list[str],
             tests: Mapping[str, Test]) -> dict[str, dict[str, np.ndarray]]:
    """Return {method: {test: its gain over the best baseline in each clip (clips,)}}, where a gain is known."""
    margins = {}
    for key, test in tests.items():
        values = {name: np.array([test.value(rows.get(name, {})) for rows in clips.values()]) for name in names}
        means = {name: np.nan_to_num(finite_mean(values[name]), nan=-np.inf) for name in BASELINES if name in values}
        for name in names:
            best = max((own for own in baselines_of(name) if own in means), key=means.get, default=None)
            if best and np.isfinite(values[name] - values[best]).any():
                margins.setdefault(name, {})[key] = values[name] - values[best]
    return margins


def _row(name: str, margins: dict[str, dict]) -> dict:
    """Return the row of one method: how many tests it passes, of those with an interval, and its margins."""
    known = [margin for margin in margins.values() if has_interval(margin)]
    return {"method": name, "passed": sum(margin["low"] > NEGLIGIBLE for margin in known), "tests": len(known),
            "mean_margin": finite_mean([margin["mean"] for margin in margins.values()]), "margins": margins}


def _are_equal(first: dict[str, np.ndarray], other: dict[str, np.ndarray], members: list) -> bool:
    shared = [first[key] - other[key] for key in first if key in other]
    cell = summarise([{"": each} for each in np.mean(shared, 0)], members)[""] if shared else {}
    return not has_interval(cell) or (cell["low"] <= NEGLIGIBLE and cell["high"] >= -NEGLIGIBLE)


def _note(rows: list[dict], constant: list[str], units: str) -> str:
    """Return what must be known to read the table of a question."""
    cells = [cell for row in rows for cell in row["margins"].values()]
    most = max(cells, key=lambda cell: cell["groups"])
    sample = sample_text(most["n"], most["groups"], units)
    note = [f"The margins are over {sample}." if any(map(has_interval, cells)) else
            f"{sample} {'is' if most['n'] == 1 else 'are'} too few to tell: no test is passed or failed.",
            fewer_clips([{"method": row["method"], **row["margins"]} for row in rows], _tests_of(rows)),
            f"Left out, because their maps have one value everywhere: {', '.join(constant)}." if constant else ""]
    return " ".join(filter(None, note))


def _tests_of(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row["margins"]))


def trust_table(found: dict) -> str:
    """Return the result of `trust` as text: a table for each question that was measured, a line for the others."""
    text = [RULE]
    for question, note, rows in ((each["question"], each["note"], each.get("rows")) for each in found["questions"]):
        text.append(f"{question}: {note}")
        if rows:
            used = _tests_of(rows)
            lines = [{"method": row["method"], "mean margin": row["mean_margin"], **row["margins"],
                      "passed": f"{row['passed']} of {row['tests']}" if row["tests"] else "-"} for row in rows]
            words = "; ".join(f"{key}: {test.words}" for key, test in QUESTIONS[question][0].items() if key in used)
            text[-1] = (f"{question} ({words})\n"
                        f"{format_table(lines, ['method', 'passed', 'mean margin', *used])}\n{note}")
    return "\n\n".join(text)


def trusted(found: dict) -> str | None:
    """Return what the tables say, a sentence per question in which two methods have intervals; None without any."""
    said = []
    for answer in found["questions"]:
        methods = [row for row in answer.get("rows", ()) if row["method"] not in BASELINES and row["tests"]]
        if len(methods) > 1:
            first, equal = methods[0], answer["beside"]
            passes = f"{first['method']} comes first: it passes {first['passed']} of {first['tests']} tests"
            passes += f", but it is not distinguishable from {first_names(equal)}" if equal else ""
            said.append(f"{answer['question'].capitalize()}: of {len(methods)} methods, "
                        f"{passes if first['passed'] else 'none passes a test against the baselines'}.")
    return " ".join(said) or None
