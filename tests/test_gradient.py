"""Gradients of the score against weights, finite differences and captum's; the model stays as it was."""

import copy

import pytest
import torch
from captum.attr import Saliency

from saliency.gradient import drawn_map, feature_gradient, frame_gradient
from saliency.scores import target_score
from tests.toys import Linear, cnn_lstm

SHAPE = (4, 3, 32, 32)


def test_gradient_of_a_linear_model_is_its_weights():
    model, clip = Linear(), torch.randn(3, 3, 5, 5, dtype=torch.float64)
    for target in (0, 1):
        weights = model.w[target].detach()  # (T, C*H*W)
        assert torch.equal(frame_gradient(model, clip, target), weights.view(clip.shape))
        assert torch.equal(feature_gradient(model, clip, target), weights)
    assert torch.equal(drawn_map(weights.view(clip.shape)), weights.abs().view(3, 3, 5, 5).max(1).values)


def test_gradient_of_the_probability_worked_out_by_hand():
    """p = softmax(scores): dp_k/dx = p_k (w_k - sum over j of p_j w_j)."""
    model, clip = Linear(classes=3), torch.randn(3, 3, 5, 5, dtype=torch.float64) / 10
    p = model(clip[None])[0].softmax(0).detach()
    expected = p[1] * (model.w[1] - torch.einsum("k,ktd->td", p, model.w)).detach()
    torch.testing.assert_close(frame_gradient(model, clip, 1, "probability"), expected.view(clip.shape))
    torch.testing.assert_close(feature_gradient(model, clip, 1, "probability"), expected)


@pytest.mark.parametrize("target", [0, 1])
def test_equals_captum(target):
    model, clip = cnn_lstm()
    expected = Saliency(model).attribute(clip[None].requires_grad_(True), target=target, abs=False)[0]
    found = frame_gradient(model, clip, target)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    magnitude = Saliency(model).attribute(clip[None].requires_grad_(True), target=target)[0]
    assert (drawn_map(found) - magnitude.amax(1)).abs().max() <= 1e-5 * magnitude.max()


@pytest.mark.parametrize("score", ["logit", "probability"])
def test_equals_finite_differences(score):
    model, clip = cnn_lstm(torch.float64)
    gradient, direction = frame_gradient(model, clip, 1, score), torch.randn(SHAPE, dtype=torch.float64)

    def value(step):
        return target_score(model((clip + step * direction)[None]), 1, score).item()

    with torch.no_grad():
        slope = (value(1e-6) - value(-1e-6)) / 2e-6
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-5)


def test_feature_gradient_is_the_one_of_the_head():
    """And, taken back through the encoder, the one of the frames."""
    model, clip = cnn_lstm(torch.float64)
    frames = clip[None].clone().requires_grad_(True)
    features = model.encode(frames)
    (by_autograd,) = torch.autograd.grad(model.classify(features)[0, 1], features, retain_graph=True)
    with torch.no_grad():  # which the gradient does not heed
        found = feature_gradient(model, clip, 1)
    assert found.shape == (4, 24)
    torch.testing.assert_close(found, by_autograd[0])
    (chained,) = torch.autograd.grad(features, frames, found[None])
    torch.testing.assert_close(chained[0], frame_gradient(model, clip, 1))


@pytest.mark.parametrize("attribute", [frame_gradient, feature_gradient])
def test_the_model_stays_as_it_was(attribute):
    """Modes, wishes for gradients, gradients, buffers, parameters, hooks; also where the call fails."""
    model, clip = cnn_lstm(dropout=0.5)
    model.train()
    model.backbone.layer1.eval()
    model.backbone.conv1.requires_grad_(False)
    model.projection.weight.grad = torch.ones_like(model.projection.weight)
    before = copy.deepcopy(model)
    attribute(model, clip, 1)
    with pytest.raises(ValueError, match="class 7 was given as the target, but the model has 2 classes"):
        attribute(model, clip, 7)
    for (name, module), old in zip(model.named_modules(), before.modules(), strict=True):
        assert module.training == old.training, name
        assert len(module._forward_hooks) == 0
    for (name, parameter), old in zip(model.named_parameters(), before.parameters(), strict=True):
        assert parameter.requires_grad == old.requires_grad, name
        assert torch.equal(parameter, old)
        assert (parameter.grad is not None) == (name == "projection.weight")
    for (name, buffer), old in zip(model.named_buffers(), before.buffers(), strict=True):
        assert torch.equal(buffer, old), name
    assert torch.equal(model.projection.weight.grad, torch.ones_like(model.projection.weight))
    assert not clip.requires_grad


@pytest.mark.parametrize("gradient", [frame_gradient, feature_gradient])
def test_what_is_not_finite_is_named_where_it_arises(gradient):
    model, clip = cnn_lstm()
    with pytest.raises(ValueError, match="the input of the model holds values that are not finite"):
        gradient(model, clip * torch.nan, 0)
    with torch.no_grad():
        model.classifier[-1].bias.fill_(3e38)  # their sum, of which the scores are centred, is infinite
    with pytest.raises(ValueError, match="the score holds values that are not finite"):
        gradient(model, clip, 0)
