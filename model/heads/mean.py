"""The mean over time of what a small network finds in each frame. It does not see the order of the frames."""

import torch
from torch import nn

from model.heads.pooling import MeanPooling


class MeanHead(nn.Module):
    """Linear layers with ReLU on each frame, then the mean: (B, T, feature_size) -> (B, hidden_size)."""

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 1):
        super().__init__()
        self.output_size = hidden_size
        layers = []
        for layer in range(num_layers):
            layers += [nn.Linear(hidden_size if layer else feature_size, hidden_size), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.pooling = MeanPooling(hidden_size)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the mean (B, hidden_size). lengths (B,): the number of frames of each clip, T if None."""
        return self.pooling(self.layers(features), lengths)
