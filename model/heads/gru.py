"""A gated recurrent unit, which has one gate less than an LSTM and no cell apart from its state.

Cho, van Merrienboer, Gulcehre, Bahdanau, Bougares, Schwenk and Bengio, "Learning Phrase Representations using RNN
Encoder-Decoder for Statistical Machine Translation", EMNLP 2014.
"""

import torch
from torch import nn

from model.heads.pooling import build_pooling


class GRUHead(nn.Module):
    """The pooled states of a GRU's top layer: (B, T, feature_size) -> (B, hidden_size).

    pooling: a name in POOLINGS.
    """

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 1, pooling: str = "last"):
        super().__init__()
        self.output_size = hidden_size
        self.gru = nn.GRU(feature_size, hidden_size, num_layers, batch_first=True)
        self.pooling = build_pooling(pooling, hidden_size)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the pooled states (B, hidden_size). lengths (B,): the number of frames of each clip, T if None."""
        states, _ = self.gru(features)  # (B, T, hidden_size)
        return self.pooling(states, lengths)
