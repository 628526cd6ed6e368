"""What the model says after each frame: the class probabilities of growing prefixes of a clip."""

from dataclasses import dataclass

import torch

from model.scores import class_probabilities
from saliency.state import untouched
from saliency.when.encoded import HARDLY, EncodedClip


@dataclass(frozen=True)
class Prefixes:
    """The class probabilities after each frame.

    padded (T, classes): the first t frames, and the background in the others. shorter (T, classes): the first t frames
    alone, as a clip of t frames; NaN if the head does not take fewer frames. empty (classes,): the background in all
    frames. decided, decided_shorter: the first frame from which on the class predicted in the end stays the most
    probable one, with a probability nearer to that of the whole clip than to that of the background; 1-based. None if
    the clip has no more than the probability of the background and 0.01, so that no frame decides.
    """

    padded: torch.Tensor
    shorter: torch.Tensor
    empty: torch.Tensor
    decided: int | None
    decided_shorter: int | None


def prefixes(encoded: EncodedClip) -> Prefixes:
    """Return the class probabilities of a clip after each of its frames."""
    length, steps = len(encoded), encoded.steps
    padded = class_probabilities(encoded.class_scores_of(torch.where(steps <= steps[:, None], steps, length)))
    empty = class_probabilities(encoded.empty_scores)
    shorter = torch.full_like(padded, float("nan"))
    if _takes_fewer_frames(encoded):  # otherwise the head takes clips of this length only
        shorter = class_probabilities(torch.cat([encoded.class_scores_of(steps[None, :t])
                                                 for t in range(1, length + 1)]))
    return Prefixes(padded, shorter, empty, decided(padded, empty), decided(shorter, empty))


def _takes_fewer_frames(encoded: EncodedClip) -> bool:
    try:
        with untouched(encoded.model), torch.no_grad():
            for count in {1, min(2, len(encoded)), max(1, len(encoded) - 1)}:
                encoded.model.classify(encoded.features[None, :count])
    except Exception:  # the head of a user may raise anything
        return False
    return True


def decided(curve: torch.Tensor, empty: torch.Tensor) -> int | None:
    """Return the frame from which on a curve of class probabilities (T, classes) keeps to its last class, 1-based.

    empty (classes,): probabilities of the background. See Prefixes for the rule.
    """
    final = int(curve[-1].argmax())
    if not curve[-1, final] > empty[final] + HARDLY["probability"]:
        return None
    halfway = (empty[final] + curve[-1, final]) / 2
    agrees = (curve.argmax(1) == final) & (curve[:, final] > halfway)  # (T,)
    return int((~agrees).nonzero().max()) + 2 if not agrees.all() else 1
