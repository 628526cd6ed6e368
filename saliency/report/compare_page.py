"""Write the page of the same clips under two runs of frame_saliency.py: report.html, with two classes named A and B.

    comparison = write_comparison(read_run("results/a"), read_run("results/b"), "results/compare_runs")
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from runtime.files import write_csv, write_json
from saliency.attribution import is_time_only
from saliency.report.page import PAGE, Shown, write_page
from saliency.results.clip import EVIDENCE, ClipResult
from saliency.results.compare import (
    Pair,
    aligned,
    common_clips,
    compare,
    csv_rows,
    facts_of_pair,
    main_method,
    main_section,
    read_pairs,
)
from saliency.results.run import Run

DIFFERENCE = "B minus A"
FACTS = ("clip", "label", "predicted", "target", "probability", "score", "margin")  # of a clip that the page shows


def write_comparison(a: Run, b: Run, folder: str | Path) -> dict[str, Any]:
    """Write the page, comparison.json and comparison.csv into a folder, and return the content of the JSON file.

    UserError if the runs have no clip in common, or a result cannot be read; then the page is not written.
    """
    folder, facts, comparison = Path(folder), {}, {}

    def shown() -> Iterable[Shown]:
        for pair in read_pairs(a, b):
            facts[pair.name] = facts_of_pair(pair)
            measured = [_measured(run, pair.name) for run in (b, a)]
            yield _as_one(pair), measured, None

    def about() -> dict[str, Any]:
        comparison.update(compare(a, b, facts))
        return _about(comparison)

    write_page(folder / PAGE, "Two runs compared", len(common_clips(a, b)), shown(), about)
    write_json(folder / "comparison.json", comparison | {"of_clips": facts})
    write_csv(folder / "comparison.csv", csv_rows(comparison))
    return comparison


def _measured(run: Run, clip: str) -> dict[str, Any]:
    """Return what a run measured of the map that it drew, as the content of a metrics.json about the method "map"."""
    row = run.metrics.get("clips", {}).get(clip, {}).get(main_method(run), {})
    parts = {part: {"map": run.metrics.get(part, {}).get(main_method(run), {})} for part in ("summary", "random_head")}
    return parts | {"clips": {clip: {"map": row}}}


def _as_one(pair: Pair) -> ClipResult:
    """Return both results of a clip as one, whose explained classes are the runs B and A, so that B minus A is shown.

    A map is shown as shares of its sum of magnitudes, at the size of A. A map of another number of frames is left out.
    """
    one, _ = pair.results
    maps = aligned(*pair.maps)
    results = []
    for run, result, name, values in zip("AB", pair.results, pair.map_names, maps or pair.maps, strict=True):
        values = np.nan_to_num(values) / (np.abs(np.nan_to_num(values)).sum(dtype=np.float64) or 1)
        time_only = {"map_time_only": 1.0} if is_time_only(result.facts, name.removeprefix(EVIDENCE)) else {}
        facts = {fact: result.facts[fact] for fact in FACTS}
        shown_as = {"shown_as": f"{run}: {name} of {result.facts['target']}"}
        results.append(ClipResult(facts | time_only | shown_as,
                                  frames=one.frames, flow=one.flow, maps={"map": np.abs(values)},
                                  evidence={"map": values} if (values < 0).any() else {}))
    first, second = results
    if maps is None:
        return first
    second.others = [first]
    return second


def _about(comparison: dict[str, Any]) -> dict[str, Any]:
    """Return what the last line of the page says about the two runs."""
    cells = comparison["figures"].get(main_section(comparison), {})
    kept = ("n", "n_nan", "groups")
    return {
        "recipe": {"differences": {f"{part}: {name}" if part != name else name: f"A: {one}; B: {other}"
                                   for part, name, one, other in comparison["recipes"]},
                   "runs": dict(zip("AB", comparison["runs"], strict=True))},
        "findings": [{"text": text, "section": "comparison"} for text in comparison["sentences"]],
        "summary": {"A": {name: {"mean": cell["a"]} | {key: cell[key] for key in kept} for name, cell in cells.items()},
                    "B": {name: {"mean": cell["b"]} | {key: cell[key] for key in kept} for name, cell in cells.items()},
                    DIFFERENCE: {name: {"mean": cell["difference"]} | _finite(cell) for name, cell in cells.items()}},
        "metrics": {}, "problems": [], "random_head": {}, "sentences": [], "trust": [], "compared": True,
        "missing": [],
        "feature_recipe": {}, "feature_metrics": {}, "feature_summary": {},
        "overview": {"profiles": {"method": "map", "relative": False, "left_out": 0, "units": comparison["units"],
                                  "groups": []}, "features": None},
    }


def _finite(cell: dict[str, Any]) -> dict[str, Any]:
    """Return the cell without its ends, which are NaN, if it has no interval."""
    return {key: value for key, value in cell.items() if value == value}
