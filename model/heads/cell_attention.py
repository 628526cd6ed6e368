"""Input-cell attention: the LSTM's input at each step is a fixed-size summary of all inputs so far.

At step t the recurrent cell reads M_t = A_t X_t, where X_t = [x_1 .. x_t] and A_t = softmax(W2 tanh(W1 X_t')) over the
t inputs, one row per way of looking back. The gradient reaches each input in one step instead of through all later
ones (Ismail, Gunady, Pessoa, Corrada Bravo and Feizi, "Input-Cell Attention Reduces Vanishing Saliency of Recurrent
Neural Networks", NeurIPS 2019, equations 5 and 6; W1, W2 with biases as in the authors' code).
"""

import torch
from torch import nn

from model.heads.lstm import last_states


class InputCellAttention(nn.Module):
    """(B, T, size) -> (B, T, rows * size): row after row of M_t for each step t.

    The scores depend on each input alone and are computed once for all steps. Largest intermediate: (B, T, rows, T),
    smaller than the result as long as T is below `size`.
    """

    def __init__(self, size, rows=20, hidden=50):
        super().__init__()
        self.rows = rows
        self.score = nn.Sequential(nn.Linear(size, hidden), nn.Tanh(), nn.Linear(hidden, rows))

    def forward(self, inputs):
        summaries = self.weights(inputs).flatten(1, 2) @ inputs  # (B, T * rows, size)
        return summaries.view(*inputs.shape[:2], -1)  # (B, T, rows * size)

    def weights(self, inputs):
        """A: (B, T, size) -> (B, T, rows, T); [:, t, :, s] is the weight of input s at step t, 0 where s > t."""
        scores = self.score(inputs).transpose(1, 2)[:, None]  # (B, 1, rows, T)
        steps = inputs.shape[1]
        future = torch.ones(steps, steps, dtype=torch.bool, device=inputs.device).triu(1)[:, None]
        return scores.masked_fill(future, -torch.inf).softmax(-1)


class CellAttentionHead(nn.Module):
    """(B, T, feature_size) -> (B, hidden_size): the last state of an LSTM that reads summaries of all frames so far.

    attention_rows, attention_size: r and d_a of the paper.
    """

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 1, attention_rows: int = 20,
                 attention_size: int = 50):
        super().__init__()
        self.output_size = hidden_size
        self.attention = InputCellAttention(feature_size, attention_rows, attention_size)
        self.lstm = nn.LSTM(attention_rows * feature_size, hidden_size, num_layers, batch_first=True)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        states, _ = self.lstm(self.attention(features))  # (B, T, hidden_size)
        return last_states(states, lengths)
