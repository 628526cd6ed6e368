"""Attribution methods: what is true of all of them, and identities on a linear model."""

import pytest
import torch

from model.cnn_lstm import CNNLSTM
from saliency.fills import background
from saliency.gradient import feature_gradient
from saliency.methods import FEATURE_METHODS, METHODS, attribute
from tests.toys import LENGTH, SIDE, score_of


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_a_map_and_leaves_the_model_alone(case, name):
    model, clip = case
    before, kept = {key: value.clone() for key, value in model.state_dict().items()}, clip.clone()
    options = {"tsr": {"patch": 20}, "integrated_gradients": {"points": 2}}.get(name, {})
    options = {"samples": 2} if "smoothgrad" in name else options
    model.train()
    maps = [attribute(METHODS[name], model, clip, target, "probability", **options).map for target in (0, 1)]
    assert model.training
    model.eval()
    assert maps[0].shape == maps[1].shape == (LENGTH, SIDE, SIDE)
    assert torch.stack(maps).min() >= 0
    assert torch.stack(maps).max() > 0  # a drop, or the positive part, may be 0 for one of two classes
    assert not maps[0].requires_grad
    assert torch.equal(clip, kept)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_evidence_of_a_linear_model_adds_up_to_what_the_score_gains(linear):
    """And where a method has a sign, its map is the evidence without the sign."""
    model, clip = linear
    gained = score_of(model, clip, 1) - score_of(model, background(clip).expand_as(clip), 1)
    for name in ("smoothgrad_x_difference", "integrated_gradients"):
        evidence = attribute(METHODS[name], model, clip, 1).evidence
        assert evidence.sum().item() == pytest.approx(gained) and evidence.min() < 0 < evidence.max()
    evidence = attribute(METHODS["gradient_x_input"], model, clip, 1).evidence
    assert evidence.sum().item() == pytest.approx(score_of(model, clip, 1))
    by_frame = attribute(METHODS["occlusion_frame"], model, clip, 1)
    assert by_frame.evidence[:, 0, 0].sum().item() == pytest.approx(gained)
    by_block = attribute(METHODS["occlusion_block"], model, clip, 1, frames=1, pixels=1)
    assert by_block.evidence.sum().item() == pytest.approx(gained)
    for attribution in (by_frame, by_block):
        assert attribution.map.equal(attribution.evidence.clamp_min(0))
    unsigned = [name for name in METHODS if name not in ("grad_cam", "tsr")  # which are not for linear models
                and attribute(METHODS[name], model, clip, 1).evidence is None]
    assert unsigned == ["gradient", "smoothgrad"]


def test_feature_methods_of_a_linear_model(linear):
    """dS/df = w, f dS/df = f w, and replacing f by its median takes (f - median) w from the score."""
    model, clip = linear
    weights, features = model.w[0].detach(), clip.flatten(1)
    by_name = {name: attribute(method, model, clip, 0, "logit").map for name, method in FEATURE_METHODS.items()
               if name != "tsr" and not method.ruled}  # no map of TSR changes, and the model has no head of ours
    torch.testing.assert_close(by_name["gradient"], weights)
    torch.testing.assert_close(by_name["gradient_x_input"], weights * features)
    torch.testing.assert_close(by_name["smoothgrad"], weights)
    difference = weights * (features - features.median(0).values)
    torch.testing.assert_close(by_name["occlusion"], difference)
    torch.testing.assert_close(by_name["integrated_gradients"], difference)
    assert by_name["gradient"].equal(feature_gradient(model, clip, 0))


@pytest.mark.parametrize("name", FEATURE_METHODS)
def test_feature_methods_leave_the_model_alone(name):
    torch.manual_seed(0)
    model, clip = CNNLSTM(2, "resnet18", hidden_size=4, feature_size=6, dropout=0.5).train(), torch.randn(3, 3, 32, 32)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = [attribute(FEATURE_METHODS[name], model, clip, 1).map for _ in range(2)]
    assert found[0].shape == (3, 6) and found[0].any() and torch.equal(*found)  # no dropout
    assert model.training and all(weight.requires_grad for weight in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
