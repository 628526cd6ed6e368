"""The heads by rules: with the usual slopes they are the model, and each rule is complete in its own sense."""

import pytest
import torch

from saliency.fills import background
from saliency.methods import FEATURE_METHODS, attribute
from saliency.propagation import RULED_HEADS, DifferenceRules, Pair, RelevanceRules, Rules, class_scores_by
from tests.toys import HEAD_CASES, with_head

every_case = pytest.mark.parametrize(("head", "options"), [
    pytest.param(head, options | {"num_layers": 1 if head == "cell_attention" else 2}, id=case.id)
    for case in HEAD_CASES for head, options in [case.values] if head in RULED_HEADS])


def features_of(model, clips=2):
    torch.manual_seed(3)
    return torch.randn(clips, 6, 6, dtype=torch.float64, requires_grad=True)


@every_case
def test_every_rule_keeps_the_scores_and_the_usual_ones_keep_the_gradient(head, options):
    model, _ = with_head(head, **options)
    features = features_of(model)
    expected, found = model.classify(features), class_scores_by(Rules(), model, features)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(scores[:, 1].sum(), features, retain_graph=True)[0]
                 for scores in (found, expected)]
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(class_scores_by(RelevanceRules(0.1), model, features), expected)
    pair = class_scores_by(DifferenceRules(), model, Pair(features, features[:1].detach()))
    torch.testing.assert_close(pair.value, expected)
    torch.testing.assert_close(pair.reference[:1], expected[:1])


@every_case
def test_without_biases_and_epsilon_relevance_is_the_score(head, options):
    """Conservation, whichever head: nothing but biases and epsilon keeps relevance."""
    model, _ = with_head(head, **options)
    for name, weight in model.named_parameters():
        if "bias" in name:
            weight.data.zero_()
    features = features_of(model)
    scores = class_scores_by(RelevanceRules(0.0), model, features)[:, 1]
    relevance = (features * torch.autograd.grad(scores.sum(), features)[0]).sum((1, 2))
    torch.testing.assert_close(relevance, scores, rtol=1e-9, atol=1e-12)
    assert scores.abs().max() > 1e-9  # a ReLU without biases may be silent


@every_case
def test_deep_lift_sums_to_the_difference_from_the_reference(head, options):
    model, clip = with_head(head, **options)
    kind = "probability" if head == "lstm" else "logit"
    with torch.no_grad():
        features = model.encode(clip[None])
        ends = model.classify(torch.cat([features, background(features[0]).expand_as(features)]))
    ends = (ends.softmax(1) if kind == "probability" else ends)[:, 1]
    found = attribute(FEATURE_METHODS["deep_lift"], model, clip, 1, kind).map
    torch.testing.assert_close(found.sum(), ends[0] - ends[1], rtol=1e-8, atol=1e-12)
    assert (ends[0] - ends[1]).abs() > 1e-9


@pytest.mark.parametrize("name", ["lrp", "deep_lift"])
def test_a_head_without_rules_is_refused_with_the_names_of_those_that_work(name, linear):
    model, clip = with_head("transformer")
    with pytest.raises(ValueError, match=r"rules of LRP and DeepLIFT are not defined for the head transformer; they "
                                         r"are for the heads change, lstm, bilstm, gru, .* mean$"):
        attribute(FEATURE_METHODS[name], model, clip, 1)
    with pytest.raises(ValueError, match="rules of LRP and DeepLIFT are not defined for the head of Linear"):
        attribute(FEATURE_METHODS[name], *linear, 1)


def test_a_product_shares_its_difference_equally_between_the_orders_of_change():
    """a b from 1 * 2 to 3 * 5: the mean of changing a first (4, then 9) and b first (3, then 10)."""
    a, b = (torch.tensor([[number]], requires_grad=True) for number in (3.0, 5.0))
    found = DifferenceRules().product(torch.mul, Pair(a, torch.tensor([[1.0]])), Pair(b, torch.tensor([[2.0]])))
    of_a, of_b = torch.autograd.grad(found.value.sum(), (a, b))
    assert (2 * of_a.item(), 3 * of_b.item()) == ((4 + 10) / 2, (9 + 3) / 2)
    assert (found.value.item(), found.reference.item()) == (15.0, 2.0)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "exp", "reciprocal", "relu"])
def test_a_slope_stays_exact_if_the_difference_vanishes(name):
    """Where the ratio would divide rounding errors by each other, the derivative in the middle takes its place."""
    reference = torch.full((1, 1), 0.7)
    for difference in (0.0, 1e-7, 1e-4, 1e-2, 1.0):
        value = (reference + difference).requires_grad_(True)
        pair = DifferenceRules().bend(name, Pair(value, reference))
        slope = torch.autograd.grad(pair.value.sum(), value)[0].item()
        middles = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
        exact = middles * (value.item() - reference.item()) + reference.item()
        exact.requires_grad_(True)
        functions = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "exp": torch.exp, "reciprocal": torch.reciprocal,
                     "relu": torch.relu}
        expected = torch.autograd.grad(functions[name](exact).sum(), exact)[0].mean().item()  # mean of the slope
        assert slope == pytest.approx(expected, rel=1e-4)
