"""Models of whole clips: methods against captum on torchvision's r2plus1d_18, and what needs an encoder."""

import pytest
import torch
from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients, LayerAttribution, LayerGradCam, Saliency
from torch import nn
from torchvision.models import video

from model.adapters import ClipModel
from saliency.deletion import deletion_metrics
from saliency.explain import explain
from saliency.fills import background
from saliency.methods import FEATURE_METHODS, METHODS, attribute
from saliency.patches import patch_boxes
from saliency.tsr import temporal_saliency_rescaling
from saliency.when import decide
from tests.toys import score_of

FRAMES, SIDE = 4, 32


@pytest.fixture(scope="module")
def network():
    """An r2plus1d_18 with random weights as a ClipModel, and a clip."""
    torch.manual_seed(0)
    model = ClipModel(video.r2plus1d_18(weights=None, num_classes=3), "BCTHW").eval()
    return model, torch.randn(FRAMES, 3, SIDE, SIDE)


def close(found, expected):
    """Compare maps up to rounding in float32."""
    torch.testing.assert_close(found, expected.detach(), rtol=1e-3, atol=1e-4 * float(expected.detach().abs().max()))


def test_gradients_equal_captum(network):
    model, clip = network
    inputs = clip[None].clone().requires_grad_(True)
    close(attribute(METHODS["gradient"], model, clip, 1).map, Saliency(model).attribute(inputs, target=1)[0].amax(1))
    expected = InputXGradient(model).attribute(inputs, target=1)[0]
    found = attribute(METHODS["gradient_x_input"], model, clip, 1)
    close(found.map, expected.abs().amax(1))
    close(found.evidence, expected.sum(1))


def test_integrated_gradients_equal_captum(network):
    model, clip = network
    baseline = background(clip).expand_as(clip)[None]
    expected = IntegratedGradients(model).attribute(clip[None], baseline, target=1, n_steps=3, method="riemann_middle",
                                                    internal_batch_size=1)[0]  # fmt: skip
    close(attribute(METHODS["integrated_gradients"], model, clip, 1, points=3).evidence, expected.sum(1))


@pytest.mark.parametrize("layer", [None, "network.layer2"])
def test_grad_cam_equals_captum(network, layer):
    model, clip = network
    cam = LayerGradCam(model, model.get_submodule(layer or "network.layer4")).attribute(clip[None], target=1)
    expected = LayerAttribution.interpolate(cam, (FRAMES, SIDE, SIDE), "trilinear")[0, 0]
    found = attribute(METHODS["grad_cam"], model, clip, 1, layer=layer)
    close(found.evidence, expected)
    assert found.map.shape == clip[:, 0].shape


def test_occlusion_equals_captum(network):
    model, clip = network
    baseline = background(clip).expand_as(clip)[None]
    frames = torch.arange(FRAMES)[None, :, None, None, None].expand_as(clip[None])
    expected = FeatureAblation(model).attribute(clip[None], baseline, target=1, feature_mask=frames)[0, :, 0]
    close(attribute(METHODS["occlusion_frame"], model, clip, 1).evidence, expected)
    boxes, blocks = patch_boxes(SIDE, SIDE, 20)[0], torch.zeros(1, FRAMES, 1, SIDE, SIDE, dtype=torch.long)
    for number, (top, bottom, left, right) in enumerate(boxes.tolist()):
        for part, first in enumerate((0, 3)):
            blocks[:, first:first + 3, :, top:bottom, left:right] = 2 * number + part
    mask = blocks.expand_as(clip[None])
    expected = FeatureAblation(model).attribute(clip[None], baseline, target=1, feature_mask=mask)[0, :, 0]
    close(attribute(METHODS["occlusion_block"], model, clip, 1, frames=3, pixels=20).evidence, expected)


def test_freeze_and_deletion_run_the_whole_model(network):
    model, clip = network
    still = clip.clone()
    still[2] = clip[1]
    drop = score_of(model, clip, 1) - score_of(model, still, 1)
    found = attribute(METHODS["freeze"], model, clip, 1, frames=1).evidence
    assert found[2, 0, 0].item() == pytest.approx(drop, rel=1e-3, abs=1e-5)
    rows = deletion_metrics(model, clip, 1, {"any": torch.rand(FRAMES, SIDE, SIDE)}, patch=16, draws=8)
    assert 0 < rows["any"]["deletion_frame_auc"] < 1


@pytest.mark.filterwarnings("ignore:ClipModel has no encode and classify")
def test_tsr_is_literal(network):
    model, clip = network
    found = temporal_saliency_rescaling(model, clip, 1, step="time")
    relevance = Saliency(model).attribute(clip[None].clone().requires_grad_(True), target=1)[0]
    for t in range(FRAMES):
        masked = clip.clone()
        masked[t] = background(clip)
        changed = Saliency(model).attribute(masked[None].requires_grad_(True), target=1)[0]
        assert found.time_delta[t].item() == pytest.approx((changed - relevance).abs().sum().item(), rel=1e-2)


@pytest.mark.parametrize("method", [pytest.param(method, id=method.line) for registry in (METHODS, FEATURE_METHODS)
                                    for method in registry.values() if method.needs_encode])
def test_what_needs_an_encoder_names_what_does_not(network, method):
    model, clip = network
    with pytest.raises(ValueError, match=r"ClipModel has no encode and classify, .* that explain such a model: "
                                         r"gradient, gradient_x_input, smoothgrad,"):
        attribute(method, model, clip, 1)


def test_explain_refuses_before_it_computes(network):
    model, clip = network
    model.calls = 0
    hook = model.register_forward_pre_hook(lambda module, inputs: setattr(module, "calls", module.calls + 1))
    with pytest.raises(ValueError, match="ClipModel has no encode and classify"):
        explain(model, clip, 1, ["gradient", "shapley_frame"])
    with pytest.raises(ValueError, match="unknown method 'guesswork'; known are: gradient, "):
        explain(model, clip, 1, ["gradient", "guesswork"])
    hook.remove()
    assert model.calls == 0
    with pytest.raises(ValueError, match="ClipModel has no encode and classify, so the frames that decide cannot be"):
        decide(model, clip, 1)


@pytest.mark.parametrize("build", [video.mc3_18, video.s3d, video.swin3d_t])
def test_other_3d_networks(build):
    """Their gradients and Grad-CAM, whose channels lie in the last dimension of a video transformer."""
    torch.manual_seed(0)
    model = ClipModel(build(weights=None, num_classes=2), "BCTHW").eval()
    if build is video.s3d:
        model.network.avgpool = nn.AvgPool3d(2, 1)  # its own has the size of 224 x 224 pixels
    found = explain(model, torch.randn(14, 3, 64, 64), 0, ["gradient", "grad_cam"])
    assert found.maps["gradient"].max() > 0
    evidence = found.evidence["grad_cam"]
    assert evidence.shape == (14, 64, 64) and (evidence.std((1, 2)) > 0).all()


def test_grad_cam_of_a_video_transformer_weights_its_channels():
    """The classifier is linear in the mean of the last map, so the sum of the evidence is its part of the score."""
    torch.manual_seed(0)
    network = video.swin3d_t(weights=None, num_classes=2).double().eval()
    clip = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    found = attribute(METHODS["grad_cam"], ClipModel(network, "BCTHW"), clip, 1).evidence
    with torch.no_grad():
        maps = network.norm(network.features(network.pos_drop(network.patch_embed(clip.transpose(0, 1)[None]))))
        weighted = maps[0] @ network.head.weight[1] / maps[0, ..., 0].numel()  # (t, h, w)
    expected = nn.functional.interpolate(weighted[None, None], clip[:, 0].shape, mode="trilinear")[0, 0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("layer", "found"), [
    ("network.fc", r"the output of module 'network\.fc' \(a tensor of shape \(1, 3\)\) is not"), (None, "no module of"),
])
def test_grad_cam_of_a_network_without_a_map(network, layer, found):
    model = network[0] if layer else ClipModel(nn.Sequential(nn.Flatten(), nn.Linear(FRAMES * 3 * SIDE * SIDE, 3)))
    with pytest.raises(ValueError, match=rf"{found} .*feature map \(T, channels, h, w\) or \(1, channels, t, h, w\)"):
        attribute(METHODS["grad_cam"], model, network[1], 1, layer=layer)
