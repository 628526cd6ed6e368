"""All that saliency.when says about one clip, as arrays to save, as numbers to average and as sentences to read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from runtime.sentences import counted
from saliency.metrics import spearman
from saliency.results.clip import WHEN
from saliency.scores import hardly_decides
from saliency.when.encoded import HARDLY, EncodedClip
from saliency.when.intervals import SHARE, Interval, Intervals, intervals
from saliency.when.prefixes import Prefixes, prefixes
from saliency.when.shapley import PAIRS, Shapley, frame_values

SPANS = {  # kinds of shortest intervals, and their labels in figures
    "sufficient": "enough alone", "background": "needed", "freeze": "needed to move", "reverse": "needed in order",
}
DEEDS = {  # of one frame, of several frames
    "background": ("is replaced by the background", "are replaced by the background"),
    "freeze": ("stands still", "stand still"), "reverse": ("runs backwards", "run backwards"),
}
SHARES = ("order_effect", "largest_error", "gap")  # metrics of a clip that are shares of its "difference"


@dataclass(frozen=True)
class Decision:
    """When a model decided on a clip of T frames.

    length: T. score_of_clip, score_of_empty: the explained score of the clip and of its background in all frames.
    difference: the first minus the second. limit: the change up to which the score hardly changes. still: whether every
    frame equals the background. target: index of the explained class. predicted: index of the predicted class.
    encodings, passes: frames that went through the encoder, and sequences that went through the head.
    """

    length: int
    score_of_clip: float
    score_of_empty: float
    difference: float
    limit: float
    still: bool
    target: int
    predicted: int
    shapley: Shapley
    intervals: Intervals
    prefixes: Prefixes
    encodings: int
    passes: int

    def spans(self) -> dict[str, Interval]:
        """Return the shortest intervals by the names in SPANS: sufficient, and necessary for each change."""
        found = {"sufficient": self.intervals.sufficient, **self.intervals.necessary}
        return {name: found[name] for name in SPANS}

    def facts(self) -> dict[str, float]:
        """Return numbers for saliency.npz, without those that do not exist. Frames are 1-based and inclusive."""
        facts = {"score_of_clip": self.score_of_clip, "score_of_background": self.score_of_empty,
                 "gap": self.shapley.gap, "segment": self.shapley.segment, "decided": self.prefixes.decided,
                 "decided_shorter": self.prefixes.decided_shorter}
        for name, span in self.spans().items():
            facts |= dict(zip((f"{name}_first", f"{name}_last"), span or (None, None), strict=True))
        return {WHEN + name: value for name, value in facts.items() if value is not None}

    def arrays(self, classes: Sequence[str], label: str | None = None) -> dict[str, np.ndarray]:
        """Return the arrays for saliency.npz; saliency/results/clip.py lists them. classes, label: see `sentences`."""
        arrays = {"shapley": self.shapley.values, "shapley_error": self.shapley.errors,
                  "prefix_padded": self.prefixes.padded, "prefix_shorter": self.prefixes.shorter,
                  "prefix_empty": self.prefixes.empty, "kept": self.intervals.kept}
        arrays |= {f"lost_{name}": values for name, values in self.intervals.lost.items()}
        arrays = {name: values.float().cpu().numpy() for name, values in arrays.items()}
        arrays["sentences"] = np.array(self.sentences(classes, label), dtype=str)
        return {WHEN + name: values for name, values in arrays.items()}

    def metrics(self, profiles: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return numbers that can be averaged over clips.

        profiles: {method: importance of each frame (T,)}; the result has the rank correlation of the frames' Shapley
        values with each of them.
        """
        lengths = {f"{name}_frames": float("nan") if span is None else float(span[1] - span[0] + 1)
                   for name, span in self.spans().items()}
        scale = abs(self.difference) if self.differs else float("nan")
        frames = self.shapley.per_frame(self.length).cpu().numpy()
        return {
            **lengths, "decided": _number(self.prefixes.decided), "decided_shorter": _number(
                self.prefixes.decided_shorter), "order_effect": self.intervals.order_effect,
            "order_flips": float(self.intervals.flipped["reverse"][0, -1]),
            "order_part": float(self.intervals.necessary["reverse"] is not None),
            "largest_error": float(self.shapley.errors.max()) / scale, "gap": self.shapley.gap / scale,
            "difference": scale,
            **{f"spearman_{name}": spearman(frames, profile) for name, profile in profiles.items()},
        }

    @property
    def differs(self) -> bool:
        """Whether the score differs from that of the background by enough for shares of this difference."""
        return abs(self.difference) > self.limit

    def sentences(self, classes: Sequence[str], label: str | None = None) -> list[str]:
        """Return what was found, in words. classes: names of the classes. label: the clip's true class, if known."""
        target = classes[self.target]
        if self.still:
            said = ["Every frame equals the background of the clip, so no frame can have decided anything."]
        elif self._is_constant():
            said = [f"The frames decide nothing: the score of {target} hardly changes, whichever interval of them is "
                    "replaced by the background, stands still or runs backwards."]
        else:
            said = [self._of_shapley(target), self._of_alone(target)] if self.differs else [
                f"Together, the frames hardly change the score of {target}: it is {self.score_of_clip:.3g}, and "
                f"{self.score_of_empty:.3g} for the background alone."]
            said += [self._of_change(name, classes) for name, span in self.intervals.necessary.items()
                     if span or self.differs]
            said.append(self._of_prefixes(classes))
        return [" ".join([*self._of_prediction(classes, label), said[0]]), *said[1:]]

    def _is_constant(self) -> bool:
        """Return whether nothing that was done to the frames changes the score, the prediction or its probability."""
        effects, flips = (torch.stack(list(each.values())) for each in (self.intervals.drop, self.intervals.flipped))
        change = (self.prefixes.padded - self.prefixes.empty).abs().max()
        return not (self.differs or flips.any() or (effects.abs() > self.limit).any() or change > HARDLY["probability"])

    def _of_prediction(self, classes: Sequence[str], label: str | None) -> list[str]:
        predicted, target, odds = classes[self.predicted], classes[self.target], self.prefixes.padded[-1].tolist()
        labelled = f", but the clip is labelled {label}" if label and label != predicted else ""
        said = [f"The model says {predicted}{labelled}; {target} is explained."] * bool(labelled or predicted != target)
        if hardly_decides(odds) and not self.still:
            said.append(f"The model hardly decides: the two most probable classes have {max(odds):.2f} and "
                        f"{sorted(odds)[-2]:.2f}.")
        return said

    def _of_shapley(self, target: str) -> str:
        """Name the frame, or group of frames, that contributes most in the direction of the difference."""
        sign, errors, size = math.copysign(1, self.difference), self.shapley.errors, self.shapley.segment
        values = sign * self.shapley.values
        best = int(values.argmax())
        doubt = 2 * (errors ** 2 + errors[best] ** 2).sqrt() + 1e-6 * abs(self.difference)  # of a difference of values
        equals = int((values[best] - values <= doubt).sum()) - 1
        kind = "other frame" if size == 1 else "other group"
        beside = f", hardly more than {counted(equals, kind)}" if equals else ""
        error = "" if self.shapley.exact else f" (standard error {float(errors[best]):.2g})"
        lead, verb = ("owes most to", "raise") if sign > 0 else ("is lowered most by", "lower")
        return (f"The score of {target} {lead} {_frames((best * size + 1, min((best + 1) * size, self.length)))}: "
                f"{float(values[best]):.3g}{error}{beside}; compared with the background alone, all frames together "
                f"{verb} it by {abs(self.difference):.3g}.")

    def _of_alone(self, target: str) -> str:
        span, keep = self.intervals.sufficient, ("keep{}" if self.difference > 0 else "lower{} the score by").format
        if span == (1, self.length):
            return f"No {self._interval} but the whole clip {keep('s')} {SHARE:.0%} of this difference alone."
        return (f"Alone, with the background in all others, {_frames(span)} {keep('s' * (span[0] == span[1]))} "
                f"{_amount(self.intervals.kept[self._groups(span)])} this difference; no shorter {self._interval} "
                f"reaches {SHARE:.0%}{self._within}.")

    def _of_change(self, change: str, classes: Sequence[str]) -> str:
        span, singular = self.intervals.necessary[change], DEEDS[change][0]
        if span is None:
            return (f"No {self._interval}, not even the whole clip, changes the prediction or takes {SHARE:.0%} of "
                    f"this difference if it {singular}.")
        if span == (1, self.length) and change == "background" and self.differs:
            return (f"If any {self._interval} shorter than the whole clip {singular}, the model still says "
                    f"{classes[self.predicted]}, and less than {SHARE:.0%} of this difference is lost.")
        effect = (f"the score of {classes[self.target]} {'falls' if self.difference > 0 else 'rises'} by "
                  f"{_amount(self.intervals.lost[change][self._groups(span)])} this difference")
        if self.intervals.flipped[change][self._groups(span)]:
            effect = f"the model no longer says {classes[self.predicted]}"
        return (f"If {_frames(span)} {DEEDS[change][span[0] != span[1]]}, {effect}; no shorter {self._interval} does "
                f"this{self._within}.")

    def _groups(self, span: tuple[int, int]) -> tuple[int, int]:
        """Return the numbers of the first and last group, from 0, of an interval of frames."""
        return (span[0] - 1) // self.shapley.segment, (span[1] - 1) // self.shapley.segment

    @property
    def _interval(self) -> str:
        return "interval" if self.shapley.segment == 1 else f"interval of groups of {self.shapley.segment} frames"

    @property
    def _within(self) -> str:
        """Return what groups leave open: frames at both ends of the interval that its other ones may do without."""
        size = self.shapley.segment
        return "" if size == 1 else f", so its ends are known to within {2 * size - 2} frames"

    def _of_prefixes(self, classes: Sequence[str]) -> str:
        name, at, shorter = classes[self.predicted], self.prefixes.decided, self.prefixes.decided_shorter
        clip, empty = (float(odds[self.predicted]) for odds in (self.prefixes.padded[-1], self.prefixes.empty))
        if at is None:
            return (f"The frames do not raise the probability of {name} by more than 0.01: it is {clip:.2f} for the "
                    f"clip and {empty:.2f} for the background alone.")
        frames = "Frame 1 is" if at == 1 else f"The frames up to {at} are"
        alone = int((self.prefixes.empty >= empty).sum()) == 1  # whether no other class is as probable
        if alone and not hardly_decides(self.prefixes.empty.tolist()):
            return (f"The background alone already is {name} to the model ({empty:.2f}), so no frame is needed for the "
                    f"class; {frames.lower()} enough to bring its probability nearer to that of the clip ({clip:.2f}).")
        few = self.differs and self.target == self.predicted and at <= np.ptp(self.intervals.sufficient)
        class_only = f"; this gives the class, not yet {SHARE:.0%} of the difference in its score" if few else ""
        other = {None: "", at: " The same holds if the clip ends there."}.get(
            shorter, f" If the clip ends there instead, it takes the frames up to {shorter}.")
        return (f"{frames} enough for {name} if the background follows, and so is every longer beginning{class_only}."
                f"{other}")


def decide(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", segment: int | None = None,
           pairs: int = PAIRS, seed: int = 0) -> Decision:
    """Return when a model decided on the score of class `target` on one normalised clip (T, C, H, W).

    segment: frames per group, for Shapley values and intervals; by default 1, and more for clips of more than 60
    frames. pairs: pairs of random orders for Shapley values of more than 12 groups. seed: of these orders. The model
    must have `encode` and `classify` (model/contract.py). T + 1 frames are encoded.
    """
    encoded = EncodedClip(model, clip, target, score)
    shapley = frame_values(encoded, segment, pairs, seed)
    found = intervals(encoded, segment)
    curves = prefixes(encoded)
    return _on_cpu(Decision(
        len(clip), encoded.score_of_clip, encoded.score_of_empty, encoded.difference, encoded.limit, encoded.still,
        target, encoded.predicted, shapley, found, curves, encoded.encodings, encoded.passes))


def of_means(rows: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float | None]]:
    """Return the metrics of clips, {clip: `Decision.metrics`}, such that the mean of a share is a ratio of means.

    A share s of a difference d becomes R + d (s - R) / mean(d), with R = sum(s d) / sum(d). The mean of these values is
    R, and their spread is that of R to first order (Cochran, Sampling Techniques, 1977, chapter 6). Clips whose score
    hardly differs from that of the background have NaN and are left out.
    """
    found = {clip: dict(row) for clip, row in rows.items()}
    for name in SHARES:
        shares, weights = np.array([[row.get(name), row.get("difference")] for row in rows.values()], dtype=float).T
        known = np.isfinite(shares * weights)
        if known.any():
            ratio = np.average(shares[known], weights=weights[known])
            values = ratio + weights * (shares - ratio) / weights[known].mean()
            for row, value in zip(found.values(), values.tolist(), strict=True):
                row[name] = value
    return found


def _on_cpu(value: Any) -> Any:
    """Return a dataclass, a dictionary or a tensor with all tensors in it on the CPU, where any process can read it."""
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {name: _on_cpu(part) for name, part in value.items()}
    if is_dataclass(value):
        return replace(value, **{part.name: _on_cpu(getattr(value, part.name)) for part in fields(value)})
    return value


def _number(frame: int | None) -> float:
    return float("nan") if frame is None else float(frame)


def _amount(share: torch.Tensor) -> str:
    return f"{float(share):.0%} of" if share < 1.5 else f"{float(share):.3g} times"


def _frames(span: tuple[int, int]) -> str:
    return f"frame {span[0]}" if span[0] == span[1] else f"frames {span[0]} to {span[1]}"
