"""The score that is explained."""

import pytest
import torch

from saliency.scores import target_score


def test_unknown_scores_are_named():
    with pytest.raises(ValueError, match="unknown score 'margin'; known are: logit, probability"):
        target_score(torch.zeros(1, 2), 0, "margin")
