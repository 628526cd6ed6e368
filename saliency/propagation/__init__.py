"""Propagation of a score back through a head by rules that differ from the chain rule, for LRP and DeepLIFT.

    rules = RelevanceRules(epsilon=1e-3)
    scores = class_scores_by(rules, model, features)          # (N, T, D) -> (N, classes), the scores of model.classify
    gradient = torch.autograd.grad(scores[:, target].sum(), features)[0]
    relevance = features * gradient                             # (N, T, D)

heads.py computes the heads once more, from operations that the rules define (rules.py). Every rule gives an operation
its usual value and another gradient, so one backward pass of autograd propagates by the rule.
"""

from saliency.propagation.heads import RULED_HEADS, check_head, class_scores_by
from saliency.propagation.rules import DifferenceRules, Pair, RelevanceRules, Rules

__all__ = ["RULED_HEADS", "DifferenceRules", "Pair", "RelevanceRules", "Rules", "check_head", "class_scores_by"]
