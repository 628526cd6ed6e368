"""Scores and probabilities of classes, also for one score per clip.

One score s per clip tells two classes apart: it is the logit of the second one, whose probability is its sigmoid. The
score of the first class is -s.
"""

import torch


def n_classes(scores: torch.Tensor) -> int:
    """Return how many classes the scores (..., n) of a model are about."""
    return max(2, scores.shape[-1])


def class_logits(scores: torch.Tensor) -> torch.Tensor:
    """Return one score per class: (..., classes) as they are, or (..., 1) -> (..., 2)."""
    return scores * scores.new_tensor([-1, 1]) if scores.shape[-1] == 1 else scores


def class_probabilities(scores: torch.Tensor) -> torch.Tensor:
    """Return the probability of each class: (..., classes), or (..., 1) -> (..., 2)."""
    return class_logits(scores).sigmoid() if scores.shape[-1] == 1 else scores.softmax(-1)
