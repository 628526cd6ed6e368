"""Layer-wise relevance propagation (LRP) of a class score through the head, to the features of each frame.

    attribution = attribute(FEATURE_METHODS["lrp"], model, clip, target)
    attribution.map.sum() + attribution.facts["kept"]        # the score

The relevance of the score goes back through the layers in proportion to what each unit adds. The gates of an LSTM or a
GRU, and attention weights, only scale the signal beside them: "weights times signal", in which the signal takes all
(Arras, Montavon, Müller and Samek, "Explaining Recurrent Neural Network Predictions in Sentiment Analysis", WASSA 2017;
Arras, Arjona-Medina, Widrich, Montavon, Gillhofer, Müller, Hochreiter and Samek, "Explaining and Interpreting LSTMs",
2019). saliency/propagation/rules.py has the rules. Biases keep their share of the relevance.
"""

import torch
from torch import nn

from runtime.errors import UserError
from saliency.attribution import Attribution
from saliency.fills import background
from saliency.gradient import score_of, untouched
from saliency.methods.sequences import Relevance, clip_features, gradients_of
from saliency.propagation import RelevanceRules, check_head, class_scores_by
from saliency.scores import target_score

EPSILON = 1e-3


def feature_lrp(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
                epsilon: float = EPSILON) -> Attribution:
    """Compute the relevance of each feature, (T, D). It is distributed over the score before the softmax.

    epsilon: added to the magnitude of every sum before it is divided by, in the units of this sum; what it absorbs
    grows with it. facts["kept"]: the relevance that the biases and epsilon keep, the score minus the sum of the map.
    ValueError if the rule is not defined for the head, or if the score is a probability.
    """
    features = clip_features(model, clip)
    with untouched(model):
        relevance = lrp_of_sequences(model, features, target, score, epsilon)(features[None])[0]
        with torch.no_grad():
            whole = score_of(model, features[None], target, score)
    return Attribution(relevance, None, {"kept": float(whole - relevance.sum())})


def lrp_of_sequences(model: nn.Module, features: torch.Tensor, target: int, score: str = "logit",
                     epsilon: float = EPSILON) -> Relevance:
    """Return the relevance of each sequence.

    A head that reads changes does not notice a constant that is added to all frames. There, the two frames of a change
    share it in proportion to their own differences from the median of the clip's features.
    """
    check_head(model)
    if score != "logit":
        raise UserError(f"lrp distributes the score before the softmax, but the score {score} was given; give logit")
    reads_changes = getattr(model.head, "reads_changes", False)
    origin = background(features) if reads_changes else torch.zeros_like(features[0])  # (D,)
    rules = RelevanceRules(epsilon)

    def explained(part):
        return target_score(class_scores_by(rules, model, part), target)

    return lambda sequences: (sequences - origin) * gradients_of(model, explained, sequences)
