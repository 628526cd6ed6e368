"""What a run found, in a few sentences, each with the place on the page where its figure is.

    for finding in findings(content, "gradient"): print(finding["text"])        # content: that of metrics.json

A sentence judges only where an interval over clips allows it; without an interval, it lists the values.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from runtime.sentences import counted
from saliency.baselines import baselines_of, words_of
from saliency.results.averages import Cell, amount, finite_mean, is_number, side, summarise_named, too_few, units_of
from saliency.results.trust import trusted
from saliency.sanity import METRIC

HARDLY = 0.2  # a smaller share of the score, lost or gained by running backwards, hardly matters

# {"text": a sentence, "section": "comparison", "clips", "sanity" or "deletion", and perhaps "metric": for its chart,
# and "difference": the cell of a difference that only the sentence names}
Finding = dict[str, Any]


def findings(content: dict[str, Any], method: str) -> list[Finding]:
    """Return the findings of a run, the content of its metrics.json, about the maps of `method`.

    They say whether the map beats the baselines, where in time the saliency lies, whether its peaks show motion, what
    suffices for the decision, which method passes the most tests, and what a random head keeps. What the run did not
    measure is left out, but for the last.
    """
    own, units = _cells(content.get("summary", {}).get(method, {})), units_of(content.get("groups"))
    decisions = _cells(content.get("when", {}).get("summary", {}))
    found = [_where(content, method), _when(own, method), _peaks(own, method), _enough(decisions),
             _order(decisions, units), _deletion(own, method, units), _trust(content), _sanity(content, method, units)]
    return [finding for finding in found if finding]


def _cells(summary: Mapping[str, Any]) -> dict[str, Cell]:
    """Return the cells of a summary that have a mean."""
    return {name: cell for name, cell in summary.items() if isinstance(cell, dict) and is_number(cell["mean"])}


def _count(cell: Cell, does: str, does_not: str) -> str:
    """Return in how many clips something happens, or that it does not; cell: of 1 and 0 for each clip."""
    n, count = cell["n"], round(cell["mean"] * cell["n"])
    return f"{does} in {count} of {counted(n, 'clip')}" if count else f"{does_not} in {n} of {counted(n, 'clip')}"


def _finding(text: str, section: str, metric: str | None = None) -> Finding:
    return {"text": text, "section": section} | ({} if metric is None else {"metric": metric})


def _where(content: dict[str, Any], method: str) -> Finding | None:
    clips, groups, names = content.get("clips", {}), content.get("groups"), (method, *baselines_of(method))
    table = np.array([[rows.get(name, {}).get(METRIC) for name in names] for rows in clips.values()], dtype=float)
    means = [finite_mean(column) for column in table[np.isfinite(table[:, 0])].T[1:]] if len(table) else []
    if not np.isfinite(means).any():
        return None
    best = int(np.nanargmax(means)) + 1
    pairs = {clip: {"own": own, "other": other, "margin": own - other} if np.isfinite(own - other) else {}
             for clip, (own, other) in zip(clips, table[:, [0, best]], strict=True)}
    cells = summarise_named(pairs, groups)
    few = too_few(cells["margin"], units_of(groups))
    verdict = {1: f"The map of {method} beats", -1: f"The map of {method} does not beat",
               0: f"The map of {method} is not distinguishable from",
               None: f"{few} compare the map of {method} with"}[side(cells["margin"])]
    text = (f"{verdict} the best baseline in agreement with the optical flow: AUC {amount(cells['own'])}, and "
            f"{amount(cells['other'])} for {words_of(names[best])}, which knows no model; the difference is "
            f"{amount(cells['margin'])}.")
    return _finding(text, "comparison", METRIC) | {"difference": cells["margin"]}


def _when(own: dict[str, Cell], method: str) -> Finding | None:
    if "last_quarter_share" not in own:
        return None
    cell = own["last_quarter_share"]
    verdict = {1: "more than", -1: "less than", 0: "not distinguishable from", None: "compared with"}[side(cell, 0.25)]
    return _finding(f"The last quarter of {'the clip' if cell['n'] == 1 else 'the clips'} holds "
                    f"{amount(cell, '{:.0%}'.format)} of the saliency of {method}, {verdict} the 25% of a map that is "
                    "even over time.", "comparison", "last_quarter_share")


def _peaks(own: dict[str, Cell], method: str) -> Finding | None:
    if "peak_frame_moves" not in own:
        return None
    return _finding(f"The frame with the most saliency of {method} "
                    f"{_count(own['peak_frame_moves'], 'shows motion', 'shows no motion')}.", "clips")


def _enough(decisions: dict[str, Cell]) -> Finding | None:
    if "sufficient_frames" not in decisions:
        return None
    text = ("The shortest interval that alone reaches 90% of the difference from the background has "
            f"{_frames(decisions['sufficient_frames'])}")
    if "freeze_frames" in decisions:
        cell = decisions["freeze_frames"]
        text += ("; the shortest whose standing still changes the prediction or takes 90% has "
                 f"{_frames(cell)}, in {cell['n']} of {counted(cell['n'] + cell['n_nan'], 'clip')}")
    return _finding(text + ".", "clips")


def _frames(cell: Cell) -> str:
    text = amount(cell, "{:.3g}".format)
    return f"{text} frame{'' if text == '1' else 's'}"


def _order(decisions: dict[str, Cell], units: str) -> Finding | None:
    """Judge the order of the frames by the definition in docs/when.md."""
    whole, part, lost = (decisions.get(name) for name in ("order_flips", "order_part", "order_effect"))
    if not (whole and part):
        return None
    deeds = "changes the prediction", "keeps the prediction"
    facts = f"running backwards {_count(whole, *deeds)}"
    if lost:
        facts += f" and {amount(lost | {'values': None}, _loss)} of the difference from the background"
        left_out = whole["n"] - lost["n"]
        facts += f", without {counted(left_out, 'clip')} whose score hardly differs from it" if left_out else ""
        deeds = "changes the prediction or takes 90%", "neither changes the prediction nor takes 90%"
    facts += f"; reversing some part of the clip {_count(part, *deeds)}"
    often, above, below = side(part, 0.5), lost and side(lost, HARDLY), lost and side(lost, -HARDLY)
    verdict = "The clips do not settle what the order of the frames does"
    if often is None:
        verdict = f"{too_few(part, units)} tell what the order of the frames does"
    elif often == 1 or above == 1 or below == -1:
        verdict = "The order of the frames matters"
    elif often == -1 and (not lost or (above, below) == (-1, 1)):
        verdict = "The order of the frames hardly matters"
    return _finding(f"{verdict}: {facts}.", "clips")


def _loss(share: float) -> str:
    return f"{'gains' if round(share, 2) < 0 else 'loses'} {abs(share):.0%}"


def _deletion(own: dict[str, Cell], method: str, units: str) -> Finding | None:
    if "deletion_frame_gain" not in own:
        return None
    cell, error = own["deletion_frame_gain"], own["deletion_frame_gain_error"]["mean"]
    certain = abs(cell["mean"]) > 2 * error  # of the random orders, which all clips share
    verdict = {1: "The probability falls faster", -1: "The probability falls more slowly",
               0: "The probability falls neither distinguishably faster nor more slowly",
               None: f"{too_few(cell, units)} tell how fast the probability falls"}[side(cell) and side(cell) * certain]
    return _finding(f"{verdict} if the frames are deleted in the order of {method} than in random order (gain "
                    f"{amount(cell)}).", "deletion")


def _trust(content: dict[str, Any]) -> Finding | None:
    said = trusted(content["trust"]) if "trust" in content else None
    return said and _finding(said, "comparison")


def _sanity(content: dict[str, Any], method: str, units: str) -> Finding:
    row = content.get("random_head", {}).get(method, {})
    cells = _cells(row)
    if "difference" not in cells:
        return _finding("Whether the map depends on the classifier was not tested; --sanity does this." if not row else
                        f"Whether the map of {method} depends on the classifier is undefined: it has no agreement with "
                        "the flow to compare, for the trained model or for a random head.", "sanity")
    difference, few = amount(cells["difference"]), too_few(cells["difference"], units)
    few = "One random head is too few to" if cells["difference"].get("heads") == 1 else few
    verdict = {1: f"Only the difference of {difference} is evidence about the classifier",
               -1: f"The random head agrees more; the difference is {difference}",
               0: f"The difference of {difference} is not distinguishable from 0",
               None: f"{few} tell the difference, {difference}, from 0"}
    return _finding(f"With a random head on the same backbone, the AUC of {method} is {amount(cells['random_head'])} "
                    f"instead of {amount(cells['trained'])}. {verdict[side(cells['difference'])]}.", "sanity")
