"""Write compare.html, one self-contained page of the same clips under two runs of frame_saliency.py.

    comparison = write_comparison(read_run("results/a"), read_run("results/b"), "results/compare_runs")

The data has one line of JSON per clip and a last line about the runs, as on the page of one run (page.py).
"""

from pathlib import Path
from typing import Any

import numpy as np

from runtime.files import whole_file, write_csv, write_json
from saliency.attribution import is_time_only
from saliency.methods import METHODS
from saliency.report.document import document_around_data, json_line, scale_colours
from saliency.report.pictures import QUALITIES, compress, grey_levels, number, numbers, scale_of, sheet_of
from saliency.result import EVIDENCE, ClipResult
from saliency.two_runs import Pair, Run, aligned, common_clips, compare, facts_of_pair, read_pairs, share_difference
from saliency.two_runs_text import csv_rows, sentences

PAGE = "compare.html"
SOURCES = (PAGE, "style.css", "compare.css", "data.js", "text.js", "elements.js", "maps.js", "compare.js",
           "side_by_side.js")
PICTURE_BYTES = 36_000_000  # of all clips together
DIFFERENCE = "B − A, share of the saliency"
SIGNED = ", evidence"  # what follows the name of a method in the name of its signed map


def write_comparison(a: Run, b: Run, folder: str | Path) -> dict[str, Any]:
    """Write compare.html, comparison.json and comparison.csv into a folder, and return the content of the JSON file.

    ValueError if the runs have no clip in common, or a result cannot be read; then the page is not written.
    """
    before, after = document_around_data("Two runs compared", SOURCES)
    allowed, folder, quality = PICTURE_BYTES // len(common_clips(a, b)), Path(folder), QUALITIES[0]
    facts, clips = {}, []
    with whole_file(folder / PAGE) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.write(before)
        for pair in read_pairs(a, b):
            facts[pair.name] = facts_of_pair(pair)
            line, best, quality = _pictures(pair, allowed, quality)
            page.write(json_line(line))
            clips.append({"line": len(clips), "best": best, **_about(pair, facts[pair.name])})
        comparison = compare(a, b, facts)
        comparison["sentences"] = sentences(comparison)
        page.write(json_line(_run(comparison, clips)).rstrip() + after)
    write_json(folder / "comparison.json", comparison | {"of_clips": facts})
    write_csv(folder / "comparison.csv", csv_rows(comparison))
    return comparison


def _run(comparison: dict[str, Any], clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the line about the two runs. data.js reads the empty parts, which only the page of one run has."""
    empty = {"recipe": {}, "summary": {}, "metrics": {}, "baselines": []}
    return empty | scale_colours() | {"clips": clips, "comparison": _finite(comparison)}


def _finite(content: Any) -> Any:
    """Return the content with None in place of numbers that are not finite, which JSON lacks."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content


def _about(pair: Pair, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what the list says about a clip."""
    return {
        "clip": pair.name, "shape": pair.results[0].frames.shape, "label": facts["label"],
        "predicted": facts["predicted"], "target": facts["target"],
        "probability": [None if value is None else number(value) for value in facts["probability"]],
        "agreement": number(facts["agreement"]["rank correlation over the clip"]),
    }


def _pictures(pair: Pair, allowed: int, quality: int) -> tuple[dict[str, Any], int, int]:
    """Return the line of a clip, the frame (from 1) at which it opens, and the quality of its pictures.

    It opens where the maps differ most. If the runs read clips of different lengths, only the map of A is shown. A map
    that tells frames apart but not pixels is in the chart over time only, and so is a difference from it.
    """
    maps = aligned(*pair.maps)
    shown = [(f"{run}: {_title(name)}", _unit(name, result), values) for run, name, result, values
             in zip("AB", pair.map_names, pair.results, maps or pair.maps[:1], strict=False)
             if not is_time_only(result.facts, name.removeprefix(EVIDENCE))]
    difference = share_difference(*pair.maps)
    best = 0 if difference is None else int(np.abs(difference).sum((1, 2)).argmax())
    if difference is not None and len(shown) == 2:
        shown.append((DIFFERENCE, "red: B has the larger share of its saliency here; blue: A has it", difference))
    scales = [scale_of(values, signed=title == DIFFERENCE or title.endswith(SIGNED)) for title, _, values in shown]
    sheets = [sheet_of(grey_levels(values, scale["peaks"], scale["signed"]))
              for (_, _, values), scale in zip(shown, scales, strict=True)]
    (frames, *own), quality = compress([sheet_of(pair.results[0].frames), *sheets], allowed, quality)
    return {
        "frames": frames, "profiles": [_shares(values) for values in maps or pair.maps],
        "maps": [{"name": title, "unit": unit, "sheet": sheet, **scale}
                 for (title, unit, _), sheet, scale in zip(shown, own, scales, strict=True)],
    }, best + 1, quality


def _title(name: str) -> str:
    """Return the name of a map in words."""
    text = name.removeprefix(EVIDENCE).replace("_", " ")
    return text + SIGNED if name.startswith(EVIDENCE) else text


def _unit(name: str, result: ClipResult) -> str:
    """Return what the values of a map are."""
    if name.startswith(EVIDENCE):
        return f"red: for {result.facts.get('target', 'the explained class')}; blue: against it"
    return METHODS[name].line if name in METHODS else ""


def _shares(values: np.ndarray) -> list[float | None]:
    """Return the share of the magnitude of a map (T, H, W) in each frame, as a list of T numbers."""
    totals = np.nan_to_num(np.abs(values).sum((1, 2), dtype=np.float64))
    return numbers(totals / (totals.sum() or 1))
