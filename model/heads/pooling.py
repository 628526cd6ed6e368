"""Poolings: how the states of the frames of a clip become one vector.

    pooling = build_pooling("mean", size)
    vector = pooling(states, lengths)        # (B, T, size) -> (B, size)

A pooling is a module with forward(states (B, T, size), lengths=None) -> (B, size). Frames at or beyond a clip's length
have no influence and get the gradient 0.
"""

import torch
from torch import nn

from runtime.errors import UserError

SCORE_SIZE = 64  # units that score the frames for --pooling attention


def frames_beyond(states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return which frames lie at or beyond the length of their clip: (B, T, ...), lengths (B,) -> (B, T) bool."""
    return torch.arange(states.shape[1], device=states.device) >= lengths[:, None]


def last_states(states: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
    """Return the state after the last frame of each clip: (B, T, H), lengths (B,) or None for T -> (B, H)."""
    if lengths is None:
        return states[:, -1]
    return states[torch.arange(len(states), device=states.device), lengths - 1]


class LastPooling(nn.Module):
    """The state of the last frame."""

    def __init__(self, size: int):
        super().__init__()

    def forward(self, states: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        return last_states(states, lengths)


class MeanPooling(nn.Module):
    """The mean of the states of all frames."""

    def __init__(self, size: int):
        super().__init__()

    def forward(self, states: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        if lengths is None:
            return states.mean(1)
        return states.masked_fill(frames_beyond(states, lengths)[..., None], 0).sum(1) / lengths[:, None]


class MaxPooling(nn.Module):
    """The largest value of each number of the states over all frames."""

    def __init__(self, size: int):
        super().__init__()

    def forward(self, states: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        if lengths is not None:
            states = states.masked_fill(frames_beyond(states, lengths)[..., None], -torch.inf)
        return states.amax(1)


class AttentionPooling(nn.Module):
    """The sum of the states of all frames, weighted by a softmax over time of a score of each state.

    The score of state h is v' tanh(W h + b), as in Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly
    Learning to Align and Translate", ICLR 2015, section A.1.2, without the decoder's state. size: of a state.
    score_size: rows of W. num_layers: layers with tanh.
    """

    def __init__(self, size: int, score_size: int = SCORE_SIZE, num_layers: int = 1):
        super().__init__()
        layers = []
        for layer in range(num_layers):
            layers += [nn.Linear(score_size if layer else size, score_size), nn.Tanh()]
        self.score = nn.Sequential(*layers, nn.Linear(score_size, 1, bias=False))

    def weights(self, states: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the weights of the frames, which sum to 1: (B, T, size) -> (B, T)."""
        scores = self.score(states)[..., 0]  # (B, T)
        if lengths is not None:
            scores = scores.masked_fill(frames_beyond(states, lengths), -torch.inf)
        return scores.softmax(1)

    def forward(self, states: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        return (self.weights(states, lengths)[..., None] * states).sum(1)


POOLINGS = {"last": LastPooling, "mean": MeanPooling, "max": MaxPooling, "attention": AttentionPooling}


def build_pooling(kind: str, size: int) -> nn.Module:
    """Return a new pooling of states of `size` numbers. ValueError if POOLINGS has no such kind."""
    if kind not in POOLINGS:
        raise UserError(f"unknown pooling {kind!r}; known are: {', '.join(POOLINGS)}")
    return POOLINGS[kind](size)
