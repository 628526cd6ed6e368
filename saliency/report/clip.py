"""The part of a clip on the page: its pictures, the scales and totals of its maps, and when the model decided."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from saliency.attribution import frame_values, is_time_only
from saliency.figures import colour_limit, feature_order, overlay
from saliency.flow import moving_threshold
from saliency.methods import FEATURE_METHODS, METHODS
from saliency.report.pictures import compress, encode, grey_levels, number, numbers, scale_of, sheet_of
from saliency.report.sentences import EVIDENCE, Map, answers, heading, headline, stated, when_answer
from saliency.results.clip import WHEN, ClipResult, rescaled_name
from saliency.when.decision import SPANS

UNITS = {name: method.line for name, method in METHODS.items()} | {
    "gradient": "|dS/dx|, change of the score per unit of the normalised input",
    "tsr": "time contribution times patch contribution, 0 to 1",
    "flow": "pixels per frame",
}
FEATURE_UNITS = {name: method.line for name, method in FEATURE_METHODS.items()} | {"tsr": "0 to 1, no unit"}
FRAMES_ONLY = "time contribution, 0 to 1"  # the unit of TSR with --tsr_step time, which masks no patches
TOP_FEATURES = 10  # features that the page names


def clip_part(result: ClipResult, allowed: int, quality: int,
              metrics: Sequence[Mapping[str, Any] | None],
              method: str | None = None) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Return what the gallery shows of a clip, the clip's line with pictures, and the quality of the pictures.

    The pictures have at most `allowed` bytes, if the worst quality permits it; quality: the one to try first. metrics:
    for the answers, the content of metrics.json for each explained class; None, or no more entries, without one.
    method: whose map, with its sign if it has one, leads the page; by default the first.
    """
    frames = result.frames  # (T, H, W)
    classes = [{"name": each.facts.get("shown_as", each.facts["target"]),
                "probability": number(each.facts["probability"]),
                "time_contribution": numbers(each.time_contribution), "maps": _maps(each, content)}
               for each, content in zip_longest((result, *result.others), metrics)]
    _share_limits(classes)
    (first, *others), when = classes, _when(result)
    names = [each["name"] for each in first["maps"]]
    lead = next((name for name in (f"{method}{EVIDENCE}", method) if name in names), names[0] if names else None)
    others += [_difference(first, other) for other in others]
    if result.flow is not None and result.flow.size:
        first["maps"].append({"name": "flow", "unit": UNITS["flow"], "values": result.flow})
    about = _card(result, first["maps"], lead)
    finished = [(each, _finish(each)) for part in (first, *others) for each in part["maps"]]
    drawn = [(each, sheet) for each, sheet in finished if sheet is not None]
    (sheet, *own), quality = compress([sheet_of(frames), *(sheet for _, sheet in drawn)], allowed, quality)
    for (each, _), address in zip(drawn, own, strict=True):
        each["sheet"] = address
    return about, {"frames": sheet, "maps": first["maps"], "time_contribution": first["time_contribution"],
                   "others": others, "when": when}, quality


def _maps(result: ClipResult, content: Mapping[str, Any] | None) -> list[Map]:
    """Return the maps of an explained class, those of the gradient and of TSR first, then the signed ones.

    A method that does not tell pixels apart has one map with a value per frame (T, 1), signed if there is evidence.
    content: that of metrics.json, None if it is about another class.
    """
    target, maps, signed_maps = result.facts["target"], [], []
    signed = {"signed": True, "unit": f"positive values are evidence for {target}, negative against",
              "sides": [f"against {target}", f"for {target}"]}
    for name in sorted(result.maps, key=lambda name: (name != "gradient", name != "tsr")):
        entry, evidence = {"name": name, "unit": _unit(name, result)}, result.evidence.get(name)
        if is_time_only(result.facts, name):
            values = frame_values(result.maps[name] if evidence is None else evidence, result.facts, name)[:, None]
            maps.append(entry | ({} if evidence is None else signed) | {"time_only": True, "values": values})
            continue
        maps.append(entry | {"values": result.maps[name]})
        if evidence is not None:
            signed_maps.append(signed | {"name": name + EVIDENCE, "values": evidence})
    facts, maps = {name: _fact(value) for name, value in result.facts.items()}, maps + signed_maps
    decided = when_answer(result)
    return [each | {"answers": answers(each, maps, facts, content, decided)} for each in maps]


def _unit(name: str, result: ClipResult) -> str:
    """Return what the values of a map are. TSR without any change by a patch is the time contribution alone."""
    patches = result.arrays.get("patch_delta")
    unit = FRAMES_ONLY if name == "tsr" and patches is not None and not patches.any() else UNITS.get(name, "")
    base = result.facts.get("tsr_base") if name == "tsr" else None
    return f"{rescaled_name(base)}: {unit}" if base else unit


def _share_limits(classes: list[dict[str, Any]]) -> None:
    """Give the maps of a method the same end of the colour scale in several classes, so that they can be compared."""
    limits, classes = {}, classes if len(classes) > 1 else []
    for each in (each for part in classes for each in part["maps"]):
        limits[each["name"]] = max(limits.get(each["name"], 0), colour_limit(each["values"]))
    for each in (each for part in classes for each in part["maps"]):
        each |= {"limit": limits[each["name"]], "shared": True}


def _difference(first: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the maps of the first class minus those of another class, as a class of their own."""
    name = f"{first['name']} minus {other['name']}"
    own = {each["name"]: each["values"] for each in other["maps"]}
    with np.errstate(invalid="ignore"):  # inf minus inf is NaN, which counts as 0
        maps = [{"name": each["name"], "unit": name, "values": each["values"] - own[each["name"]], "signed": True,
                 "sides": [f"more for {other['name']}", f"more for {first['name']}"],
                 "time_only": each.get("time_only")}
                for each in first["maps"] if each["name"] in own]
    return {"name": name, "probability": None, "time_contribution": None, "maps": maps}


def _card(result: ClipResult, maps: list[Map], lead: str | None) -> dict[str, Any]:
    """Return the facts of a clip and its thumbnail, the most salient frame of the map `lead`, under the map."""
    frames, entries = result.frames, {each["name"]: each for each in maps}
    values = entries[lead]["values"] if lead else frames
    best = int(np.nan_to_num(np.abs(values)).reshape(len(values), -1).sum(1).argmax())
    over, picture = None, frames[best]
    if lead and not entries[lead].get("time_only"):
        over, signed = lead, entries[lead].get("signed", False)
        picture = overlay(frames[best], values[best], colour_limit(values), signed)[..., ::-1]
    facts = {name: _fact(value) for name, value in result.facts.items()}
    return facts | {"thumbnail": encode(picture), "thumbnail_frame": best + 1, "thumbnail_map": over,
                    "shape": frames.shape, "moving": moving_threshold(frames.shape[1]), "heading": heading(facts),
                    "headline": headline(facts),
                    "stated": stated(facts), "lead": lead}


def _fact(value: str | float | None) -> str | float | None:
    """Return a fact for JSON: a text as it is, a number with four digits, None if it is not finite or missing."""
    return value if value is None or isinstance(value, str) else number(value)


def _finish(entry: Map) -> np.ndarray | None:
    """Replace the values of a map by its scales and totals, and return its sheet of grey levels if it has pixels."""
    values = entry.pop("values")
    entry |= {"count": len(values), "totals": totals(values)}
    entry |= scale_of(values, entry.get("signed", False), entry.get("limit"))
    if entry["signed"]:
        entry |= {"for": totals(np.maximum(values, 0)), "against": totals(np.minimum(values, 0))}
    return None if entry.get("time_only") else sheet_of(grey_levels(values, entry["peaks"], entry["signed"]))


def totals(values: np.ndarray) -> list[float | None]:
    """Return the sum of the magnitudes of a map (T, ...) over each frame, as a list of T numbers."""
    return numbers(np.abs(values).reshape(len(values), -1).sum(1, dtype=np.float64))


def _when(result: ClipResult) -> dict[str, Any] | None:
    """Return the decision of a clip (saliency.when), or None if the file has none, as with --no_when."""
    arrays = {name.removeprefix(WHEN): values for name, values in result.arrays.items() if name.startswith(WHEN)}
    if not arrays:
        return None

    def whole_number(name):
        value = result.facts.get(WHEN + name)
        return int(value) if isinstance(value, float) and 0 < value < 1e9 else None

    padded, shorter, empty = (arrays[f"prefix_{kind}"] for kind in ("padded", "shorter", "empty"))
    predicted, gap = padded[-1].argmax(), result.facts.get(f"{WHEN}gap")  # the last prefix is the whole clip
    return {
        "values": numbers(arrays["shapley"]), "errors": numbers(arrays["shapley_error"]),
        "segment": whole_number("segment") or 1,
        "spans": [[label, whole_number(f"{name}_first"), whole_number(f"{name}_last")]
                  for name, label in SPANS.items()],
        "padded": numbers(padded[:, predicted]), "shorter": numbers(shorter[:, predicted]),
        "empty": number(empty[predicted]), "decided": whole_number("decided"),
        "sentences": arrays["sentences"].tolist(), "gap": None if gap is None else number(gap),
    }


def feature_part(result: ClipResult) -> dict[str, Any]:
    """Return the feature part of a clip's line.

    A heat map has a row per feature, the one with the largest total on top, and a column per frame. "top" names the
    first features: [number, share of the sum over all features, frame of the largest magnitude from 1].
    """
    first = next(iter(result.maps.values()))  # (T, D)
    order, magnitude = feature_order(first), np.nan_to_num(np.abs(first))
    shares, base = magnitude.sum(0) / (magnitude.sum() or 1), result.facts.get("tsr_base")  # shares (D,)
    units = FEATURE_UNITS | ({"tsr": f"{rescaled_name(base)}, 0 to 1, no unit"} if base else {})
    return {
        "count": first.shape[1],
        "top": [[int(place), number(shares[place]), int(magnitude[:, place].argmax()) + 1]
                for place in order[:TOP_FEATURES]],
        "maps": [_heat_map(name, values, order, units.get(name, "")) for name, values in result.maps.items()],
        "totals": totals(first), "time_contribution": numbers(result.time_contribution),
    }


def _heat_map(name: str, values: np.ndarray, order: np.ndarray, unit: str) -> Map:
    """Return a map of features (T, D) as a picture with a row per feature in `order` and a column per frame."""
    limit, signed = colour_limit(values), bool((values < 0).any())
    levels = grey_levels(values[:, order], np.full(len(values), limit), signed)
    return {"name": name, "unit": unit, "limit": limit, "signed": signed, "rows": len(order),
            "beyond": bool((np.abs(values) > limit).any()), "sheet": encode(levels.T, ".png")}
