"""An LSTM that reads how the features change, or the features themselves as in pranoyr/cnn-lstm.

A recurrent layer that reads features sees one scene thirty times, and its state of the last frame is dominated by the
last few of them. The change of the features, of each frame since the frame two before, is 0 where nothing moves. So
only frames with motion move the state, and the weighted sum of the states over time can point at them.
"""

import torch
from torch import nn

from model.heads.pooling import build_pooling

LAG = 2  # frames between which a change is measured


class LSTMHead(nn.Module):
    """The pooled states of an LSTM's top layer: (B, T, feature_size) -> (B, hidden_size).

    reads: "changes" or "features". pooling: a name in POOLINGS. layer_dropout: share of what the first
    layer reads and of the states that training drops. With reads="features" and pooling="last" this is the head of
    pranoyr/cnn-lstm.
    """

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 1, reads: str = "changes",
                 pooling: str = "attention", layer_dropout: float = 0.2):
        super().__init__()
        self.output_size, self.reads_changes = hidden_size, reads == "changes"
        self.lstm = nn.LSTM(feature_size, hidden_size, num_layers, batch_first=True)
        self.pooling = build_pooling(pooling, hidden_size)
        self.dropout = nn.Dropout(layer_dropout)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the pooled states (B, hidden_size). lengths (B,): the number of frames of each clip, T if None."""
        inputs = changes(features) if self.reads_changes else features
        states, _ = self.lstm(self.dropout(inputs))  # (B, T, hidden_size)
        return self.pooling(self.dropout(states), lengths)


def changes(features: torch.Tensor) -> torch.Tensor:
    """Return each frame's features minus those LAG frames before, or minus the first: (B, T, D) -> (B, T, D)."""
    before = torch.cat([features[:, :1].expand(-1, LAG, -1), features], 1)[:, :features.shape[1]]
    return features - before
