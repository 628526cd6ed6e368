"""The result of an attribution method, the same for frames and for features."""

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Attribution:
    """map: for frames (T, H, W), not negative, larger means more important; for features (T, D), signed.

    evidence: for frames (T, H, W), signed, positive where the input raises the score of the explained class; None for
    methods without a sign. For features the map itself is the evidence where the method has a sign.
    facts: numbers that the method states about itself, such as a completeness gap. arrays: what else is worth keeping,
    such as TSR's time contribution.
    """

    map: torch.Tensor
    evidence: torch.Tensor | None = None
    facts: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, torch.Tensor] = field(default_factory=dict)
