"""Convolutions in windows equal those of whole pictures, and so do their gradients."""

import pytest
import torch
from torch import nn
from torchvision import models

from model.fast.folding import fold_batch_norm
from model.fast.windowed import WindowedNetwork
from saliency.patches import box_masks, patch_boxes


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_b0"])
def test_a_local_network_gives_the_same_numbers_and_gradients(name):
    """Boxes in the middle and at the borders; the picture is small enough for layers that are reached everywhere."""
    torch.manual_seed(0)
    plain = fold_batch_norm(models.get_model(name, weights=None).eval()).double().requires_grad_(False)
    twin = fold_batch_norm(models.get_model(name, weights=None).eval()).double().requires_grad_(False)
    twin.load_state_dict(plain.state_dict())
    windowed = WindowedNetwork(twin)
    frame, fill = torch.randn(2, 3, 72, 64, dtype=torch.double)
    boxes = patch_boxes(72, 64, 10)[0][[0, 3, 17, 24, 48, 55]]
    frames = torch.where(box_masks(boxes, (72, 64)), fill, frame).requires_grad_(True)
    expected = plain(frames)
    slopes = torch.randn_like(expected)
    gradient = torch.autograd.grad(expected, frames, slopes)[0]
    windowed.find_reach(twin, frame, boxes)
    windowed.set_reference(twin, frame)
    with windowed.only_windows(torch.arange(6)):
        windows = [layer.windows for layer in windowed.layers]
        found = twin(frames)
    assert windows[0] is not None or name != "resnet18"
    assert all(layer.windows is None for layer in windowed.layers)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(torch.autograd.grad(found, frames, slopes)[0], gradient, atol=1e-9, rtol=1e-9)


def test_the_boxes_reach_what_the_kernel_reaches():
    network = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
                            nn.Conv2d(8, 8, 3, padding=1)).requires_grad_(False)  # fmt: skip
    windowed = WindowedNetwork(network)
    tops = torch.arange(0, 32, 4)
    boxes = torch.stack([tops, tops + 4, torch.zeros_like(tops), torch.full_like(tops, 32)], 1)
    windowed.find_reach(network, torch.randn(3, 32, 32), boxes)
    assert windowed.layers[0].reached[0].tolist()[2] == [3, 7]  # pixels 8..11 with 2 on either side, every second
    assert windowed.layers[1].reached[0].tolist()[2] == [0, 5]  # pooled: outputs 1..3, with one on either side


class Twice(nn.Module):
    """A convolution that runs once, one that runs twice on each frame, and one that runs never."""

    def __init__(self):
        super().__init__()
        self.once, self.twice, self.never = (nn.Conv2d(inputs, 8, 3, padding=1) for inputs in (8, 8, 8))
        self.first = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, frames):
        return self.twice(self.twice(self.once(self.first(frames)).relu()).relu())


class Hiding(nn.Module):
    """A network that replaces NaN by 0, so that it hides which outputs a box reaches."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, frames):
        return self.second(self.first(frames).nan_to_num())


@pytest.mark.parametrize("build", [Twice, Hiding])
def test_networks_that_do_not_suit_windows_give_the_same_numbers(build):
    torch.manual_seed(0)
    plain, twin = build().double().requires_grad_(False), build().double().requires_grad_(False)
    twin.load_state_dict(plain.state_dict())
    windowed, frame = WindowedNetwork(twin), torch.randn(3, 32, 32, dtype=torch.double)
    assert twin.first.weight.equal(plain.first.weight)
    boxes = patch_boxes(32, 32, 8)[0]
    windowed.find_reach(twin, frame, boxes)
    windowed.check_reach(twin, frame, boxes)
    windowed.set_reference(twin, frame)
    frames = torch.where(box_masks(boxes, (32, 32)), 2.0, frame)
    with windowed.only_windows(torch.arange(len(boxes))):
        assert any(layer.windows for layer in windowed.layers) == (build is Twice)
        torch.testing.assert_close(twin(frames), plain(frames))
