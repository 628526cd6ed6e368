"""The head of pranoyr/cnn-lstm: the state of an LSTM after the last frame."""

import torch
from torch import nn


class LSTMHead(nn.Module):
    """The state of an LSTM's top layer after the last frame of each clip: (B, T, feature_size) -> (B, hidden_size)."""

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 1):
        super().__init__()
        self.output_size = hidden_size
        self.lstm = nn.LSTM(feature_size, hidden_size, num_layers, batch_first=True)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the state (B, hidden_size). lengths (B,): the number of frames of each clip, T if None."""
        states, _ = self.lstm(features)  # (B, T, hidden_size)
        return last_states(states, lengths)


def last_states(states: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
    """Return the state after the last frame of each clip: (B, T, H), lengths (B,) or None for T -> (B, H)."""
    if lengths is None:
        return states[:, -1]
    return states[torch.arange(len(states), device=states.device), lengths - 1]
