"""The faster convolutions equal PyTorch's own, in every window and in their gradients."""

import pytest
import torch
from torch import nn
from torchvision import models

from model.fast.convolution import Phases, Winograd
from model.fast.folding import fold_batch_norm
from model.fast.windowed import FastConvolution, LocalNetwork
from saliency.tsr.patches import box_masks, patch_boxes


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
    torch.testing.assert_close(Phases(convolution)(slopes, size), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_b0"])
def test_a_local_network_gives_the_same_numbers_and_gradients(name):
    """Boxes in the middle and at the borders; the picture is small enough for layers that are reached everywhere."""
    torch.manual_seed(0)
    plain = fold_batch_norm(models.get_model(name, weights=None).eval()).double().requires_grad_(False)
    twin = fold_batch_norm(models.get_model(name, weights=None).eval()).double().requires_grad_(False)
    twin.load_state_dict(plain.state_dict())
    local = LocalNetwork(twin)
    frame, fill = torch.randn(2, 3, 72, 64, dtype=torch.double)
    boxes = patch_boxes(72, 64, 10)[0][[0, 3, 17, 24, 48, 55]]
    frames = torch.where(box_masks(boxes, (72, 64)), fill, frame).requires_grad_(True)
    expected = plain(frames)
    slopes = torch.randn_like(expected)
    gradient = torch.autograd.grad(expected, frames, slopes)[0]
    local.learn(twin, frame, boxes)
    local.refer(twin, frame)
    with local.changed(torch.arange(6)):
        windows = [layer.windows for layer in local.layers]
        found = twin(frames)
    assert windows[0] is not None or name != "resnet18"
    assert all(layer.windows is None for layer in local.layers)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(torch.autograd.grad(found, frames, slopes)[0], gradient, atol=1e-9, rtol=1e-9)


def test_only_the_window_is_computed_and_the_rest_is_the_reference():
    layer = FastConvolution(nn.Conv2d(64, 2, 3, padding=1).requires_grad_(False))
    layer.reference = torch.full((1, 2, 9, 9), 7.0)
    layer.windows = ([0, 5], [6, 2], 4, 3)
    pictures = torch.randn(2, 64, 9, 9)
    found, everywhere = layer(pictures), layer.convolution(pictures)
    for i, (top, left) in enumerate([(0, 6), (5, 2)]):
        inside = torch.zeros(9, 9, dtype=torch.bool)
        inside[top:top + 4, left:left + 3] = True
        torch.testing.assert_close(found[i][:, inside], everywhere[i][:, inside], atol=1e-5, rtol=1e-5)
        assert (found[i][:, ~inside] == 7).all()


def test_the_boxes_reach_what_the_kernel_reaches():
    network = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
                            nn.Conv2d(8, 8, 3, padding=1)).requires_grad_(False)  # fmt: skip
    local = LocalNetwork(network)
    tops = torch.arange(0, 32, 4)
    boxes = torch.stack([tops, tops + 4, torch.zeros_like(tops), torch.full_like(tops, 32)], 1)
    local.learn(network, torch.randn(3, 32, 32), boxes)
    assert local.layers[0].reached[0].tolist()[2] == [3, 7]  # pixels 8..11 with 2 on either side, every second
    assert local.layers[1].reached[0].tolist()[2] == [0, 5]  # pooled: outputs 1..3, with one on either side
