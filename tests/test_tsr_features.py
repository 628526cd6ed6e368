"""TSR of features over every method of features, against a literal loop: a full attribution for each masked clip."""

import pytest
import torch

from runtime.errors import UserError
from saliency.fills import FILLS, background
from saliency.methods import FEATURE_METHODS, attribute
from saliency.methods.gradients import draw
from saliency.methods.rescaling import FEATURE_BASES, SEQUENCES
from saliency.tsr import feature_rescaling
from tests.toys import LENGTH

OPTIONS = {"smoothgrad": {"samples": 3, "noise": 0.5, "seed": 4}, "integrated_gradients": {"points": 4},
           "gradient_shap": {"samples": 7, "seed": 2}, "lrp": {"epsilon": 0.01}}
SIZE = 12


def slopes(model, sequence, kind="logit"):
    """Return the gradient of the score of class 1, (T, D)."""
    sequence = sequence.detach().clone().requires_grad_(True)
    scores = model.classify(sequence[None])[0]
    return torch.autograd.grad((scores.softmax(0) if kind == "probability" else scores)[1], sequence)[0]


def smoothgrad(model, features, sequence):
    spread, noise = 0.5 * (features.max() - features.min()), torch.Generator().manual_seed(4)
    drawn = [torch.randn(features.shape, generator=noise, dtype=features.dtype) for _ in range(3)]
    return sum(slopes(model, sequence + spread * each) for each in drawn) / 3


def integrated_gradients(model, features, sequence):
    base = background(features)
    return sum((sequence - base) * slopes(model, base + (k + 0.5) / 4 * (sequence - base)) for k in range(4)) / 4


def gradient_shap(model, features, sequence):
    pairs = zip(*draw(LENGTH, 7, 2), strict=True)
    return sum((sequence - features[r]) * slopes(model, features[r] + a.to(sequence) * (sequence - features[r]))
               for r, a in pairs) / 7


def occlusion(model, features, sequence):
    empty, found = background(features), torch.empty_like(sequence)
    whole = model.classify(sequence[None])[0, 1]
    for t in range(LENGTH):
        for d in range(SIZE):
            without = sequence.clone()
            without[t, d] = empty[d]
            found[t, d] = whole - model.classify(without[None])[0, 1]
    return found


LITERAL = {
    "gradient": lambda model, features, sequence: slopes(model, sequence),
    "gradient_x_input": lambda model, features, sequence: sequence * slopes(model, sequence),
    "smoothgrad": smoothgrad, "integrated_gradients": integrated_gradients, "gradient_shap": gradient_shap,
    "occlusion": occlusion,
}


def literal(name):
    """Return the map of a method; those with rules are compared with explicit loops in their own tests."""
    def with_rules(model, features, sequence):
        return SEQUENCES[name](model, features, 1, **OPTIONS.get(name, {}))(sequence[None])[0]

    return LITERAL.get(name, with_rules)


@pytest.fixture(scope="module")
def features(case):
    model, clip = case
    with torch.no_grad():
        return model.encode(clip[None])[0]


def compared(found, relevance, features, filling, quantile):
    """Compare a result with maps of masked features (T, D), one per perturbation."""
    before = relevance(features).abs()

    def delta(t, masked):
        changed = features.clone()
        changed[t, masked] = filling[masked]
        return (relevance(changed).abs() - before).abs().sum().detach()

    frames = torch.stack([delta(t, slice(None)) for t in range(LENGTH)])
    torch.testing.assert_close(found.time_delta, frames, rtol=0, atol=1e-5 * frames.max().item())
    contribution = (frames - frames.min()) / (frames.max() - frames.min())
    assert torch.equal(found.important, contribution > contribution.quantile(quantile)) and found.important.any()
    for t in range(LENGTH):
        share = torch.full((SIZE,), 0.1, dtype=features.dtype)
        if found.important[t]:
            parts = torch.stack([delta(t, [d]) for d in range(SIZE)])
            torch.testing.assert_close(found.feature_delta[t], parts, rtol=0, atol=1e-5 * parts.max().item())
            share = (parts - parts.min()) / (parts.max() - parts.min())
        torch.testing.assert_close(found.tsr[t], contribution[t] * share, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("base", FEATURE_BASES)
def test_each_base_equals_its_literal_loop(case, features, monkeypatch, base):
    """The baseline, the points and the noise of the base stay those of the unmasked features."""
    monkeypatch.setattr("saliency.tsr.features.BATCH", 7)  # so that batches end within a frame
    monkeypatch.setattr("saliency.mean_gradient.BATCH", 10)
    model, clip = case
    options, prepare = OPTIONS.get(base, {}), SEQUENCES[base]
    found = feature_rescaling(model, features, 1, quantile=0.7, prepare=lambda *given: prepare(*given, **options))
    compared(found, lambda sequence: literal(base)(model, features, sequence), features, background(features), 0.7)
    by_name = attribute(FEATURE_METHODS["tsr"], model, clip, 1, quantile=0.7, base=base, base_options=options)
    torch.testing.assert_close(by_name.map, found.tsr)
    assert by_name.facts == ({} if base == "gradient" else {"base": base})
    own = prepare(model, features, 1, **options)(features[None])[0].detach()
    torch.testing.assert_close(own, attribute(FEATURE_METHODS[base], model, clip, 1, **options).map)


@pytest.mark.parametrize(("fill", "kind"), [("zero", "logit"), ("first_pixel", "probability")])
def test_the_fill_and_the_probability(case, features, fill, kind):
    found = feature_rescaling(case[0], features, 1, quantile=0.4, fill=fill, score=kind)
    compared(found, lambda sequence: slopes(case[0], sequence, kind), features, FILLS[fill](features), 0.4)


def test_a_linear_head_says_that_nothing_changes(linear):
    model, clip = linear
    with pytest.warns(UserWarning, match="no frame changes the map"):
        result = feature_rescaling(model, clip.flatten(1), 0)
    assert not result.tsr.any() and not result.important.any()


def test_what_takes_minutes_is_announced_and_what_takes_half_an_hour_is_refused(case, features, monkeypatch):
    monkeypatch.setattr("saliency.tsr.features.LONG", 0)
    with pytest.warns(UserWarning, match="TSR takes up to 29 maps of .* seconds, about "):
        feature_rescaling(case[0], features, 1)
    monkeypatch.setattr("saliency.tsr.algorithm.LONGEST", 0)
    with pytest.raises(UserError, match="refused: give another --tsr_base"):
        feature_rescaling(case[0], features, 1)
