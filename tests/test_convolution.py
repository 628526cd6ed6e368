"""The faster convolutions equal PyTorch's own."""

import pytest
import torch
from torch import nn

from model.fast.convolution import StridedGradient, Winograd


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (7, 9), (1, 13)])
def test_winograd_equals_the_convolution(size):
    convolution = nn.Conv2d(5, 6, 3, padding=1, bias=False).double().requires_grad_(False)
    pictures = torch.randn(2, 5, *size, dtype=torch.double)
    torch.testing.assert_close(Winograd(convolution.weight)(pictures), convolution(pictures), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(7, 2, 3), (3, 2, 1), (3, 2, 0), (4, 4, 0), (11, 4, 2), (5, 3, 2)]
)
@pytest.mark.parametrize("size", [(32, 32), (33, 30)])
def test_phases_equal_the_gradient_of_a_convolution_with_stride(kernel, stride, padding, size):
    convolution = nn.Conv2d(3, 4, kernel, stride, padding).double().requires_grad_(False)
    pictures = torch.randn(2, 3, *size, dtype=torch.double, requires_grad=True)
    outputs = convolution(pictures)
    slopes = torch.randn_like(outputs)
    expected = torch.autograd.grad(outputs, pictures, slopes)[0]
    torch.testing.assert_close(StridedGradient(convolution)(slopes, size), expected, atol=1e-12, rtol=0)
