"""The comparison of two runs (saliency/two_runs.py) as sentences, as tables for the terminal, and as rows of a file."""

from typing import Any

from runtime.sentences import counted
from saliency.averages import has_interval
from saliency.findings import side, too_few
from saliency.sanity import METRIC
from saliency.tables import format_table
from saliency.two_runs import MAIN, SPANS

MOST_NAMED = 5  # clips that a sentence names
COLUMNS = ("a", "b", "difference", "low", "high", "n", "n_nan", "groups")


def sentences(comparison: dict[str, Any]) -> list[str]:
    """Return what the comparison of two runs found, a sentence each."""
    clips, predictions = comparison["clips"], comparison["predictions"]
    found = [f"{counted(clips['common'], 'clip')} in both runs are compared; {clips['only_a']} of A and "
             f"{clips['only_b']} of B have no counterpart."]
    for a, b in comparison["sizes"]:
        found.append(f"Frames have {a[0]} x {a[1]} pixels in A and {b[0]} x {b[1]} in B, so the runs explain different "
                     "inputs; a part of each difference may come from the size.")
    names = [row["clip"] for row in predictions["changed"]]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    listed = f": {', '.join(names[:MOST_NAMED])}{more}" if names else ""
    found.append(f"The predicted class differs in {predictions['n_changed']} of "
                 f"{counted(clips['common'], 'clip')}{listed}.")
    if predictions["n_labelled"]:
        found.append(f"A predicts the class of {predictions['right_a']}, and B of {predictions['right_b']}, of "
                     f"{counted(predictions['n_labelled'], 'clip')} with a label.")
    over_clip, within = (comparison["agreement"][f"rank correlation {span}"] for span in SPANS)
    if over_clip["n"]:
        also = f"{within['mean']:.2f}" if within["n"] else "undefined, because a map is the same all over each frame"
        mean = "mean rank correlation" if over_clip["n"] > 1 else "rank correlation"
        found.append(f"The {mean} of the maps of the two runs (1 means the same order) is {over_clip['mean']:.2f} over "
                     f"the clip; within frames, it is {also}.")
    cell = comparison["figures"].get(main_section(comparison), {}).get(METRIC)
    if cell:
        found.append(_agreement_with_flow(cell, comparison["units"]))
    return found


def main_section(comparison: dict[str, Any]) -> str:
    """Return the section of "figures" about the maps that the runs drew."""
    return MAIN if MAIN in comparison["figures"] else comparison["methods"][0]


def is_clear(cell: dict[str, float]) -> bool:
    """Return whether the interval of a difference does not hold 0."""
    return bool(side(cell))


def _agreement_with_flow(cell: dict[str, float], units: str) -> str:
    sentence = f"The AUC of the map against the optical flow is {cell['a']:.3f} in A and {cell['b']:.3f} in B"
    if side(cell) is None:
        return f"{sentence}; {too_few(cell, units)} tell whether the runs differ in this."
    verdict = {1: "B agrees more", -1: "B agrees less", 0: "the runs are not distinguishable in this"}[side(cell)]
    return (f"{sentence}; {verdict}, because the difference of {cell['difference']:.3f} has the 95 % interval "
            f"[{cell['low']:.3f}, {cell['high']:.3f}].")


def terminal_text(comparison: dict[str, Any]) -> str:
    """Return the differences of the recipes, the figures of the predictions and of the maps, and the sentences."""
    recipes = [{"recipe": f"{part}: {name}" if part != name else name, "A": _short(a), "B": _short(b)}
               for part, name, a, b in comparison["recipes"]]
    text = [f"A: {comparison['runs'][0]}\nB: {comparison['runs'][1]}"]
    text.append(format_table(recipes, ["recipe", "A", "B"], sort_by="") if recipes else "The recipes are equal.")
    for section in dict.fromkeys(("prediction", main_section(comparison), "when")):
        cells = comparison["figures"].get(section, {})
        difference = "B - A [95 % interval]" if any(map(has_interval, cells.values())) else "B - A (values)"
        rows = [{section: name, "A": cell["a"], "B": cell["b"], "clips": cell["n"],
                 difference: cell | {"mean": cell["difference"]}} for name, cell in cells.items()]
        if rows:
            text.append(format_table(rows, [section, "A", "B", difference, "clips"], sort_by=""))
    return "\n\n".join(text) + "\n\n" + "\n".join(f"- {sentence}" for sentence in comparison["sentences"])


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"...{text[-57:]}"


def csv_rows(comparison: dict[str, Any]) -> list[list]:
    """Return the rows of comparison.csv, the header first: a row per section and figure."""
    rows = [["section", "figure", *COLUMNS]]
    for section, cells in comparison["figures"].items():
        rows += [[section, name, *("" if cell[column] != cell[column] else cell[column] for column in COLUMNS)]
                 for name, cell in cells.items()]
    return rows
