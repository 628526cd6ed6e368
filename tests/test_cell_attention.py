"""Input-cell attention against its definition step by step."""

import pytest
import torch

from model.heads.cell_attention import InputCellAttention


def step_by_step(attention, inputs):
    """The definition: at step t a softmax over the t inputs so far, one row after another."""
    first, _, second = attention.score
    summaries = []
    for sequence in inputs:
        for t in range(1, len(sequence) + 1):
            past = sequence[:t]  # (t, D)
            scores = second.weight @ torch.tanh(first.weight @ past.T + first.bias[:, None]) + second.bias[:, None]
            summaries.append((scores.softmax(1) @ past).flatten())  # (rows * D,)
    return torch.stack(summaries).view(*inputs.shape[:2], -1)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("steps", [1, 2, 13])
def test_attention_equals_its_step_by_step_definition(steps, dtype, tolerance):
    torch.manual_seed(steps)
    attention = InputCellAttention(7, rows=4, hidden=5).to(dtype)
    inputs = torch.randn(3, steps, 7, dtype=dtype)
    result = attention(inputs)
    assert result.shape == (3, steps, 4 * 7) and result.dtype == dtype
    torch.testing.assert_close(result, step_by_step(attention, inputs), rtol=0, atol=tolerance)


def test_a_step_sees_the_past_and_not_the_future():
    torch.manual_seed(1)
    attention = InputCellAttention(5, rows=3, hidden=4)
    inputs = torch.randn(1, 6, 5)
    changed = inputs.clone()
    changed[:, 3] += 1
    before, after = attention(inputs), attention(changed)
    torch.testing.assert_close(before[:, :3], after[:, :3], rtol=0, atol=0)
    assert all((before[:, t] != after[:, t]).all() for t in range(3, 6))
    weights = attention.weights(inputs)  # (1, T, rows, T)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 6, 3))
    assert all((weights[:, t, :, t + 1:] == 0).all() for t in range(6))
