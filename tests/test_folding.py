"""Folding of batch norms: the same network, up to rounding."""

import pytest
import torch
from torch import fx, nn

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
    assert isinstance(twin.backbone, fx.GraphModule) and norms(model) > 0 and norms(twin) == 0
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


def test_a_network_that_cannot_be_traced_is_used_as_it_is():
    class Branching(nn.Module):
        def forward(self, frames):
            return frames if frames.sum() > 0 else -frames

    network = Branching()
    assert fold_batch_norm(network) is network
