"""An LSTM that reads the clip forwards, and another that reads it backwards.

Graves and Schmidhuber, "Framewise Phoneme Classification with Bidirectional LSTM and Other Neural Network
Architectures", Neural Networks 18, 2005.
"""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from model.heads.pooling import build_pooling, last_states


class BiLSTMHead(nn.Module):
    """The pooled states of both directions: (B, T, feature_size) -> (B, 2 * hidden_size).

    The backward direction starts at the last frame of each clip, whatever the length of the batch. pooling: a name in
    POOLINGS; "last" takes from each direction the state after it has read the whole clip, which is that of
    the first frame for the backward direction.
    """

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 1, pooling: str = "last"):
        super().__init__()
        self.output_size, self.only_last = 2 * hidden_size, pooling == "last"
        self.lstm = nn.LSTM(feature_size, hidden_size, num_layers, batch_first=True, bidirectional=True)
        self.pooling = build_pooling(pooling, 2 * hidden_size)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the pooled states (B, 2 * hidden_size). lengths (B,): frames of each clip, T if None."""
        states = self.states(features, lengths)  # (B, T, 2 * hidden_size)
        if self.only_last:
            forwards, backwards = states.chunk(2, 2)
            return torch.cat([last_states(forwards, lengths), backwards[:, 0]], 1)
        return self.pooling(states, lengths)

    def states(self, features: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Return the states of both directions after each frame, (B, T, 2 * hidden_size); 0 beyond the length."""
        if lengths is None:
            return self.lstm(features)[0]
        packed = pack_padded_sequence(features, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=features.shape[1])
        return states
