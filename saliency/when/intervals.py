"""The shortest intervals of frames that suffice for the score of a clip, and those that it needs.

All T (T + 1) / 2 intervals are tried, with each way to change them:

- `background`: the frames of the interval are absent. `freeze`: they repeat the frame before the interval (the first
  frame if there is none). `reverse`: they run backwards.

Freezing and reversing are those of Mänttäri, Broomé, Folkesson and Kjellström, "Interpreting video features: a
comparison of 3D convolutional networks and convolutional LSTM networks", ACCV 2020, who search for a mask by gradient
descent. Here the best interval of whole frames is found by trying all.
"""

from dataclasses import dataclass

import torch

from model.scores import class_logits
from saliency.when.encoded import EncodedClip

SHARE = 0.9  # of S(all) - S(none), which a sufficient interval keeps and the loss of a necessary one takes
CHANGES = ("background", "freeze", "reverse")

Interval = tuple[int, int] | None  # first and last frame, 1-based and inclusive; None if there is none


@dataclass(frozen=True)
class Intervals:
    """The effect of each interval of groups of frames, P groups in all, and the shortest intervals.

    kept (P, P): share of S(all) - S(none) that the groups a..b alone keep. drop {change: (P, P)}: how far the score
    falls when the groups a..b are changed. lost {change: (P, P)}: the same as a share of S(all) - S(none).
    flipped {change: (P, P) bool}: whether the predicted class becomes another. Row a, column b; entries with b < a are
    NaN or False. All shares are NaN if S(all) hardly differs from S(none). segment: frames per group.
    sufficient: the shortest interval that keeps 90 percent. necessary {change: interval}: the shortest whose change
    takes 90 percent or flips the predicted class. The earliest of equals counts.
    """

    kept: torch.Tensor
    drop: dict[str, torch.Tensor]
    lost: dict[str, torch.Tensor]
    flipped: dict[str, torch.Tensor]
    sufficient: Interval
    necessary: dict[str, Interval]
    segment: int

    @property
    def order_effect(self) -> float:
        """The share of S(all) - S(none) that is lost when the whole clip runs backwards."""
        return float(self.lost["reverse"][0, -1])


def intervals(encoded: EncodedClip, segment: int | None = None) -> Intervals:
    """Try all intervals of a clip whose ends are multiples of `segment` frames; see frame_values for its default."""
    size = encoded.group_size(segment)
    length, groups = len(encoded), -(-len(encoded) // size)
    first, last = torch.triu_indices(groups, groups, device=encoded.features.device)[..., None]  # (N, 1) each
    start, stop = first * size, ((last + 1) * size).clamp_max(length)
    steps = encoded.steps
    inside = (steps >= start) & (steps < stop)  # (N, T)
    shown = {
        "background": torch.where(inside, length, steps),
        "freeze": torch.where(inside, (start - 1).clamp_min(0), steps),
        "reverse": torch.where(inside, start + stop - 1 - steps, steps),
    }
    place = first[:, 0], last[:, 0]
    difference = encoded.difference if abs(encoded.difference) > encoded.limit else float("nan")

    def table(values: torch.Tensor) -> torch.Tensor:
        """Put a value per interval, (N,), into a table (P, P)."""
        empty = float("nan") if values.is_floating_point() else False
        return torch.full((groups, groups), empty, dtype=values.dtype, device=values.device).index_put(place, values)

    alone = encoded.class_scores_of(torch.where(inside, steps, length))
    kept = table((encoded.explained(alone) - encoded.score_of_empty) / difference)
    drop, lost, flipped = {}, {}, {}
    for name in CHANGES:
        scores = encoded.class_scores_of(shown[name])  # (N, classes)
        drop[name] = table(encoded.score_of_clip - encoded.explained(scores))
        lost[name] = drop[name] / difference
        flipped[name] = table(class_logits(scores).argmax(1) != encoded.predicted)
    needed = {name: shortest((lost[name] >= SHARE) | flipped[name], size, length) for name in CHANGES}
    return Intervals(kept, drop, lost, flipped, shortest(kept >= SHARE, size, length), needed, size)


def mean_effect(effects: torch.Tensor, size: int, length: int) -> torch.Tensor:
    """Return, for each of `length` frames, the mean effect per frame of all intervals that contain it, (length,).

    effects (P, P): the effect of changing the groups a..b, which have `size` frames each. An interval's effect is
    divided by its number of frames, so that long intervals do not lend their effect to all that they contain.
    """
    first, last = torch.triu_indices(*effects.shape, device=effects.device)[..., None]  # (N, 1) each
    start, stop = first * size, ((last + 1) * size).clamp_max(length)
    steps = torch.arange(length, device=effects.device)
    inside = ((steps >= start) & (steps < stop)).to(effects.dtype)  # (N, T)
    per_frame = effects[first, last] / (stop - start)  # (N, 1)
    return (per_frame * inside).sum(0) / inside.sum(0)


def shortest(qualified: torch.Tensor, size: int = 1, length: int | None = None) -> Interval:
    """Return the shortest interval among those that are True in a table (P, P), the earliest of equals.

    size: frames per group. length: frames of the clip, P * size by default.
    """
    length = length or len(qualified) * size
    spans = [(first * size + 1, min((last + 1) * size, length)) for first, last in qualified.nonzero().tolist()]
    return min(spans, key=lambda span: (span[1] - span[0], span[0]), default=None)
