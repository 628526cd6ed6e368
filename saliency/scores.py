"""The score of a class, the number that is explained."""

from collections.abc import Sequence

import torch

from model.checks import check_scores
from model.scores import class_logits, class_probabilities
from runtime.errors import UserError

SCORES = ("logit", "probability")
HARDLY = 0.1  # a smaller difference between the two most probable classes means that the model hardly decides


def margin(probabilities: Sequence[float]) -> float:
    """Return by how much the best probability exceeds the second-best one; infinity for a single class."""
    best, second = sorted([*map(float, probabilities), float("-inf")], reverse=True)[:2]
    return best - second


def hardly_decides(probabilities: Sequence[float]) -> bool:
    """Return whether the best and the second-best probability differ by less than 0.1; False for a single class."""
    return margin(probabilities) < HARDLY


def target_score(scores: torch.Tensor, target: int, score: str = "logit") -> torch.Tensor:
    """Return the logit or the probability of class `target` for each row of scores: (B, classes) -> (B,).

    Of one score per clip, (B, 1), class 1 has the score itself and class 0 its negative, see model/scores.py.
    ValueError if `score` is not one of SCORES, the scores have another shape or the target is not one of the classes.
    """
    check_scores(scores, target)
    if score not in SCORES:
        raise UserError(f"unknown score {score!r}; known are: {', '.join(SCORES)}")
    return (class_probabilities(scores) if score == "probability" else class_logits(scores))[:, target]
