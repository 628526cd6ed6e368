"""Compare two runs of frame_saliency.py over the clips that both explain: recipes, predictions, figures and maps.

    a, b = read_run("results/frame_saliency"), read_run("results/other")
    comparison = compare(a, b, {pair.name: facts_of_pair(pair) for pair in read_pairs(a, b)})
    comparison["figures"]["gradient"]["auc_flow_frame"]     # {"a", "b", "difference", "low", "high", "n", ...}

A difference is B minus A, averaged over pairs: the same clip in both runs. Its interval is that of the pairs'
differences (saliency.results.averages.summarise), so what makes a clip easy or hard for both runs does not widen it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from runtime.errors import UserError
from runtime.progress import each
from runtime.sentences import counted, first_names
from saliency.export import drawn_map, map_of
from saliency.results.averages import Cell, finite_mean, side, summarise, too_few, units_of
from saliency.results.clip import ClipResult
from saliency.results.run import DECISION, Row, Run
from saliency.sanity import METRIC, correlations

PREDICTION, MAIN = "prediction", "main map"  # sections of the figures, beside the methods of both runs
AGREEMENT = ("rank correlation over the clip", "rank correlation within frames")  # of two maps
LEFT_OUT = {"result_path", "overwrite", "threads", "use_cuda", "gpu", "num_workers"}  # options that change no result
MOST_NAMED = 5  # clips that a sentence names
COLUMNS = ("a", "b", "difference", "low", "high", "n", "n_nan", "groups")


class Pair(NamedTuple):
    """One clip in both runs: the results, and the names and values (T, H, W) of the maps that the runs drew."""

    name: str
    results: tuple[ClipResult, ClipResult]
    map_names: tuple[str, str]
    maps: tuple[np.ndarray, np.ndarray]


def common_clips(a: Run, b: Run) -> list[str]:
    """Return the names of the clips that both runs explain, sorted; UserError if there is none."""
    names = sorted(a.paths.keys() & b.paths.keys())
    if not names:
        raise UserError(f"{a.folder} and {b.folder} have no clip in common: {a.folder} has {len(a.paths)} clips such "
                        f"as {min(a.paths)}, {b.folder} has {len(b.paths)} such as {min(b.paths)}")
    return names


def read_pairs(a: Run, b: Run) -> Iterator[Pair]:
    """Read the clips that both runs explain, one pair after the other; UserError if there is none."""
    for name in each(common_clips(a, b), "comparing", "clip"):
        results = a.result(name), b.result(name)
        chosen = tuple(map(_map_name, (a, b), results))
        yield Pair(name, results, chosen, tuple(map(map_of, results, chosen)))


def _map_name(run: Run, result: ClipResult) -> str:
    """Return the name of the map that is compared: that of the run's method, with a sign if the run had --signed."""
    signed = run.options.get("signed") and main_method(run) in result.evidence
    return drawn_map(result, run.options) if signed or main_method(run) not in result.maps else main_method(run)


def main_method(run: Run) -> str:
    """Return the method whose map the run drew."""
    options = run.options
    if options.get("tsr") and options.get("tsr_step") != "time" and not options.get("signed"):
        return "tsr"
    return options.get("method") or "gradient"


def facts_of_pair(pair: Pair) -> dict[str, Any]:
    """Return the facts of one clip: classes, probabilities, the rows of its predictions, and how the maps agree.

    The agreement is the rank correlation of the magnitudes of both maps, over the clip and within frames; it is NaN if
    the clips differ in length.
    """
    one, other = (result.facts for result in pair.results)
    label, same = one["label"] or other["label"], one["target"] == other["target"]
    rows = tuple({"probability of the explained class": facts["probability"] if same else None,
                  "share of clips that are right": float(facts["predicted"] == label) if label else None}
                 for facts in (one, other))
    maps = aligned(*pair.maps)
    agreement = correlations(*map(np.abs, maps)) if maps else (float("nan"), float("nan"))
    return {"label": label, "prediction": rows, "agreement": dict(zip(AGREEMENT, agreement, strict=True)),
            "size": tuple(result.frames.shape[1:] for result in pair.results)} | {
                name: [one[name], other[name]] for name in ("predicted", "target", "probability")}


def aligned(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return two maps (T, H, W) at the size of the first; None if they have different numbers of frames."""
    if len(a) != len(b):
        return None
    height, width = a.shape[1:]
    if b.shape != a.shape:
        b = np.stack([cv2.resize(np.float32(each), (width, height), interpolation=cv2.INTER_AREA) for each in b])
    return a, b


def compare(a: Run, b: Run, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what differs between two runs, as plain values for JSON.

    facts: {clip: `facts_of_pair`} of all clips in common. The result has the keys "runs", "methods", "clips" (counts),
    "recipes" (rows of part, name, value in A, value in B), "sizes" (pairs of [height, width] that differ),
    "predictions", "agreement" (of the maps), "figures" ({section: {metric: `paired` cell}}), "units", what the
    intervals take as independent (saliency.results.averages.units_of), and "sentences".
    """
    groups, methods = b.groups | a.groups, (main_method(a), main_method(b))
    groups = {name: groups.get(name, name) for name in facts}
    units = units_of({} if all(name == group for name, group in groups.items()) else groups)
    rows = [{name: _rows_of(run, name) for name in facts} for run in (a, b)]
    known = [dict.fromkeys(method for row in own.values() for method in row) for own in rows]
    chosen = {MAIN: methods} if methods[0] != methods[1] else {}
    chosen |= {method: (method, method) for method in known[0] if method in known[1]}
    pairs = {PREDICTION: [fact["prediction"] for fact in facts.values()]}
    pairs |= {section: [tuple(own[name].get(method, {}) for own, method in zip(rows, both, strict=True))
                        for name in facts] for section, both in chosen.items()}
    figures = {section: paired(each, list(groups.values())) for section, each in pairs.items()}
    comparison = {
        "runs": [str(run.folder) for run in (a, b)], "methods": methods,
        "clips": {"common": len(facts), "only_a": len(a.paths) - len(facts), "only_b": len(b.paths) - len(facts)},
        "recipes": recipe_differences(a.recipe, b.recipe), "predictions": _predictions(facts),
        "sizes": [list(pair) for pair in sorted({fact["size"] for fact in facts.values()}) if pair[0] != pair[1]],
        "agreement": summarise([fact["agreement"] for fact in facts.values()], list(groups.values())), "units": units,
        "figures": {section: cells for section, cells in figures.items() if cells},
    }
    return comparison | {"sentences": sentences(comparison)}


def _rows_of(run: Run, clip: str) -> dict[str, Row]:
    """Return the metrics of a clip in a run: {method or DECISION: Row}."""
    decision = run.metrics.get(DECISION, {}).get("clips", {}).get(clip)
    return run.metrics.get("clips", {}).get(clip, {}) | ({} if decision is None else {DECISION: decision})


def paired(rows: list[tuple[Row, Row]], groups: Sequence[str] | None = None) -> dict[str, dict]:
    """Return {metric: {"a", "b", "difference", "low", "high", "n", "n_nan", "groups"}} of pairs of rows, one per clip.

    a and b are means over the n clips that have a finite value in both runs. difference is b - a; for its interval, and
    for "values" in place of an interval, see saliency.results.averages.summarise, as for groups. n_nan counts the other
    clips.
    """
    cells = {}
    for metric in dict.fromkeys(metric for pair in rows for row in pair for metric in row):
        values = np.array([[row.get(metric) for row in pair] for pair in rows], dtype=float)  # (clips, 2), None is NaN
        both = np.isfinite(values).all(1)
        if both.any():
            cell = summarise([{"": number} for number in values[:, 1] - values[:, 0]], groups)[""]
            cells[metric] = {"a": finite_mean(values[both, 0]), "b": finite_mean(values[both, 1]),
                             "difference": cell.pop("mean"), **cell}
    return cells


def recipe_differences(a: dict[str, Any], b: dict[str, Any]) -> list[list[Any]]:
    """Return [part, name, value in A, value in B] for each option, version and digest that differs, and the commit."""
    found = []
    for part in ("options", "inputs", "versions"):
        one, other = (recipe.get(part, {}) for recipe in (a, b))
        names = [name for name in dict.fromkeys([*one, *other]) if name not in LEFT_OUT]
        found += [[part, name, one.get(name), other.get(name)] for name in names if one.get(name) != other.get(name)]
    if a.get("commit") != b.get("commit"):
        found.append(["commit", "commit", a.get("commit"), b.get("commit")])
    return found


def _predictions(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many clips have another predicted class in B, and which, and how many each run has right."""
    changed = [{"clip": name, "label": fact["label"], "a": fact["predicted"][0], "b": fact["predicted"][1]}
               for name, fact in facts.items() if fact["predicted"][0] != fact["predicted"][1]]
    labelled = [fact for fact in facts.values() if fact["label"]]
    right = [sum(fact["predicted"][run] == fact["label"] for fact in labelled) for run in (0, 1)]
    return {"n_changed": len(changed), "changed": changed, "n_labelled": len(labelled), "right_a": right[0],
            "right_b": right[1]}


def main_section(comparison: dict[str, Any]) -> str:
    """Return the section of "figures" about the maps that the runs drew."""
    return MAIN if MAIN in comparison["figures"] else comparison["methods"][0]


def sentences(comparison: dict[str, Any]) -> list[str]:
    """Return what the comparison of two runs found, a sentence each."""
    clips, predictions = comparison["clips"], comparison["predictions"]
    found = [f"{counted(clips['common'], 'clip')} in both runs are compared; {clips['only_a']} of A and "
             f"{clips['only_b']} of B have no counterpart."]
    for a, b in comparison["sizes"]:
        found.append(f"Frames have {a[0]} x {a[1]} pixels in A and {b[0]} x {b[1]} in B, so the runs explain different "
                     "inputs; a part of each difference may come from the size.")
    names = [row["clip"] for row in predictions["changed"]]
    listed = f": {first_names(names, MOST_NAMED)}" if names else ""
    found.append(f"The predicted class differs in {len(names)} of {counted(clips['common'], 'clip')}{listed}.")
    if predictions["n_labelled"]:
        found.append(f"A predicts the class of {predictions['right_a']}, and B of {predictions['right_b']}, of "
                     f"{counted(predictions['n_labelled'], 'clip')} with a label.")
    over_clip, within = (comparison["agreement"][name] for name in AGREEMENT)
    if over_clip["n"]:
        also = f"{within['mean']:.2f}" if within["n"] else "undefined, because a map is the same all over each frame"
        mean = "mean rank correlation" if over_clip["n"] > 1 else "rank correlation"
        found.append(f"The {mean} of the maps of the two runs (1 means the same order) is {over_clip['mean']:.2f} over "
                     f"the clip; within frames, it is {also}.")
    cell = comparison["figures"].get(main_section(comparison), {}).get(METRIC)
    return [*found, *([_agreement_with_flow(cell, comparison["units"])] if cell else [])]


def _agreement_with_flow(cell: Cell, units: str) -> str:
    sentence = f"The AUC of the map against the optical flow is {cell['a']:.3f} in A and {cell['b']:.3f} in B"
    if side(cell) is None:
        return f"{sentence}; {too_few(cell, units)} tell whether the runs differ in this."
    verdict = {1: "B agrees more", -1: "B agrees less", 0: "the runs are not distinguishable in this"}[side(cell)]
    return (f"{sentence}; {verdict}, because the difference of {cell['difference']:.3f} has the 95 % interval "
            f"[{cell['low']:.3f}, {cell['high']:.3f}].")


def terminal_text(comparison: dict[str, Any]) -> str:
    """Return the two runs, the names of what differs in their recipes, and the sentences. Tables are in the files."""
    names = [name for _, name, *_ in comparison["recipes"]]
    differs = f"The recipes differ in {first_names(names, MOST_NAMED)}." if names else "The recipes are equal."
    runs = [f"{letter}: {run}" for letter, run in zip("AB", comparison["runs"], strict=True)]
    return "\n".join([*runs, *(f"- {sentence}" for sentence in (differs, *comparison["sentences"]))])


def csv_rows(comparison: dict[str, Any]) -> list[list]:
    """Return the rows of comparison.csv, the header first: a row per section and figure."""
    rows = [["section", "figure", *COLUMNS]]
    for section, cells in comparison["figures"].items():
        rows += [[section, name, *("" if cell[column] != cell[column] else cell[column] for column in COLUMNS)]
                 for name, cell in cells.items()]
    return rows
