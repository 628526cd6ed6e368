"""A temporal convolutional network: dilated causal convolutions with residual connections.

Bai, Kolter and Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling",
arXiv:1803.01271, 2018. Their weight normalisation is left out.
"""

import torch
from torch import nn
from torch.nn.functional import conv1d, pad

from model.heads.pooling import build_pooling

KERNEL = 3  # frames that a convolution reads


class CausalConvolution(nn.Conv1d):
    """A convolution that reads the frame, and frames `dilation` and 2 * `dilation` before it: (B, C, T) -> (B, K, T).

    Frames before the first are 0. A dilation beyond the length of the clip reads these only, so it is cut to the
    length, which gives the same result.
    """

    def __init__(self, inputs: int, outputs: int, dilation: int):
        super().__init__(inputs, outputs, KERNEL, dilation=dilation)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        step = min(self.dilation[0], states.shape[2])
        return conv1d(pad(states, (step * (KERNEL - 1), 0)), self.weight, self.bias, dilation=step)


class Block(nn.Module):
    """Two causal convolutions with ReLU and dropout, and a residual connection: (B, C, T) -> (B, K, T)."""

    def __init__(self, inputs: int, outputs: int, dilation: int, dropout: float):
        super().__init__()
        self.convolutions = nn.ModuleList(
            CausalConvolution(size, outputs, dilation) for size in (inputs, outputs))
        self.dropout = nn.Dropout(dropout)
        self.residual = nn.Identity() if inputs == outputs else nn.Conv1d(inputs, outputs, 1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        found = states
        for convolution in self.convolutions:
            found = self.dropout(convolution(found).relu())
        return (found + self.residual(states)).relu()


class TCNHead(nn.Module):
    """The pooled states of a temporal convolutional network: (B, T, feature_size) -> (B, hidden_size).

    num_layers: blocks; the dilation doubles from block to block, so that a state depends on the last
    1 + 4 (2^num_layers - 1) frames, which are 61 for 4 blocks. layer_dropout: share of the outputs of each convolution
    that training drops. pooling: a name in POOLINGS.
    """

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 4, layer_dropout: float = 0.2,
                 pooling: str = "last"):
        super().__init__()
        self.output_size = hidden_size
        self.blocks = nn.Sequential(*(
            Block(hidden_size if layer else feature_size, hidden_size, 2**layer, layer_dropout)
            for layer in range(num_layers)))
        self.pooling = build_pooling(pooling, hidden_size)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the pooled states (B, hidden_size). lengths (B,): the number of frames of each clip, T if None."""
        states = self.blocks(features.transpose(1, 2)).transpose(1, 2)  # (B, T, hidden_size)
        return self.pooling(states, lengths)
