"""The result of an attribution method, the same for frames and for features."""

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Attribution:
    """The result of one method for one clip.

    map: for frames (T, H, W), not negative, larger means more important; for features (T, D), signed.
    evidence: for frames (T, H, W), signed, positive where the input raises the score of the explained class, or None if
    the method has no sign; for features None, because the map is signed already.
    facts: what the method states about itself: numbers, such as a completeness gap, or the name of TSR's base.
    arrays: further results that are saved with the map, such as TSR's time contribution. For a padded clip,
    those with a row per true frame get zeros for the padding.
    """

    map: torch.Tensor
    evidence: torch.Tensor | None = None
    facts: dict[str, float | str] = field(default_factory=dict)
    arrays: dict[str, torch.Tensor] = field(default_factory=dict)
