"""What a run found, in a few sentences, each with the place on the page where its figure is.

    for finding in findings(content, "gradient"): print(finding["text"])        # content: that of metrics.json
"""

from typing import Any

from runtime.sentences import counted
from saliency.baselines import BASELINES
from saliency.sanity import METRIC
from saliency.trust import trusted

HARDLY = 0.2  # a smaller loss by running backwards means that the order of the frames hardly matters

# {"text": a sentence, "section": "comparison", "clips", "sanity" or "deletion", and perhaps "metric": for its chart}
Finding = dict[str, str]


def findings(content: dict[str, Any], method: str) -> list[Finding]:
    """Return the findings of a run, the content of its metrics.json, about the maps of `method`.

    They say whether the map beats the baselines, where in time the saliency lies, whether its peaks show motion, what
    suffices for the decision, which method passes the most tests, and what a random head keeps. What the run did not
    measure is left out, but for the last.
    """
    summary = content.get("summary", {})
    own = {name: cell for name, cell in summary.get(method, {}).items() if _is_number(cell)}
    found = [_where(summary, method), _when(own, method), _peaks(own, method)]
    decisions = {name: cell for name, cell in content.get("when", {}).get("summary", {}).items() if _is_number(cell)}
    found += [_enough(decisions), _order(decisions), _deletion(own, method), _trust(content), _sanity(content, method)]
    return [finding for finding in found if finding]


def _is_number(cell: Any) -> bool:
    """Return whether a cell of a summary has a mean: NaN is written as null."""
    mean = cell.get("mean") if isinstance(cell, dict) else None
    return mean is not None and mean == mean


def _finding(text: str, section: str, metric: str | None = None) -> Finding:
    return {"text": text, "section": section} | ({} if metric is None else {"metric": metric})


def _where(summary: dict[str, Any], method: str) -> Finding | None:
    scores = {name: row[METRIC]["mean"] for name, row in summary.items() if _is_number(row.get(METRIC))}
    baselines = {name: scores[name] for name in BASELINES if name in scores}
    if method not in scores or not baselines:
        return None
    best = max(baselines, key=baselines.get)
    beats = "beats" if scores[method] > baselines[best] else "does not beat"
    return _finding(f"The map of {method} {beats} the best baseline in agreement with the optical flow: AUC "
                    f"{scores[method]:.3f}, and {baselines[best]:.3f} for {best.replace('_', ' ')}, which knows no "
                    "model.", "comparison", METRIC)


def _when(own: dict[str, Any], method: str) -> Finding | None:
    if "last_quarter_share" not in own:
        return None
    share = own["last_quarter_share"]["mean"]
    return _finding(f"The last quarter of the clips holds {share:.0%} of the saliency of {method}; 25% would be even "
                    "over time.", "comparison", "last_quarter_share")


def _peaks(own: dict[str, Any], method: str) -> Finding | None:
    if "peak_frame_moves" not in own:
        return None
    cell = own["peak_frame_moves"]
    still = cell["n"] - round(cell["mean"] * cell["n"])
    clips = counted(cell["n"], "clip")
    return _finding(f"In {still} of {clips}, nothing moves in the frame with the most saliency of {method}.", "clips")


def _enough(decisions: dict[str, Any]) -> Finding | None:
    if "sufficient_frames" not in decisions:
        return None
    text = (f"On average, {decisions['sufficient_frames']['mean']:.1f} frames in a row suffice for 90% of the score, "
            "with the background in all others")
    if "freeze_frames" in decisions:
        cell = decisions["freeze_frames"]
        text += (f", and standing still for {cell['mean']:.1f} frames destroys the decision in "
                 f"{counted(cell['n'], 'clip')}")
    return _finding(text + ".", "clips")


def _order(decisions: dict[str, Any]) -> Finding | None:
    if "order_effect" not in decisions:
        return None
    lost = decisions["order_effect"]["mean"]
    hardly = "hardly matters" if abs(lost) < HARDLY else "matters"
    change = "loses" if lost >= 0 else "gains"
    return _finding(f"The order of the frames {hardly}: a clip that runs backwards {change} {abs(lost):.0%} of the "
                    "score.", "clips")


def _deletion(own: dict[str, Any], method: str) -> Finding | None:
    if "deletion_frame_gain" not in own:
        return None
    gain = own["deletion_frame_gain"]["mean"]
    faster = "faster" if gain > 0 else "no faster"
    return _finding(f"The probability falls {faster} if the frames are deleted in the order of {method} than in random "
                    f"order (gain {gain:.3f}).", "deletion")


def _trust(content: dict[str, Any]) -> Finding | None:
    sentence = trusted(content["trust"]) if "trust" in content else None
    return _finding(sentence, "comparison") if sentence else None


def _sanity(content: dict[str, Any], method: str) -> Finding:
    row = content.get("random_head", {}).get(method, {})
    if not _is_number(row.get("difference")):
        return _finding("Whether the map depends on the classifier was not tested; --sanity does this.", "sanity")
    trained, head, difference = (row[name]["mean"] for name in ("trained", "random_head", "difference"))
    return _finding(f"With a random head on the same backbone, the AUC of {method} is {head:.3f} instead of "
                    f"{trained:.3f}. Only the difference of {difference:.3f} is evidence about the classifier.",
                    "sanity")
