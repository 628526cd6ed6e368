"""The head of pranoyr/cnn-lstm: the state of an LSTM after the last frame, or another pooling of its states."""

import torch
from torch import nn

from model.heads.pooling import build_pooling


class LSTMHead(nn.Module):
    """The pooled states of an LSTM's top layer: (B, T, feature_size) -> (B, hidden_size).

    pooling: a name in model.heads.POOLINGS.
    """

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 1, pooling: str = "last"):
        super().__init__()
        self.output_size = hidden_size
        self.lstm = nn.LSTM(feature_size, hidden_size, num_layers, batch_first=True)
        self.pooling = build_pooling(pooling, hidden_size)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the pooled states (B, hidden_size). lengths (B,): the number of frames of each clip, T if None."""
        states, _ = self.lstm(features)  # (B, T, hidden_size)
        return self.pooling(states, lengths)
