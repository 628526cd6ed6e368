"""CBAM against its equations, and where it is put."""

import pytest
import torch
from torch import nn

from model.backbones import build_backbone
from model.cbam import CBAM, add_cbam, spatial_attention
from model.cnn_lstm import CNNLSTM, build_model
from model.fast.folding import folded


def at_random(module):
    for weight in module.parameters():
        nn.init.normal_(weight)
    return module


def test_cbam_scales_channels_then_places():
    torch.manual_seed(0)
    cbam, maps = at_random(CBAM(32)).eval(), torch.randn(2, 32, 5, 6)
    first, _, second = cbam.channel

    def mlp(vector):
        return second(first(vector).relu())

    gates = (mlp(maps.flatten(2).mean(2)) + mlp(maps.flatten(2).amax(2))).sigmoid()
    refined = maps * gates[:, :, None, None]
    pooled = torch.stack([refined.amax(1), refined.mean(1)], 1)
    expected = refined * cbam.spatial[1](cbam.spatial[0](pooled)).sigmoid()
    torch.testing.assert_close(cbam(maps), expected)
    assert first.out_features == 2 and cbam.spatial[0].kernel_size == (7, 7)


def test_new_gates_are_open_and_closed_ones_leave_the_shortcut():
    torch.manual_seed(0)
    block = add_cbam(build_backbone("resnet18")[0]).eval().layer1[0]
    maps = torch.rand(1, 64, 8, 8)
    torch.testing.assert_close(block.cbam(maps), maps * 0.9526 ** 2, rtol=1e-3, atol=0)
    with torch.no_grad():
        block.cbam.spatial[1].bias.fill_(-100)
    torch.testing.assert_close(block(maps), maps)


def test_weights_of_a_plain_resnet_and_of_one_with_cbam_load(tmp_path):
    torch.manual_seed(0)
    plain = CNNLSTM(2, "resnet18")
    torch.save(plain.backbone.state_dict(), tmp_path / "plain.pth")
    model = build_model("cnnlstm_cbam", 2, "resnet18", str(tmp_path / "plain.pth"))
    assert model.backbone.layer4[1].conv2.weight.equal(plain.backbone.layer4[1].conv2.weight)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "attended.pth")
    again = build_model("cnnlstm_cbam", 2, "resnet18", str(tmp_path / "attended.pth"))
    assert again.backbone.layer1[0].cbam.channel[0].weight.equal(model.backbone.layer1[0].cbam.channel[0].weight)


def test_another_network_is_refused():
    with pytest.raises(ValueError, match="this backbone is a MobileNetV2; choose --backbone resnet18"):
        build_model("cnnlstm_cbam", 2, "mobilenet_v2")


def test_spatial_attention_is_the_last_block_s_and_leaves_nothing():
    torch.manual_seed(0)
    model = build_model("cnnlstm_cbam", 2, "resnet18", feature_size=6, hidden_size=5, classifier_size=4).train()
    model.backbone.layer1.eval()
    at_random(model.backbone.layer4[1].cbam)
    clip = torch.randn(3, 3, 64, 96)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    picture = spatial_attention(model, clip)
    assert picture.shape == (3, 2, 3) and picture.min() > 0 and picture.max() < 1 and picture.std() > 0
    assert model.training and model.backbone.layer2.training and not model.backbone.layer1.training
    assert all(value.equal(state[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    torch.testing.assert_close(spatial_attention(folded(model), clip), picture, rtol=0, atol=1e-4)
    model.eval()
    with torch.no_grad():
        model.backbone.layer4[1].cbam.spatial[1].bias.fill_(0)
        model.backbone.layer4[1].cbam.spatial[1].weight.fill_(0)
    assert spatial_attention(model, clip).unique().tolist() == [0.5]
