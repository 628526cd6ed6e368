"""Features without their frames, for benchmarks that train and explain heads on the vectors of a frozen backbone."""

import torch
from torch import nn

from saliency.when.encoded import EncodedClip


class EncodedFeatures(EncodedClip):
    """An EncodedClip of features that are known already: (T, D) of the frames and (D,) of the background.

    model: any module with `classify`; see EncodedClip for the rest.
    """

    def __init__(self, model: nn.Module, features: torch.Tensor, empty: torch.Tensor, target: int,
                 score: str = "logit"):
        self.model, self.target, self.score = model, target, score
        self.features, self.empty = features, empty
        self.still = bool((features == empty).all())
        self.encodings, self.passes = 0, 0
