"""All that saliency.when says about one clip, as arrays to save, as numbers to average and as sentences to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from saliency.metrics import spearman
from saliency.result import WHEN
from saliency.when.encoded import EncodedClip
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


@dataclass(frozen=True)
class Decision:
    """When a model decided on a clip of T frames.

    length: T. score_of_clip, score_of_empty: the explained score of the clip and of its background in all frames.
    difference: the first minus the second, 0 if they differ by rounding errors only. still: whether every frame equals
    the background. target: index of the explained class. predicted: index of the predicted class. encodings, passes:
    frames that went through the encoder, and sequences that went through the head.
    """

    length: int
    score_of_clip: float
    score_of_empty: float
    difference: float
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

    def arrays(self, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the arrays for saliency.npz; saliency/result.py lists them. classes: names of the classes."""
        arrays = {"shapley": self.shapley.values, "shapley_error": self.shapley.errors,
                  "prefix_padded": self.prefixes.padded, "prefix_shorter": self.prefixes.shorter,
                  "prefix_empty": self.prefixes.empty, "kept": self.intervals.kept}
        arrays |= {f"lost_{name}": values for name, values in self.intervals.lost.items()}
        arrays = {name: values.float().cpu().numpy() for name, values in arrays.items()}
        arrays["sentences"] = np.array(self.sentences(classes), dtype=str)
        return {WHEN + name: values for name, values in arrays.items()}

    def metrics(self, profiles: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return numbers that can be averaged over clips.

        profiles: {method: importance of each frame (T,)}; the result has the rank correlation of the frames' Shapley
        values with each of them.
        """
        lengths = {f"{name}_frames": float("nan") if span is None else float(span[1] - span[0] + 1)
                   for name, span in self.spans().items()}
        scale = abs(self.difference) or float("nan")
        frames = self.shapley.per_frame(self.length).cpu().numpy()
        return {
            **lengths, "decided": _number(self.prefixes.decided), "decided_shorter": _number(
                self.prefixes.decided_shorter), "order_effect": self.intervals.order_effect,
            "largest_error": float(self.shapley.errors.max()) / scale, "gap": self.shapley.gap / scale,
            **{f"spearman_{name}": spearman(frames, profile) for name, profile in profiles.items()},
        }

    def sentences(self, classes: Sequence[str]) -> list[str]:
        """Return what was found, in words. classes: names of the classes."""
        if self.still:
            return ["Every frame equals the background of the clip, so no frame can have decided anything."]
        if not self.difference:
            return ["The clip has the score of its background, so the frames decide nothing."]
        said = [self._of_shapley(classes[self.target])]
        if self.intervals.sufficient:
            kept = float(self.intervals.kept[self._groups(self.intervals.sufficient)])
            said.append(f"Alone, with the background in all others, {_frames(self.intervals.sufficient)} "
                        f"{'keeps' if len(set(self.intervals.sufficient)) == 1 else 'keep'} {kept:.0%} of this "
                        f"difference; no shorter interval keeps {SHARE:.0%}.")
        said += [self._of_change(name, classes) for name in self.intervals.necessary]
        return [*said, self._of_prefixes(classes)]

    def _groups(self, span: tuple[int, int]) -> tuple[int, int]:
        """Return the numbers of the first and last group, from 0, of an interval of frames."""
        return (span[0] - 1) // self.shapley.segment, (span[1] - 1) // self.shapley.segment

    def _of_shapley(self, target: str) -> str:
        values, errors, segment = self.shapley.values, self.shapley.errors, self.shapley.segment
        best = int(values.argmax())
        span = (best * segment + 1, min((best + 1) * segment, self.length))
        error = "" if self.shapley.exact else f" ± {float(errors[best]):.2g}"
        return (f"The score of {target} owes most to {_frames(span)}: {float(values[best]):.3g}{error} of the "
                f"{self.difference:.3g} by which the clip differs from its background.")

    def _of_change(self, change: str, classes: Sequence[str]) -> str:
        span, (singular, plural) = self.intervals.necessary[change], DEEDS[change]
        if span is None:
            whole = float(self.intervals.lost[change][0, -1])
            return (f"There is no interval whose frames {plural} and thereby change the prediction or take {SHARE:.0%} "
                    f"of the difference. In the whole clip this takes {whole:.0%}.")
        lost = f"{float(self.intervals.lost[change][self._groups(span)]):.0%} of the difference is lost"
        if self.intervals.flipped[change][self._groups(span)]:
            lost = f"the prediction is no longer {classes[self.predicted]}"
        deed = singular if span[0] == span[1] else plural
        return f"If {_frames(span)} {deed}, {lost}; no shorter interval does this."

    def _of_prefixes(self, classes: Sequence[str]) -> str:
        name, shorter = classes[self.predicted], self.prefixes.decided_shorter
        if self.prefixes.decided is None:
            return f"The background alone is {name} to the model at least as much as the clip is."
        other = {None: "", self.prefixes.decided: " The same holds if the clip ends there."}.get(
            shorter, f" If the clip ends there instead, it takes the frames up to {shorter}.")
        return (f"The frames up to {self.prefixes.decided} are enough for {name} if the background follows them, and "
                f"so is every longer beginning.{other}")


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
        len(clip), encoded.score_of_clip, encoded.score_of_empty, encoded.difference, encoded.still, target,
        encoded.predicted, shapley, found, curves, encoded.encodings, encoded.passes))


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


def _frames(span: tuple[int, int]) -> str:
    return f"frame {span[0]}" if span[0] == span[1] else f"frames {span[0]} to {span[1]}"
