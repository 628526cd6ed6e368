"""Image networks of torchvision: their vectors, and the weights that they start from."""

import pytest
import torch
from torch import nn
from torchvision import models

from model.backbones import build_backbone
from model.cnn_lstm import CNNLSTM

FAMILIES = {
    "resnet18": 512, "resnet34": 512, "resnet50": 2048, "mobilenet_v2": 1280, "efficientnet_b0": 1280,
    "densenet121": 1024, "vgg11": 4096, "convnext_tiny": 768, "shufflenet_v2_x0_5": 1024, "squeezenet1_0": 512,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_frame_becomes_a_vector(name):
    with torch.device("meta"):  # shapes and gradients without the arithmetic
        network, size = build_backbone(name)
        frames = torch.empty(2, 3, 64, 64, requires_grad=True)
        vectors = network(frames)
        assert vectors.shape == (2, size) and size == FAMILIES[name]
        gradient, = torch.autograd.grad(vectors.sum(), frames)
        assert gradient.shape == frames.shape


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown backbone 'resnet19'; known are: alexnet, .*resnet18.*vgg19"):
        build_backbone("resnet19")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of weight files of one squeezenet1_1, and its first convolution."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    whole = models.squeezenet1_1(weights=None)
    state = whole.state_dict()
    torch.save(state, folder / "whole.pth")
    torch.save({key: value for key, value in state.items() if "classifier" not in key}, folder / "headless.pth")
    torch.save({f"module.{key}": value for key, value in state.items()}, folder / "parallel.pth")
    model = CNNLSTM(2, "squeezenet1_1", str(folder / "whole.pth"))
    torch.save({"format": 1, "state_dict": model.state_dict(), "epoch": 3}, folder / "checkpoint.pth")
    torch.save({key: value for key, value in state.items() if key != "features.0.bias"}, folder / "incomplete.pth")
    torch.save([1, 2, 3], folder / "list.pth")
    torch.save({1: 2, "features.0.weight": 3}, folder / "numbers.pth")
    torch.save(whole, folder / "pickled.pth")
    (folder / "text.pth").write_text("not weights")
    return folder, whole.features[0].weight


@pytest.mark.parametrize("file", ["whole", "headless", "parallel", "checkpoint"])
def test_weights_load_with_and_without_classifier_prefix_and_checkpoint(saved, file):
    folder, weight = saved
    network, _ = build_backbone("squeezenet1_1", folder / f"{file}.pth")
    assert network.features[0].weight.equal(weight)
    assert isinstance(network.classifier[1], nn.Identity)


@pytest.mark.parametrize("file, sentence", [
    ("incomplete", r"does not fit this backbone: it lacks 1 weights of the network \(first: features.0.bias\)"),
    ("list", "does not fit this backbone: it lacks 50 weights"), ("numbers", "lacks 50 weights"),
    ("pickled", "is not a checkpoint that torch can load safely"), ("text", "is not a checkpoint that torch can load"),
])
def test_wrong_weights_are_refused_in_a_sentence(saved, file, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        build_backbone("squeezenet1_1", saved[0] / f"{file}.pth")
    assert str(saved[0] / file) in str(caught.value) and "\n" not in str(caught.value)


def test_weights_of_another_backbone_and_a_missing_file_are_refused(saved):
    with pytest.raises(ValueError, match=r"of another shape .*; check --backbone"):
        build_backbone("squeezenet1_0", saved[0] / "whole.pth")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*'imagenet', 'none' or an existing path"):
        build_backbone("squeezenet1_1", saved[0] / "absent.pth")
