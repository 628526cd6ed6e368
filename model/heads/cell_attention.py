"""Input-cell attention: at each time step, the LSTM reads summaries of fixed size of all inputs so far.

At time step t the LSTM reads M_t = A_t X_t, where X_t = [x_1 .. x_t] are the inputs so far and
A_t = softmax(W2 tanh(W1 X_t')) has one row of t weights per summary. Each input thus acts on the LSTM at all later
time steps directly, and its gradient does not vanish on the way through them (Ismail, Gunady, Pessoa, Corrada Bravo
and Feizi, "Input-Cell Attention Reduces Vanishing Saliency of Recurrent Neural Networks", NeurIPS 2019, equations 5
and 6). As in the authors' code, W1 and W2 have biases.
"""

import torch
from torch import nn

from model.heads.pooling import build_pooling


class InputCellAttention(nn.Module):
    """The summaries M_t of all time steps t, row after row: (B, T, size) -> (B, T, rows * size).

    size: of an input. rows: summaries per time step (r in the paper). hidden: hidden units of the scores (d_a in the
    paper). An input's scores depend on that input alone and are computed once for all time steps. The largest
    intermediate tensor is (B, T, rows, T), which is smaller than the result if T < size.
    """

    def __init__(self, size: int, rows: int = 20, hidden: int = 50):
        super().__init__()
        self.rows = rows
        self.score = nn.Sequential(nn.Linear(size, hidden), nn.Tanh(), nn.Linear(hidden, rows))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        summaries = self.weights(inputs).flatten(1, 2) @ inputs  # (B, T * rows, size)
        return summaries.view(*inputs.shape[:2], -1)  # (B, T, rows * size)

    def weights(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the attention weights A: (B, T, size) -> (B, T, rows, T).

        [:, t, :, s] are the weights of input s at time step t, which are 0 if s > t.
        """
        scores = self.score(inputs).transpose(1, 2)[:, None]  # (B, 1, rows, T)
        n_inputs = inputs.shape[1]
        future = torch.ones(n_inputs, n_inputs, dtype=torch.bool, device=inputs.device).triu(1)[:, None]  # (T, 1, T)
        return scores.masked_fill(future, -torch.inf).softmax(-1)


class CellAttentionHead(nn.Module):
    """The pooled states of an LSTM that reads summaries of all frames so far: (B, T, feature_size) -> (B, hidden_size).

    attention_rows, attention_size: r and d_a in the paper, see InputCellAttention. pooling: a name in
    POOLINGS.
    """

    def __init__(self, feature_size: int, hidden_size: int = 256, num_layers: int = 1, attention_rows: int = 20,
                 attention_size: int = 50, pooling: str = "last"):
        super().__init__()
        self.output_size = hidden_size
        self.attention = InputCellAttention(feature_size, attention_rows, attention_size)
        self.lstm = nn.LSTM(attention_rows * feature_size, hidden_size, num_layers, batch_first=True)
        self.pooling = build_pooling(pooling, hidden_size)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the pooled states (B, hidden_size). lengths (B,): the number of frames of each clip, T if None."""
        states, _ = self.lstm(self.attention(features))  # (B, T, hidden_size)
        return self.pooling(states, lengths)
