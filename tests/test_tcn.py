"""model/heads/tcn.py: what a state reads, and the arithmetic against PyTorch's padded convolution."""

import pytest
import torch
from torch.nn.functional import conv1d

from model.heads.tcn import CausalConvolution, TCNHead


@pytest.mark.parametrize(("layers", "reach"), [(1, 5), (2, 13), (3, 29)])
def test_the_last_state_depends_on_as_many_frames_as_stated(layers, reach):
    torch.manual_seed(layers)
    head = TCNHead(3, 16, layers).double().eval()
    features = torch.randn(1, 40, 3, dtype=torch.float64, requires_grad=True)
    gradient, = torch.autograd.grad(head(features).sum(), features)
    read = gradient[0].abs().sum(1) > 0  # (T,)
    assert read.tolist() == [False] * (40 - reach) + [True] * reach


@pytest.mark.parametrize("dilation", [1, 2, 5, 64])
def test_a_causal_convolution_equals_one_with_zeros_before(dilation):
    torch.manual_seed(0)
    layer, states = CausalConvolution(3, 4, dilation), torch.randn(2, 3, 5)
    before = torch.cat([torch.zeros(2, 3, 2 * dilation), states], 2)
    torch.testing.assert_close(layer(states), conv1d(before, layer.weight, layer.bias, dilation=dilation))


def test_a_block_by_hand():
    torch.manual_seed(0)
    head, features = TCNHead(3, 4, 1).eval(), torch.randn(2, 6, 3)
    (block,), states = head.blocks, features.transpose(1, 2)
    first, second = block.convolutions
    expected = (second(first(states).relu()).relu() + block.residual(states)).relu()[..., -1]
    torch.testing.assert_close(head(features), expected)
    wide = TCNHead(4, 4, 1)
    assert isinstance(wide.blocks[0].residual, torch.nn.Identity)
