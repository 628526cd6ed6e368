"""Grad-CAM against captum's, and against what the global pooling sees."""

import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import nn

from model.cnn_lstm import CNNLSTM
from model.fast.folding import folded
from saliency.methods import METHODS, attribute
from tests.toys import SIDE


@pytest.mark.parametrize("layer", [None, "backbone.features.4.squeeze", "backbone.features.12.expand3x3"])
def test_grad_cam_equals_captum(case, layer):
    model, clip = case
    module = model.get_submodule(layer or "backbone.classifier.2")
    cam = LayerGradCam(model, module).attribute(clip[None], target=1, relu_attributions=True)  # (T, 1, h, w)
    expected = LayerAttribution.interpolate(cam, (SIDE, SIDE), "bilinear")[:, 0]
    found = attribute(METHODS["grad_cam"], model, clip, 1, layer=layer).map
    torch.testing.assert_close(found, expected.detach())
    assert not module._forward_hooks


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2", "densenet121"])
def test_grad_cam_sees_what_the_global_pooling_sees(backbone):
    """A plain and a folded model have the same map, that of the features whose mean the rest reads."""
    torch.manual_seed(0)
    model = CNNLSTM(2, backbone, hidden_size=4, feature_size=6).eval()
    for norm in (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    clip = torch.randn(3, 3, 64, 64)
    found = attribute(METHODS["grad_cam"], model, clip, 1).map
    assert found.max() > 0
    torch.testing.assert_close(attribute(METHODS["grad_cam"], folded(model), clip, 1).map, found, rtol=1e-3, atol=1e-6)
    pooled = {}
    model.projection.register_forward_hook(lambda module, inputs, output: pooled.update(vector=inputs[0]))
    scores = model(clip[None])[0]
    slopes = torch.autograd.grad(scores[1], pooled["vector"])[0][0]  # (T, K)
    maps = {"resnet18": lambda: model.backbone.layer4, "mobilenet_v2": lambda: model.backbone.features,
            "densenet121": lambda: nn.Sequential(model.backbone.features, nn.ReLU())}[backbone]()  # fmt: skip
    stem = clip if backbone != "resnet18" else nn.Sequential(*list(model.backbone.children())[:7])(clip)
    weighted = torch.einsum("tk,tkhw->thw", slopes, maps(stem)).relu()[:, None] / 4  # the mean over 2 x 2 places
    expected = nn.functional.interpolate(weighted, (64, 64), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, expected.detach(), rtol=1e-3, atol=1e-6)


def test_grad_cam_names_layers_that_cannot_serve(case):
    model, clip = case
    with pytest.raises(ValueError, match=r"the model has no module 'backbone\.layer9'"):
        attribute(METHODS["grad_cam"], model, clip, 1, layer="backbone.layer9")
    with pytest.raises(ValueError, match="needs a convolution"):
        attribute(METHODS["grad_cam"], model, clip, 1, layer="projection")
