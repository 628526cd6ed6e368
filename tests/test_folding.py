"""Folding of batch norms: the same network, up to rounding."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from model.cnn_lstm import build_model
from model.fast.folding import fold_batch_norm, folded
from tests.toys import unsettled


def norms(model):
    """Return how many batch norms a model has."""
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("kind, backbone", [
    ("cnnlstm", "resnet18"), ("cnnlstm", "mobilenet_v2"), ("cnnlstm", "efficientnet_b0"), ("cnnlstm_cbam", "resnet18"),
])
def test_folded_equals_plain_and_leaves_the_model_alone(kind, backbone):
    torch.manual_seed(0)
    model = unsettled(build_model(kind, 2, backbone, feature_size=20, hidden_size=8, classifier_size=4)).train()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    twin = folded(model)
    assert model.training and all(value.equal(state[key]) for key, value in model.state_dict().items())
    assert all(weight.requires_grad for weight in model.parameters())
    assert type(twin.backbone) is type(model.backbone) and norms(model) > 0 and norms(twin) == 0
    clips = torch.randn(1, 2, 3, 64, 64)
    with torch.no_grad():
        expected, features = model.eval().encode(clips), twin.encode(clips)
    assert (features - expected).norm() <= 1e-4 * expected.norm()


class Shared(nn.Module):
    """A convolution and a batch norm that run twice, and a batch norm with two names."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.last, self.named = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.parts = nn.ModuleList([self.named])

    def forward(self, frames):
        for _ in range(2):
            frames = self.norm(self.convolution(frames)).relu()
        return self.parts[0](self.last(frames))


def weighted():
    """Return a convolution whose weight is computed from others, and a batch norm."""
    return nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4))


def hooked():
    """Return a convolution whose output a hook changes, and a batch norm."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network[0].register_forward_hook(lambda module, inputs, output: output.abs())
    return network


def without_statistics():
    """Return a convolution, and a batch norm that uses the statistics of the batch."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))


def alone():
    """Return a batch norm that follows no convolution, and one that does."""
    return nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


class Twice(nn.Module):
    """A convolution whose result is used twice."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, frames):
        maps = self.convolution(frames)
        return maps + self.norm(maps)


@pytest.mark.parametrize("build", [Shared, weighted, hooked, without_statistics, alone, Twice])
def test_layers_that_cannot_be_folded_stay(build):
    torch.manual_seed(0)
    network, frames = build().eval(), torch.randn(2, 3, 8, 8)
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 2)
        if norm.running_var is not None:
            nn.init.uniform_(norm.running_var, 0.5, 2)
    with torch.no_grad():
        expected = network(frames)
        torch.testing.assert_close(fold_batch_norm(network)(frames), expected)
    assert norms(network) == 1


def test_a_network_that_cannot_be_traced_is_used_as_it_is():
    class Branching(nn.Module):
        def forward(self, frames):
            return frames if frames.sum() > 0 else -frames

    class Raising(nn.Module):
        def forward(self, frames):
            raise KeyError(frames.shape)

    for network in (Branching(), Raising()):
        assert fold_batch_norm(network) is network


def test_a_model_of_whole_clips_is_returned_itself():
    whole = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert folded(whole) is whole
