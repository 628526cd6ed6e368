"""DeepLIFT through the head: the difference of the score from that of a reference, distributed over the features.

The reference shows, in all frames, the median of the features over the clip. saliency/propagation/rules.py has the
rescale rule and the rule for products. Every nonlinear function is seen at its two ends only, the reference and the
clip, so one pass replaces the many points of integrated gradients. Source: Shrikumar, Greenside and Kundaje, "Learning
Important Features Through Propagating Activation Differences", ICML 2017.
"""

import torch
from torch import nn

from model.scores import class_logits
from runtime.errors import UserError
from saliency.fills import background
from saliency.methods.sequences import Relevance, gradients_of
from saliency.propagation import DifferenceRules, Pair, check_head, class_scores_by
from saliency.scores import target_score


def deep_lift_of_sequences(model: nn.Module, features: torch.Tensor, target: int, score: str = "logit") -> Relevance:
    """Return the contributions of each sequence, which sum to S(sequence) - S(reference of the clip).

    ValueError if the rules are not defined for the head.
    """
    check_head(model)
    if score not in ("logit", "probability"):
        raise UserError(f"deep_lift explains the logit or the probability, but the score {score} was given")
    reference, rules = background(features).expand_as(features)[None], DifferenceRules()  # (1, T, D)

    def explained(part):
        scores = class_scores_by(rules, model, Pair(part, reference))
        if score == "probability" and scores.value.shape[-1] == 1:
            scores = rules.bend("sigmoid", rules.linear(class_logits, scores))
        elif score == "probability":
            scores = rules.softmax(scores, -1)
        return target_score(scores.value, target)

    return lambda sequences: (sequences - reference) * gradients_of(model, explained, sequences)
