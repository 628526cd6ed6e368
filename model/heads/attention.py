"""A weighted sum of the features of the frames. It does not see the order of the frames."""

import torch
from torch import nn

from model.heads.pooling import AttentionPooling


class AttentionHead(nn.Module):
    """The features of the frames, weighted by a softmax over time: (B, T, feature_size) -> (B, feature_size).

    hidden_size, num_layers: of the network that scores each frame by itself, see AttentionPooling.
    """

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 1):
        super().__init__()
        self.output_size = feature_size
        self.pooling = AttentionPooling(feature_size, hidden_size, num_layers)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the sum (B, feature_size). lengths (B,): the number of frames of each clip, T if None."""
        return self.pooling(features, lengths)
