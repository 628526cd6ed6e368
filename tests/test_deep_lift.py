"""DeepLIFT through the head: against captum's, and where its slopes become those of other methods."""

import pytest
import torch
from captum.attr import DeepLift
from torch import nn

from saliency.fills import background
from saliency.methods import FEATURE_METHODS, attribute
from saliency.methods.deep_lift import deep_lift_of_sequences
from saliency.propagation import DifferenceRules, Pair, class_scores_by
from tests.toys import with_head


class Head(nn.Module):
    """The part of a model after the features, as a module for captum."""

    def __init__(self, model):
        super().__init__()
        self.head, self.classifier = model.head, model.classifier

    def forward(self, features):
        return self.classifier(self.head(features))


@pytest.mark.parametrize("layers", [1, 2])
def test_a_head_of_linear_layers_and_relus_equals_captum(layers):
    model, clip = with_head("mean", num_layers=layers)
    with torch.no_grad():
        features = model.encode(clip[None])
    reference = background(features[0]).expand_as(features)
    expected = DeepLift(Head(model)).attribute(features, reference, target=1)[0].detach()
    found = attribute(FEATURE_METHODS["deep_lift"], model, clip, 1).map
    torch.testing.assert_close(found, expected)
    assert found.abs().max() > 1e-6


@pytest.mark.parametrize("head", ["lstm", "change", "tcn"])
def test_near_the_reference_it_is_the_gradient_times_the_difference(head):
    model, clip = with_head(head)
    with torch.no_grad():
        features = model.encode(clip[None])[0]
    reference = features + 1e-5 * torch.randn_like(features)  # no unit crosses the kink of a ReLU
    variable = features.clone().requires_grad_(True)
    scores = class_scores_by(DifferenceRules(), model, Pair(variable[None], reference[None]))
    slopes = torch.autograd.grad(scores.value[0, 1], variable)[0]
    gradient = torch.autograd.grad(model.classify(variable[None])[0, 1], variable)[0]
    torch.testing.assert_close(slopes, gradient, rtol=0, atol=1e-3 * gradient.abs().max().item())


def test_the_reference_of_masked_sequences_is_that_of_the_clip():
    model, _ = with_head("lstm")
    features = torch.randn(6, 6, dtype=torch.float64)
    masked = features.clone()
    masked[2] = 9.0  # which moves the median of the sequence
    found = deep_lift_of_sequences(model, features, 1)(torch.stack([features, masked]))
    with torch.no_grad():
        scores = model.classify(torch.stack([features, masked, background(features).expand_as(features)]))[:, 1]
    torch.testing.assert_close(found.sum((1, 2)), scores[:2] - scores[2])
