"""A transformer encoder over the frames, with sinusoidal positions, so that clips may have any length.

Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser and Polosukhin, "Attention Is All You Need", NeurIPS 2017.
Layer norm is applied before each part of a layer, so that training needs no warm-up (Xiong et al., "On Layer
Normalization in the Transformer Architecture", ICML 2020).
"""

import torch
from torch import nn

from model.heads.pooling import build_pooling, frames_beyond
from runtime.errors import UserError

FEEDFORWARD = 4  # units of the hidden layer after the attention, relative to hidden_size
PERIOD = 10000  # of the slowest sine, in frames, divided by 2 pi


class TransformerHead(nn.Module):
    """The pooled states of a transformer encoder: (B, T, feature_size) -> (B, hidden_size).

    attention_heads: hidden_size must be a multiple of it. layer_dropout: share of the outputs of each part of a layer
    that training drops. The attention weights are not dropped, because several processes could not draw these as one
    process does. pooling: a name in POOLINGS. ValueError if the sizes do not fit.
    """

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 2, attention_heads: int = 4,
                 layer_dropout: float = 0.1, pooling: str = "mean"):
        super().__init__()
        if attention_heads < 1 or hidden_size % attention_heads:
            raise UserError(f"the head transformer was given --hidden_size {hidden_size} and --attention_heads "
                            f"{attention_heads}; the size must be a multiple of the number of attention heads")
        self.output_size = hidden_size
        self.embedding = nn.Linear(feature_size, hidden_size)
        layer = nn.TransformerEncoderLayer(hidden_size, attention_heads, FEEDFORWARD * hidden_size, layer_dropout,
                                           batch_first=True, norm_first=True)
        layer.self_attn.dropout = 0.0
        self.encoder = nn.TransformerEncoder(layer, num_layers, nn.LayerNorm(hidden_size), enable_nested_tensor=False)
        for weight in self.encoder.parameters():
            if weight.ndim > 1:  # its layers are copies of one layer, so they start with equal weights
                nn.init.xavier_uniform_(weight)
        self.pooling = build_pooling(pooling, hidden_size)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the pooled states (B, hidden_size). lengths (B,): the number of frames of each clip, T if None."""
        states = self.embedding(features)  # (B, T, hidden_size)
        states = states + sinusoids(*states.shape[1:]).to(states)
        beyond = None if lengths is None else frames_beyond(states, lengths)  # (B, T)
        return self.pooling(self.encoder(states, src_key_padding_mask=beyond), lengths)


def sinusoids(length: int, size: int) -> torch.Tensor:
    """Return the positions of frames 0..length-1 as sines and cosines of falling frequency, (length, size)."""
    frequencies = PERIOD ** (-torch.arange(0, size, 2, dtype=torch.double) / size)  # (size / 2,), rounded up
    angles = torch.arange(length)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :size]
