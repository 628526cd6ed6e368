"""The sentences of the page, made from the numbers of a clip or of a run. The scripts of the page only show them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from runtime.sentences import counted, first_names
from saliency.methods import METHODS
from saliency.results.clip import WHEN, ClipResult, rescaled_name
from saliency.scores import hardly_decides
from saliency.when.intervals import SHARE

EVIDENCE = ", evidence"  # what follows the name of a method in the name of its signed map
SAME = 1e-6  # relative difference of sums that are equal but for rounding
IN_WORDS = ("clip", "label", "predicted", "target", "score", "probability", "margin",  # facts that sentences spell out
            "frames_per_second", "video_frame", "shown_as")
OTHER = "The run measured the maps of the first class only."

Map = dict[str, Any]  # a map as the page reads it: name, unit, values, scales and totals


def answers(entry: Map, maps: list[Map], facts: dict[str, Any], content: dict[str, Any] | None,
            decided: str | None = None) -> dict[str, str]:
    """Return {question: answer} about a map of a clip with its values (T, ...); the first two are the short ones.

    maps, facts: those of the same class. content: that of metrics.json, None if it is about another class. decided:
    which frames the decision (saliency.when) comes from, see `when_answer`; None without one.
    """
    method, values = entry["name"].removesuffix(EVIDENCE), _finite(entry)
    name = rescaled_name(facts.get("tsr_base")) if method == "tsr" else method.replace("_", " ")
    subject = f"The {'evidence' if entry.get('signed') else 'map'} of {name}"
    frames = _which_frames(subject, np.abs(values).reshape(len(values), -1).sum(1))
    row = None if content is None else content.get("clips", {}).get(facts.get("clip"), {}).get(method, {})
    pixels = OTHER if row is None else _which_pixels(name, row)
    if not values.any():
        where = pixels = f"{subject} is 0 everywhere, so it names no pixel."
    elif entry.get("time_only"):
        where = pixels = f"{subject} tells frames apart, but not the pixels of a frame."
    else:
        where = _where(subject, np.abs(values))
    return {"When?": decided or frames, "Where?": where,
            **({"Which frames does the map name?": frames} if decided else {}),
            "Does it agree with the motion?": pixels,
            "For or against?": _which_side(name, method, [entry, *maps], facts),
            "How far to trust it?": OTHER if content is None else _how_far(method, content)}


def when_answer(result: ClipResult) -> str | None:
    """Return which frames alone are enough for the explained score, by the decision of a clip; None without one.

    Other frames may be enough too, so the sentence does not say that the score comes from these.
    """
    facts, said = result.facts, result.arrays.get(f"{WHEN}sentences")
    if said is None:
        return None
    names = ("sufficient_first", "sufficient_last", "segment", "score_of_clip", "score_of_background")
    first, last, segment, score, empty = (facts.get(WHEN + name) for name in names)
    group = None if first is None else (int((first - 1) // segment), int((last - 1) // segment))
    kept = None if first is None else float(result.arrays[f"{WHEN}kept"][group])
    if kept is None or not np.isfinite(kept):
        return str(said[0])  # such as: the frames decide nothing
    frames, length, target = _frames(np.arange(first, last + 1, dtype=int)), len(result.frames), facts["target"]
    to = "for" if score > empty else "to lower"
    if (first, last) == (1, length):
        return (f"It takes the whole clip{_times(facts, first, last)} {to} the score of {target}: no shorter interval "
                f"gives {SHARE:.0%} of its difference from the background alone.")
    share = f"{kept:.0%} of" if kept < 1.5 else f"{kept:.3g} times"
    verb, alone = ("is", "it gives") if first == last else ("are", "they give")
    return (f"{frames.capitalize()} of {length}{_times(facts, first, last)} {verb} enough {to} the score of {target}: "
            f"alone, {alone} {share} its difference from the background.")


def _times(facts: dict[str, Any], first: float, last: float) -> str:
    """Return when frames are seen in the clip and in its video, in words; empty if the frame rate is not known."""
    rate, start = facts.get("frames_per_second"), facts.get("video_frame")
    if rate is None:
        return ""
    clip, video = ([f"{(frame + shift) / rate:.1f} s" for frame in (first - 1, last)] for shift in (0, start))
    return f" ({clip[0]} to {clip[1]}; video {video[0]} to {video[1]})"


def _where(subject: str, magnitude: np.ndarray) -> str:
    """Return in which ninth of the picture a map (T, H, W) is strongest, in its (first) strongest frame."""
    totals = magnitude.sum((1, 2))
    frame, equals = int(totals.argmax()), int((totals >= (1 - SAME) * totals.max()).sum())
    lead = f"{subject} is strongest in frame {frame + 1}; there," if equals == 1 else (
        f"{subject} is equally strong in {equals} frames; in the first of them, frame {frame + 1},")
    if np.ptp(magnitude[frame]) <= SAME * magnitude[frame].max():
        return f"{lead} it is the same in all pixels."
    strips = [np.array_split(strip, 3, 1) for strip in np.array_split(magnitude[frame], 3, 0)]
    parts = np.array([[part.sum() for part in strip] for strip in strips])  # (3, 3)
    row, column = np.unravel_index(parts.argmax(), parts.shape)
    place = f"{('top', 'middle', 'bottom')[row]} {('left', 'centre', 'right')[column]}"
    return (f"{lead} {percent(parts.max() / parts.sum())} of it lies in the {place} ninth of the picture.")


def _finite(entry: Map) -> np.ndarray:
    return np.where(np.isfinite(entry["values"]), entry["values"], 0).astype(np.float64)


def _which_frames(subject: str, totals: np.ndarray) -> str:
    """Return which frames hold the magnitude of a map; totals (T,): its sum over each frame."""
    count, largest, sums = len(totals), totals.max(), np.concatenate([[0], totals.cumsum()])
    if not largest:
        return f"{subject} is 0 in every frame, so it names none."
    if np.ptp(totals) <= SAME * largest:
        return f"{subject} is equally strong in all {count} frames." if count > 1 else "The clip has one frame."
    length = next(n for n in range(1, count + 1) if (sums[n:] - sums[:-n]).max() >= (1 - SAME) * sums[-1] / 2)
    first = int((sums[length:] - sums[:-length]).argmax()) + 1
    return (f"{subject} is strongest in {_frames(np.flatnonzero(totals >= (1 - SAME) * largest) + 1)} of {count}. "
            f"At least half of its magnitude lies in {_frames(np.arange(first, first + length))}.")


def _frames(numbers: np.ndarray) -> str:
    """Return the numbers of frames (n,), in ascending order, as text."""
    together = len(numbers) == numbers[-1] - numbers[0] + 1
    text = f"{numbers[0]} to {numbers[-1]}" if together else first_names(list(map(str, numbers)))
    return f"frame {numbers[0]}" if len(numbers) == 1 else f"frames {text}"


def _which_pixels(name: str, row: dict[str, float | None]) -> str:
    """Return how the map of a method agrees with the motion, by its metrics."""
    inside, share, auc = (row.get(key) for key in ("mass_accuracy_flow_frame", "flow_share_frame", "auc_flow_frame"))
    if auc is None:
        return f"The agreement with the optical flow {'cannot be' if row else 'was not'} measured" + (
            ", because no frame has both moving and resting pixels." if row.get("frames_with_reference") == 0 else ".")
    mass = "" if inside is None or share is None else (
        f"In frames with motion, {percent(share)} of the pixels move, and they hold {percent(inside)} of the map of "
        f"{name}. ")
    return f"{mass}The AUC of this map against the optical flow is {auc:.3f}; chance is 0.5."


def percent(share: float) -> str:
    """Return a share as text, with a decimal where it is near 0 or 1."""
    return f"{share:.0%}" if 0.1 <= share <= 0.9 or share in (0, 1) else f"{share:.1%}"


def _which_side(name: str, method: str, maps: list[Map], facts: dict[str, Any]) -> str:
    """Return how much of the evidence of a method is for and against its class, and the gap if it should add up."""
    own = next((each for each in maps if each.get("signed") and each["name"].removesuffix(EVIDENCE) == method), None)
    others = dict.fromkeys(each["name"].removesuffix(EVIDENCE).replace("_", " ") for each in maps if each.get("signed"))
    if own is None and method in METHODS and METHODS[method].signed:
        return f"This result lacks the sign of {name}, although the method has one; compute it again."
    if own is None:
        return f"The map of {name} has no sign. " + (
            f"These methods of the run have one: {', '.join(others)}." if others else
            "This result has no signed map; a method such as occlusion_block gives one.")
    values, (blue, red) = _finite(own), own["sides"]
    favour, against = np.maximum(values, 0).sum(), np.maximum(-values, 0).sum()
    if not favour + against:
        return f"The evidence of {name} is 0 everywhere, so it speaks for neither side."
    text = (f"Of the magnitude of the evidence, {percent(favour / (favour + against))} is {red} (red) and "
            f"{percent(against / (favour + against))} is {blue} (blue).")
    relative, gap = f"{method}_completeness_gap" in facts, facts.get(f"{method}_gap")
    if not relative and gap is None:
        return text
    share = facts.get(f"{method}_completeness_gap")
    gap = f"{gap:.2g}" if not relative else f"{percent(share)} of that difference" if share is not None else \
        "undefined, because the two scores are equal"
    return f"{text} Together they give {favour - against:.3g}, for a difference of two scores; the gap is {gap}."


def _how_far(method: str, content: dict[str, Any]) -> str:
    """Return what the run found about the maps of a method with random heads and by deletion."""
    own, head = (content.get(part, {}).get(method, {}) for part in ("summary", "random_head"))
    mean = {key: f"{cell['mean']:.3f}" for key, cell in (own | head).items() if cell.get("mean") is not None}
    gains = [f"{mean[f'deletion_{unit}_gain']} by {unit}" for unit in ("frame", "patch")
             if f"deletion_{unit}_gain" in mean]
    deletion = f" The gain of deletion over random order is {', '.join(gains)}; above 0 is good." if gains else ""
    if not {"trained", "random_head", "difference"} <= mean.keys():
        return ("The comparison with random weights is undefined for this method." if head else
                "These maps were not compared with those of random weights; --sanity does this.") + deletion
    low, high = (head["difference"].get(end) for end in ("low", "high"))
    span = "" if None in (low, high) else f" [{low:.3f}, {high:.3f}]" + ", which holds 0" * (low <= 0 <= high)
    return (f"In the run, the AUC against the optical flow is {mean['trained']}, and {mean['random_head']} with a "
            f"random head. The difference is {mean['difference']}{span}.{deletion}")


def which_features(features: dict[str, Any] | None) -> str:
    """Return which features of a clip (saliency.report.clip.feature_part) are the strongest."""
    if not features:
        return "This page has no features of the clip; feature_saliency.py on the same clips adds them."
    first, name = [each for each in features["top"][:3] if each[1]], features["maps"][0]["name"]
    if not first:
        return f"The map {name} of the features is 0 everywhere."
    named, held = ", ".join(str(number) for number, _, _ in first), percent(sum(share for _, share, _ in first))
    return f"Of {counted(features['count'], 'feature')}, {named} are the strongest: they hold {held} of |{name}|."


def headline(facts: dict[str, Any]) -> str:
    """Return the predicted class and, if it is the explained one, its probability."""
    sure = facts["predicted"] == facts["target"] and facts["probability"] is not None
    return facts["predicted"] + (f" {facts['probability']:.2f}" if sure else "")


def heading(facts: dict[str, Any]) -> str:
    """Return what was predicted, whether that is right, and what is explained."""
    label, predicted, target, probability = map(facts.get, ("label", "predicted", "target", "probability"))
    verdict = f", which is {'right' if label == predicted else 'wrong'}" if label else ""
    said = f"The label is {label}. " if label else "The clip has no label. "
    said += f"The model predicts {predicted or 'n/a'}{verdict}. "
    if facts.get("margin") is not None and hardly_decides((facts["margin"], 0.0)):
        said += f"The model hardly decides{f' ({probability:.2f})' if predicted == target else ''}. "
    shown = "" if probability is None else f" (probability {probability:.2f})"
    other = f", not of the true class {label}" if label and label != target else ""
    return f"{said}The maps explain the {facts.get('score', 'score')} of {target or 'n/a'}{shown}{other}."


def stated(facts: dict[str, Any]) -> str:
    """Return the numbers that the methods state about themselves, as a sentence; empty without any."""
    more = [f"{name.replace('tsr_', 'TSR ')} {value if isinstance(value, str) else f'{value:.3g}'}".replace("_", " ")
            for name, value in facts.items() if value is not None and name not in IN_WORDS
            and not name.startswith(WHEN) and not name.endswith("_time_only")]
    return f"The methods give these numbers about themselves: {'; '.join(more)}." if more else ""


def missing(run: dict[str, Any], features: bool) -> list[str]:
    """Return what a run did not compute, a sentence each, with the flag that does; run: content of metrics.json."""
    metrics = {name for row in run.get("summary", {}).values() for name in row}
    asked = {
        "The maps were not compared with those of random weights; --sanity does this.": "random_head" in run,
        "Nothing was deleted to see whether the model needs it; --deletion does this.": "deletion_frame_auc" in metrics,
        "Sensitivity to noise was not measured; --robustness does this.": "infidelity" in metrics,
        "When the model decided was not computed; --when does this, where the model allows it.": "when" in run,
        "The page has no CNN features; feature_saliency.py on the same clips adds them.": features,
    }
    return [sentence for sentence, done in asked.items() if not done]


def lead(clips: Sequence[dict[str, Any]]) -> str:
    """Return what the page shows; clips: the facts of each, with its label, prediction and shape."""
    if not clips:
        return "No clip can be shown."
    lengths, (height, width) = sorted({clip["shape"][0] for clip in clips}), clips[0]["shape"][1:]
    span = counted(lengths[0], "frame") if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]} frames"
    verdicts = [clip["label"] == clip.get("predicted") for clip in clips if clip.get("label")]
    return f"This page shows {counted(len(clips), 'clip')} of {span}, {width} × {height} pixels. " + (
        f"The predicted class is right in {sum(verdicts)} of {counted(len(verdicts), 'clip')} with a label."
        if verdicts else "No clip has a label.")
