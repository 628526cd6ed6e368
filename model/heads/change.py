"""Changes between frames, read by a convolution over five frames and pooled by a gate over time.

An empty scene does not change, so frames without anybody carry no evidence, wherever they are in the clip. The gate is
the attention pooling of Ilse, Tomczak and Welling, "Attention-based Deep Multiple Instance Learning", ICML 2018,
equation 8.
"""

import torch
from torch import nn

from model.heads.lstm import changes
from model.heads.pooling import frames_beyond

KERNEL = 5  # frames that a convolution reads
GATE_SIZE = 32  # units that score the frames


class ChangeHead(nn.Module):
    """(B, T, feature_size) -> (B, hidden_size): states of the frames, weighted by a softmax over time.

    num_layers: convolutions, each followed by a ReLU. change_dropout: share of the changes and of the states that
    training drops.
    """

    reads_changes = True

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 1, change_dropout: float = 0.2):
        super().__init__()
        self.output_size = hidden_size
        self.convolutions = nn.ModuleList(
            nn.Conv1d(hidden_size if layer else feature_size, hidden_size, KERNEL, padding=KERNEL // 2,
                      padding_mode="replicate") for layer in range(num_layers))
        self.gate = nn.Sequential(nn.Linear(hidden_size, GATE_SIZE), nn.Tanh(), nn.Linear(GATE_SIZE, 1))
        self.dropout = nn.Dropout(change_dropout)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        states = self.dropout(hold_last(changes(features), lengths))  # (B, T, D)
        for convolution in self.convolutions:
            states = convolution(states.transpose(1, 2)).relu().transpose(1, 2)  # (B, T, hidden_size)
            states = self.dropout(hold_last(states, lengths))
        scores = self.gate(states)  # (B, T, 1)
        if lengths is not None:
            scores = scores.masked_fill(frames_beyond(states, lengths)[..., None], -torch.inf)
        return (scores.softmax(1) * states).sum(1)


def hold_last(states: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Repeat the last state of each clip beyond its length, as a convolution's padding does: (B, T, D) -> (B, T, D)."""
    if lengths is None:
        return states
    steps = torch.arange(states.shape[1], device=states.device)
    places = torch.minimum(steps, lengths[:, None] - 1)  # (B, T)
    return states.gather(1, places[..., None].expand_as(states))
