"""Folding of batch norms: the same network, up to rounding."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from model.cnn_lstm import build_model
from model.fast.folding import fold_batch_norm, folded
from tests.toys import MeanOfBackbone, unsettled


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


def test_a_batch_norm_that_follows_no_convolution_stays():
    network = unsettled(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    frames = torch.randn(2, 3, 8, 8)
    expected = network(frames)
    network = fold_batch_norm(network)
    assert norms(network) == 1
    torch.testing.assert_close(network(frames), expected)


def test_a_convolution_whose_result_is_used_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, frames):
            maps = self.convolution(frames)
            return maps + self.norm(maps)

    network = unsettled(Twice())
    frames = torch.randn(2, 3, 8, 8)
    expected = network(frames)
    torch.testing.assert_close(fold_batch_norm(network)(frames), expected)


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


@pytest.mark.parametrize(("build", "left"), [(Shared, 1), (weighted, 1), (hooked, 1), (without_statistics, 1)])
def test_layers_that_cannot_be_folded_stay(build, left):
    torch.manual_seed(0)
    network, frames = build().eval(), torch.randn(2, 3, 8, 8)
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 2)
        if norm.running_var is not None:
            nn.init.uniform_(norm.running_var, 0.5, 2)
    with torch.no_grad():
        expected = network(frames)
        torch.testing.assert_close(fold_batch_norm(network)(frames), expected)
    assert norms(network) == left


def test_a_network_that_cannot_be_traced_is_used_as_it_is():
    class Branching(nn.Module):
        def forward(self, frames):
            return frames if frames.sum() > 0 else -frames

    class Raising(nn.Module):
        def forward(self, frames):
            raise KeyError(frames.shape)

    for network in (Branching(), Raising()):
        assert fold_batch_norm(network) is network


def test_methods_of_a_backbone_other_than_forward_still_work():
    class Backbone(nn.Sequential):
        def features(self, frames):
            return self[1](self[0](frames)).mean((2, 3)).to(self[0].weight.dtype)

    torch.manual_seed(0)
    model = MeanOfBackbone()
    model.backbone, model.classifier = Backbone(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), nn.Linear(8, 2)
    model.encode = lambda clips: model.backbone.features(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
    model = unsettled(model)
    frames = torch.randn(2, 3, 12, 12)
    with torch.no_grad():
        expected = model.backbone.features(frames)
        torch.testing.assert_close(folded(model).backbone.features(frames), expected)
    assert norms(folded(model)) == 0


def test_a_model_of_whole_clips_is_returned_itself():
    whole = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert folded(whole) is whole
