"""The score of a class, the number that is explained."""

from collections.abc import Callable, Sequence

import torch

from model.checks import check_scores
from model.scores import class_logits, class_probabilities
from runtime.errors import UserError

SCORES = ("logit", "probability", "margin", "difference")
Score = str | Callable[[torch.Tensor], torch.Tensor]
HARDLY = 0.1  # a smaller difference between the two most probable classes means that the model hardly decides


def margin(probabilities: Sequence[float]) -> float:
    """Return by how much the best probability exceeds the second-best one; infinity for a single class."""
    best, second = sorted([*map(float, probabilities), float("-inf")], reverse=True)[:2]
    return best - second


def hardly_decides(probabilities: Sequence[float]) -> bool:
    """Return whether the best and the second-best probability differ by less than 0.1; False for a single class."""
    return margin(probabilities) < HARDLY


def target_score(scores: torch.Tensor, target: int, score: Score = "logit") -> torch.Tensor:
    """Return the score of class `target` that is explained, for each row of class scores: (B, classes) -> (B,).

    score: "logit", "probability", "margin" (the logit minus the largest other one), "difference:N" (the logit minus
    that of class N), or a function of the logits (B, classes) -> (B,). Of one score per clip, (B, 1), class 1 has the
    score itself and class 0 its negative, see model/scores.py. ValueError if `score` is none of these, the scores have
    another shape or the target is not one of the classes.
    """
    check_scores(scores, target)
    logits, (kind, _, against) = class_logits(scores), str(score).partition(":")
    if callable(score):
        return score(logits)
    if kind == "margin":
        others = [index for index in range(logits.shape[1]) if index != target]
        return logits[:, target] - logits[:, others].amax(1)
    if kind == "difference" and against.isdigit() and int(against) in {*range(logits.shape[1])} - {target}:
        return logits[:, target] - logits[:, int(against)]
    if kind not in ("logit", "probability"):
        raise UserError(f"unknown score {score!r}; known are: logit, probability, margin, and difference:N for the "
                        "number N of another class")
    return (class_probabilities(scores) if kind == "probability" else logits)[:, target]
