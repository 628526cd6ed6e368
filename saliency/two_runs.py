"""Compare two runs of frame_saliency.py over the clips that both explain: recipes, predictions, figures and maps.

    comparison = compare(read_run("results/frame_saliency"), read_run("results/other"))
    comparison["figures"]["gradient"]["auc_flow_frame"]     # {"a", "b", "difference", "low", "high", "n", ...}

A difference is B minus A, averaged over pairs: the same clip in both runs. Its interval is that of the pairs'
differences (saliency.averages.summarise), so what makes a clip easy or hard for both runs does not widen it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from runtime.errors import UserError
from runtime.files import read_json
from runtime.progress import each
from saliency.averages import Groups, finite_mean, summarise, units_of
from saliency.export import drawn_map, map_of
from saliency.result import ClipResult
from saliency.sanity import correlations
from saliency.summary import WHEN

PREDICTION, MAIN = "prediction", "main map"
SPANS = "over the clip", "within frames"  # of the agreement of two maps
LEFT_OUT = {"result_path", "overwrite", "threads", "use_cuda", "gpu", "num_workers"}  # options that change no result

Row = Mapping[str, float | None]


class Run(NamedTuple):
    """The results of one run."""

    folder: Path
    recipe: dict[str, Any]  # the content of opts.json, {} without one
    rows: dict[str, dict[str, Row]]  # {clip: {method or "when": {metric: value}}}
    paths: dict[str, Path]  # {clip: its saliency.npz}
    groups: Groups  # {clip: its person or video}, {} in the results of earlier versions

    @property
    def options(self) -> dict[str, Any]:
        """The options of the command line."""
        options = self.recipe.get("options")
        return options if isinstance(options, dict) else {}

    @property
    def method(self) -> str:
        """The method whose map the run drew."""
        options = self.options
        if options.get("tsr") and options.get("tsr_step") != "time" and not options.get("signed"):
            return "tsr"
        return options.get("method") or "gradient"


class Pair(NamedTuple):
    """One clip in both runs: the results, and the maps that the runs drew."""

    name: str
    results: tuple[ClipResult, ClipResult]
    map_names: tuple[str, str]
    maps: tuple[np.ndarray, np.ndarray]  # (T, H, W) each


def read_run(folder: str | Path) -> Run:
    """Read a result folder of frame_saliency.py; FileNotFoundError or ValueError in a sentence if it is none."""
    folder = Path(folder)
    paths = {path.parent.name: path for path in sorted(folder.glob("*/[!.]*/saliency.npz"))}
    if not folder.is_dir() or not paths:
        raise FileNotFoundError(f"{folder} is no result folder: it has no saliency.npz two folders below; give a "
                                "--result_path of frame_saliency.py")
    contents = [read_json(folder / name) if (folder / name).is_file() else {} for name in ("opts.json", "metrics.json")]
    recipe, metrics = (content if isinstance(content, dict) else {} for content in contents)
    rows = {clip: dict(methods) for clip, methods in metrics.get("clips", {}).items() if isinstance(methods, dict)}
    if any(not isinstance(row, dict) for methods in rows.values() for row in methods.values()):
        raise UserError(f"{folder} holds no maps of pixels, so it is not of frame_saliency.py; compare runs of "
                        "frame_saliency.py")
    for clip, row in metrics.get(WHEN, {}).get("clips", {}).items():
        rows.setdefault(clip, {})[WHEN] = row
    return Run(folder, recipe, rows, paths, metrics.get("groups", {}))


def read_pairs(a: Run, b: Run) -> Iterator[Pair]:
    """Read the clips that both runs explain, one pair after the other. ValueError if there is none."""
    names = common_clips(a, b)
    for name in each(names, "comparing", "clip"):
        results = ClipResult.read(a.paths[name]), ClipResult.read(b.paths[name])
        for run, result in zip((a, b), results, strict=True):
            if result.frames is None:
                raise UserError(f"{run.folder} holds features of {name} and no frames; compare runs of "
                                "frame_saliency.py")
        chosen = tuple(_map_name(run, result) for run, result in zip((a, b), results, strict=True))
        maps = tuple(map_of(result, map_name) for result, map_name in zip(results, chosen, strict=True))
        yield Pair(name, results, chosen, maps)


def _map_name(run: Run, result: ClipResult) -> str:
    """Return the name of the map that is compared: that of the run's method, with a sign if the run had --signed."""
    signed = run.options.get("signed") and run.method in result.evidence
    if signed or run.method not in result.maps:
        return drawn_map(result, run.options)
    return run.method


def common_clips(a: Run, b: Run) -> list[str]:
    """Return the names of the clips that both runs explain, sorted; ValueError if there is none."""
    names = sorted(a.paths.keys() & b.paths.keys())
    if not names:
        raise UserError(f"{a.folder} and {b.folder} have no clip in common: {a.folder} has {len(a.paths)} clips such "
                        f"as {min(a.paths)}, {b.folder} has {len(b.paths)} such as {min(b.paths)}")
    return names


def compare(a: Run, b: Run, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what differs between two runs, as plain values for JSON.

    facts: {clip: `facts_of_pair`} of all clips in common. The result has the keys "runs", "clips" (counts), "recipes"
    (rows of part, name, value in A, value in B), "sizes" (pairs of [height, width] that differ), "predictions",
    "agreement" (of the maps), "figures" ({section: {metric: `paired` cell}}), and "units", what the intervals take as
    independent (saliency.averages.units_of).
    """
    names, methods, groups = list(facts), (a.method, b.method), b.groups | a.groups
    units = units_of({name: groups[name] for name in names if name in groups})
    sections = {PREDICTION: [facts[name]["prediction"] for name in names]}
    if a.method != b.method:
        sections[MAIN] = [_row_pair(a, b, name, methods) for name in names]
    shared = [method for method in _methods(a, names) if method in _methods(b, names)]
    sections |= {method: [_row_pair(a, b, name, (method, method)) for name in names] for method in shared}
    own_groups = [groups.get(name, name) for name in names]
    figures = {section: paired(rows, own_groups) for section, rows in sections.items()}
    return {
        "runs": [str(run.folder) for run in (a, b)], "methods": methods,
        "clips": {"common": len(names), "only_a": len(a.paths) - len(names), "only_b": len(b.paths) - len(names)},
        "recipes": recipe_differences(a.recipe, b.recipe), "predictions": _predictions(facts),
        "sizes": [list(pair) for pair in sorted({fact["size"] for fact in facts.values()}) if pair[0] != pair[1]],
        "agreement": summarise([facts[name]["agreement"] for name in names], own_groups), "units": units,
        "figures": {section: cells for section, cells in figures.items() if cells},
    }


def _methods(run: Run, names: list[str]) -> list[str]:
    return list(dict.fromkeys(method for name in names for method in run.rows.get(name, {})))


def _row_pair(a: Run, b: Run, name: str, methods: tuple[str, str]) -> tuple[Row, Row]:
    return a.rows.get(name, {}).get(methods[0], {}), b.rows.get(name, {}).get(methods[1], {})


def facts_of_pair(pair: Pair) -> dict[str, Any]:
    """Return the facts of one clip: classes, probabilities, the rows of its predictions, and how the maps agree.

    The agreement is the rank correlation of the magnitudes of both maps, over the clip and within frames; it is NaN if
    the clips differ in length.
    """
    one, other = (result.facts for result in pair.results)
    label = one.get("label") or other.get("label") or ""
    same = one.get("target") == other.get("target")
    row_pair = tuple({
        "probability of the explained class": facts.get("probability") if same else None,
        "share of clips that are right": float(facts.get("predicted") == label) if label else None,
    } for facts in (one, other))
    maps = aligned(*pair.maps)
    over_clip, within = correlations(*map(np.abs, maps)) if maps else (float("nan"), float("nan"))
    agreement = {f"rank correlation {span}": value for span, value in zip(SPANS, (over_clip, within), strict=True)}
    return {"label": label, "predicted": [one.get("predicted"), other.get("predicted")],
            "target": [one.get("target"), other.get("target")],
            "size": tuple(result.frames.shape[1:] for result in pair.results),
            "probability": [one.get("probability"), other.get("probability")], "prediction": row_pair,
            "agreement": agreement}


def aligned(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return two maps (T, H, W) at the size of the first; None if they have different numbers of frames."""
    if len(a) != len(b):
        return None
    height, width = a.shape[1:]
    if b.shape != a.shape:
        b = np.stack([cv2.resize(np.float32(each), (width, height), interpolation=cv2.INTER_AREA) for each in b])
    return a, b


def share_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """Return where B puts more of its magnitude than A: |b| / sum |b| - |a| / sum |a|, (T, H, W) at the size of A.

    None if the maps have different numbers of frames, or one has no finite magnitude above 0.
    """
    maps = aligned(a, b)
    if maps is None:
        return None
    magnitudes = [np.abs(each).astype(np.float64) for each in maps]
    totals = [each.sum() for each in magnitudes]
    if not all(0 < total < np.inf for total in totals):
        return None
    return magnitudes[1] / totals[1] - magnitudes[0] / totals[0]


def paired(rows: list[tuple[Row, Row]], groups: Sequence[str] | None = None) -> dict[str, dict]:
    """Return {metric: {"a", "b", "difference", "low", "high", "n", "n_nan", "groups"}} of pairs of rows, one per clip.

    a and b are means over the n clips that have a finite value in both runs. difference is b - a; for its interval, and
    for "values" in place of an interval, see saliency.averages.summarise, as for groups. n_nan counts the other clips.
    """
    metrics = dict.fromkeys(metric for pair in rows for row in pair for metric in row)
    numbers = {metric: np.array([[_finite(row.get(metric)) for row in pair] for pair in rows]) for metric in metrics}
    cells = {}
    for metric, values in numbers.items():  # values (clips, 2)
        both = np.isfinite(values).all(1)
        if both.any():
            cell = summarise([{"": number} for number in values[:, 1] - values[:, 0]], groups)[""]
            cells[metric] = {"a": finite_mean(values[both, 0]), "b": finite_mean(values[both, 1]),
                             "difference": cell.pop("mean"), **cell}
    return cells


def _finite(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def recipe_differences(a: dict[str, Any], b: dict[str, Any]) -> list[list[Any]]:
    """Return [part, name, value in A, value in B] for each option, version and digest that differs, and the commit."""
    found = []
    for part in ("options", "inputs", "versions"):
        one, other = (recipe.get(part) if isinstance(recipe.get(part), dict) else {} for recipe in (a, b))
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
    right_a, right_b = (sum(fact["predicted"][side] == fact["label"] for fact in labelled) for side in (0, 1))
    return {"n_changed": len(changed), "changed": changed, "n_labelled": len(labelled), "right_a": right_a,
            "right_b": right_b}
