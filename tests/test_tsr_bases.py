"""TSR of features over every method of features, against a literal loop: a full attribution for each masked clip."""

import pytest
import torch

from runtime.declare import load
from runtime.errors import UserError
from saliency.fills import background
from saliency.methods import FEATURE_BASES, FEATURE_METHODS, attribute
from saliency.methods.gradient_shap import draw
from saliency.tsr import feature_rescaling
from tests.toys import LENGTH

OPTIONS = {"smoothgrad": {"samples": 3, "noise": 0.5, "seed": 4}, "integrated_gradients": {"points": 4},
           "gradient_shap": {"samples": 7, "seed": 2}, "lrp": {"epsilon": 0.01}}
SIZE = 12


def slopes(model, sequence):
    """Return the gradient of the score of class 1, (T, D)."""
    sequence = sequence.detach().clone().requires_grad_(True)
    return torch.autograd.grad(model.classify(sequence[None])[0, 1], sequence)[0]


def smoothgrad(model, features, sequence):
    spread, noise = 0.5 * (features.max() - features.min()), torch.Generator().manual_seed(4)
    drawn = torch.randn(3, *features.shape, generator=noise, dtype=features.dtype)
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
        return load(FEATURE_METHODS[name].sequences)(model, features, 1, **OPTIONS.get(name, {}))(sequence[None])[0]

    return LITERAL.get(name, with_rules)


@pytest.fixture(scope="module")
def features(case):
    model, clip = case
    with torch.no_grad():
        return model.encode(clip[None])[0]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float32, 1e-3)], ids=str)
@pytest.mark.parametrize("base", FEATURE_BASES)
def test_each_base_equals_its_literal_loop(case, features, monkeypatch, base, dtype, tolerance):
    """The baseline, the points and the noise of the base stay those of the unmasked features."""
    monkeypatch.setattr("saliency.tsr.features.BATCH", 7)  # so that batches end within a frame
    monkeypatch.setattr("saliency.methods.sequences.BATCH", 10)
    model, features = case[0].to(dtype), features.to(dtype)
    try:
        found = feature_rescaling(model, features, 1, quantile=0.7, base=base, base_options=OPTIONS.get(base))
        filling, before = features.median(0).values, literal(base)(model, features, features).abs()

        def delta(t, masked):
            changed = features.clone()
            changed[t, masked] = filling[masked]
            return (literal(base)(model, features, changed).abs() - before).abs().sum().detach()

        frames = torch.stack([delta(t, slice(None)) for t in range(LENGTH)])
        torch.testing.assert_close(found.time_delta, frames, rtol=0, atol=tolerance * frames.max().item())
        important = found.important.nonzero()[:, 0].tolist()
        assert important and frames.max() > 0
        for t in important:
            parts = torch.stack([delta(t, [d]) for d in range(0, SIZE, 4)])
            largest = found.feature_delta[t].max().item()
            torch.testing.assert_close(found.feature_delta[t, ::4], parts, rtol=0, atol=tolerance * largest)
    finally:
        case[0].double()


@pytest.mark.parametrize("name", FEATURE_BASES)
def test_the_function_for_sequences_gives_the_map_of_the_clip(case, features, name):
    model, clip = case
    options = OPTIONS.get(name, {})
    relevance = load(FEATURE_METHODS[name].sequences)(model, features, 1, **options)
    torch.testing.assert_close(relevance(features[None])[0].detach(),
                               attribute(FEATURE_METHODS[name], model, clip, 1, **options).map)


def test_bases_are_the_methods_with_a_function_for_sequences():
    assert tuple(name for name, method in FEATURE_METHODS.items() if method.sequences) == FEATURE_BASES
    assert [name for name in FEATURE_METHODS if name not in FEATURE_BASES] == ["tsr"]


def test_the_map_of_tsr_names_its_base(case):
    model, clip = case
    by_default = attribute(FEATURE_METHODS["tsr"], model, clip, 1)
    assert by_default.facts == {}
    assert by_default.map.equal(attribute(FEATURE_METHODS["tsr"], model, clip, 1, base="gradient").map)
    other = attribute(FEATURE_METHODS["tsr"], model, clip, 1, base="lrp", base_options={"epsilon": 0.1})
    assert other.facts == {"base": "lrp"} and not other.map.equal(by_default.map)


def test_an_unknown_base_is_refused(case, features):
    with pytest.raises(ValueError, match="unknown base 'freeze' of TSR of features; known are: gradient, "):
        feature_rescaling(case[0], features, 1, base="freeze")


def test_what_takes_minutes_is_announced_and_what_takes_half_an_hour_is_refused(case, features, monkeypatch):
    monkeypatch.setattr("saliency.tsr.features.LONG", 0)
    with pytest.warns(UserWarning, match="12 features by this method takes up to"):
        feature_rescaling(case[0], features, 1)
    monkeypatch.setattr("saliency.tsr.features.LONGEST", 0)
    with pytest.raises(UserError, match="more than the 0 that are allowed; choose another --tsr_base"):
        feature_rescaling(case[0], features, 1, base="occlusion")
