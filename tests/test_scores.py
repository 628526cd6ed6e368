"""The score that is explained."""

import pytest
import torch

from saliency.scores import hardly_decides, target_score


def test_unknown_scores_are_named():
    with pytest.raises(ValueError, match="unknown score 'loss'; known are: logit, probability"):
        target_score(torch.zeros(1, 2), 0, "loss")


def test_a_model_hardly_decides_where_the_two_best_probabilities_are_close():
    assert hardly_decides([0.53, 0.47]) and hardly_decides(torch.tensor([0.3, 0.2, 0.25, 0.25]).numpy())
    assert not hardly_decides([0.56, 0.44]) and not hardly_decides([0.44, 0.56])
    assert not hardly_decides([0.45, *[0.01] * 55])  # a hundred classes: 0.45 against 0.01 is decided
    assert not hardly_decides([1.0]) and not hardly_decides([0.03])  # a single class has nothing beside it
