"""Attribution methods: identities on a linear model, captum's results, and literal loops."""

import math

import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, LayerAttribution, LayerGradCam
from torch import nn

from model.cnn_lstm import CNNLSTM
from model.fast.folding import folded
from runtime.declare import load
from saliency.explain import explain
from saliency.fills import FILLS, background
from saliency.gradient import drawn_map, feature_gradient, frame_gradient
from saliency.methods import FEATURE_METHODS, METHODS, attribute
from saliency.tsr import feature_rescaling, temporal_saliency_rescaling
from tests.toys import Linear

LENGTH, SIZE = 5, 40


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(4)
    model = CNNLSTM(2, "squeezenet1_1", hidden_size=8, feature_size=12).double().eval()
    for weight in [*model.head.lstm.parameters(), model.projection.weight]:
        nn.init.uniform_(weight, -0.5, 0.5)  # wide enough for the frames to matter
    return model, torch.randn(LENGTH, 3, SIZE, SIZE, dtype=torch.float64)


@pytest.fixture
def linear():
    torch.manual_seed(5)
    return Linear(), torch.randn(3, 3, 5, 5, dtype=torch.float64)


def score(model, clip, target, kind="logit"):
    with torch.no_grad():
        scores = model(clip[None])[0]
    return (scores.softmax(0) if kind == "probability" else scores)[target].item()


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
    assert maps[0].shape == maps[1].shape == (LENGTH, SIZE, SIZE)
    assert torch.stack(maps).min() >= 0
    assert torch.stack(maps).max() > 0  # a drop, or the positive part, may be 0 for one of two classes
    assert not maps[0].requires_grad
    assert torch.equal(clip, kept)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert METHODS[name].line


def test_methods_are_registered_under_their_own_names():
    assert {name: load(method.place).__name__ for name, method in METHODS.items()} == {name: name for name in METHODS}
    assert all(load(method.place).__name__ == f"feature_{name}" for name, method in FEATURE_METHODS.items())


def test_explain_keeps_what_methods_have_to_say_and_gives_them_their_options(case):
    model, clip = case
    options = {"tsr": {"patch": 20, "step": "time"}, "integrated_gradients": {"points": 2}}
    found = explain(model, clip, 1, ["tsr", "integrated_gradients"], options=options)
    expected = temporal_saliency_rescaling(model, clip, 1, **options["tsr"])
    assert found.maps["tsr"] == pytest.approx(expected.tsr.numpy())
    assert found.arrays["time_contribution"] == pytest.approx(expected.time_contribution.numpy())
    assert found.arrays.keys() == {"time_delta", "time_contribution", "patch_delta"}
    assert found.facts.keys() == {"tsr_error_bound", "integrated_gradients_completeness_gap"}


def test_gradient_x_input_equals_captum(case):
    model, clip = case
    expected = InputXGradient(model).attribute(clip[None].clone().requires_grad_(True), target=1)[0]
    torch.testing.assert_close(attribute(METHODS["gradient_x_input"], model, clip, 1).map, expected.abs().amax(1))


def test_smoothgrad_without_noise_is_the_gradient(case):
    model, clip = case
    smooth = attribute(METHODS["smoothgrad"], model, clip, 1, samples=2, noise=0.0).map
    torch.testing.assert_close(smooth, attribute(METHODS["gradient"], model, clip, 1).map)
    difference = attribute(METHODS["smoothgrad_x_difference"], model, clip, 1, samples=1, noise=0.0).map
    expected = frame_gradient(model, clip, 1) * (clip - clip.median(0).values)  # of 5 frames one is the median
    torch.testing.assert_close(difference, drawn_map(expected))


def test_smoothgrad_of_a_linear_model_is_its_gradient_whatever_the_noise(linear):
    model, clip = linear
    smooth = attribute(METHODS["smoothgrad"], model, clip, 0, samples=3, noise=5.0).map
    torch.testing.assert_close(smooth, drawn_map(frame_gradient(model, clip, 0)))


def test_smoothgrad_is_the_mean_over_noisy_copies_and_repeats_itself(case):
    model, clip = case
    spread = 0.25 * (clip.max() - clip.min())
    noise = torch.Generator().manual_seed(9)
    copies = [clip + spread * torch.randn(clip.shape, generator=noise, dtype=clip.dtype) for _ in range(3)]
    expected = drawn_map(sum(frame_gradient(model, copy, 1) for copy in copies) / 3)
    found = [attribute(METHODS["smoothgrad"], model, clip, 1, samples=3, seed=seed).map for seed in (9, 9, 8)]
    torch.testing.assert_close(found[0], expected)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_integrated_gradients_of_a_linear_model(linear):
    model, clip = linear
    attribution = attribute(METHODS["integrated_gradients"], model, clip, 1, points=3)
    weights = model.w[1].detach().view(clip.shape)
    torch.testing.assert_close(attribution.map, drawn_map((clip - clip.median(0).values) * weights))
    assert attribution.facts["completeness_gap"] < 1e-12


def test_integrated_gradients_equal_captum(case):
    model, clip = case
    attribution = attribute(METHODS["integrated_gradients"], model, clip, 1, points=6)
    baseline = clip.median(0).values.expand_as(clip)
    captum = IntegratedGradients(model)
    expected = captum.attribute(clip[None], baseline[None], 1, n_steps=6, method="riemann_middle")[0]
    torch.testing.assert_close(attribution.map, expected.abs().amax(1))
    ends = score(model, clip, 1) - score(model, baseline, 1)
    gap = abs(expected.sum().item() - ends) / abs(ends)
    assert attribution.facts["completeness_gap"] == pytest.approx(gap, rel=1e-6)
    assert attribute(METHODS["integrated_gradients"], model, clip, 1, points=24).facts["completeness_gap"] < gap / 2


def test_integrated_gradients_of_a_still_clip(case):
    """Clip and background are the same: nothing to attribute, and no gap to divide by."""
    model, clip = case
    attribution = attribute(METHODS["integrated_gradients"], model, clip[:1].expand_as(clip), 1, points=1)
    assert not attribution.map.any()
    assert math.isnan(attribution.facts["completeness_gap"])


@pytest.mark.parametrize("layer", [None, "backbone.features.4.squeeze", "backbone.features.12.expand3x3"])
def test_grad_cam_equals_captum(case, layer):
    model, clip = case
    module = model.get_submodule(layer or "backbone.classifier.2")
    cam = LayerGradCam(model, module).attribute(clip[None], target=1, relu_attributions=True)  # (T, 1, h, w)
    expected = LayerAttribution.interpolate(cam, (SIZE, SIZE), "bilinear")[:, 0]
    found = attribute(METHODS["grad_cam"], model, clip, 1, layer=layer).map
    torch.testing.assert_close(found, expected.detach())
    assert not module._forward_hooks


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2", "densenet121"])
def test_grad_cam_sees_what_the_global_pooling_sees(backbone):
    """Of a plain and of a folded model the same map: that of the features whose mean the rest reads."""
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
    with pytest.raises(ValueError, match="no such module"):
        attribute(METHODS["grad_cam"], model, clip, 1, layer="backbone.layer9")
    with pytest.raises(ValueError, match="needs a convolution"):
        attribute(METHODS["grad_cam"], model, clip, 1, layer="projection")


@pytest.mark.parametrize("kind", ["logit", "probability"])
def test_occlusion_of_frames_equals_a_loop(case, kind):
    model, clip = case
    found = attribute(METHODS["occlusion_frame"], model, clip, 1, kind).map
    for t in range(LENGTH):
        blanked = clip.clone()
        blanked[t] = clip.median(0).values
        drop = max(0.0, score(model, clip, 1, kind) - score(model, blanked, 1, kind))
        torch.testing.assert_close(found[t], torch.full_like(found[t], drop))


def test_occlusion_of_blocks_equals_a_loop(case):
    """Blocks of 2 frames x 14 pixels, smaller at the edges."""
    model, clip = case
    found = attribute(METHODS["occlusion_block"], model, clip, 1, frames=2, pixels=14).map
    expected = torch.full_like(found, torch.nan)
    for start in range(0, LENGTH, 2):
        for top in range(0, SIZE, 14):
            for left in range(0, SIZE, 14):
                block = slice(start, start + 2), slice(None), slice(top, top + 14), slice(left, left + 14)
                blanked = clip.clone()
                blanked[block] = clip.median(0).values.expand_as(clip)[block]
                drop = max(0.0, score(model, clip, 1) - score(model, blanked, 1))
                expected[block[0], block[2], block[3]] = drop
    torch.testing.assert_close(found, expected)


def test_a_block_as_large_as_the_clip_blanks_it(case):
    model, clip = case
    empty = clip.median(0).values.expand_as(clip)
    target = int(score(model, clip, 1) > score(model, empty, 1))  # the one that drops
    found = attribute(METHODS["occlusion_block"], model, clip, target, frames=99, pixels=99).map
    drop = score(model, clip, target) - score(model, empty, target)
    torch.testing.assert_close(found, torch.full_like(found, drop))


def test_tsr_is_the_map_of_temporal_saliency_rescaling(case):
    model, clip = case
    expected = temporal_saliency_rescaling(model, clip, 1, patch=16)
    found = attribute(METHODS["tsr"], model, clip, 1, patch=16)
    assert torch.equal(found.map, expected.tsr)
    assert found.facts == {"error_bound": expected.error_bound}


def test_background_is_the_median():
    clip = torch.tensor([3.0, 1, 2, 9])[:, None, None, None]
    assert background(clip).item() == 2.5
    assert background(clip[:3]).item() == 2


def test_feature_methods_of_a_linear_model(linear):
    """dS/df = w, f dS/df = f w, and replacing f by its median takes (f - median) w from the score."""
    model, clip = linear
    weights, features = model.w[0].detach(), clip.flatten(1)
    by_name = {name: attribute(method, model, clip, 0, "logit").map for name, method in FEATURE_METHODS.items()
               if name != "tsr"}  # of which no map of a linear model changes
    torch.testing.assert_close(by_name["gradient"], weights)
    torch.testing.assert_close(by_name["gradient_x_input"], weights * features)
    torch.testing.assert_close(by_name["smoothgrad"], weights)
    difference = weights * (features - features.median(0).values)
    torch.testing.assert_close(by_name["occlusion"], difference)
    torch.testing.assert_close(by_name["integrated_gradients"], difference)
    assert by_name["gradient"].equal(feature_gradient(model, clip, 0))


@pytest.mark.parametrize("kind", ["logit", "probability"])
def test_feature_methods_along_paths_and_noise(case, kind):
    """The attributions of a path sum to what the score gains along it; noise of 0 gives the gradient."""
    model, clip = case
    with torch.no_grad():
        features = model.encode(clip[None])
        ends = model.classify(torch.cat([features, background(features[0]).expand_as(features)]))
    ends = (ends.softmax(1) if kind == "probability" else ends)[:, 1]
    path = attribute(FEATURE_METHODS["integrated_gradients"], model, clip, 1, kind, points=400).map
    torch.testing.assert_close(path.sum(), ends[0] - ends[1], rtol=1e-4, atol=1e-6)
    silent, *noisy = (attribute(FEATURE_METHODS["smoothgrad"], model, clip, 1, kind, **options).map
                      for options in ({"noise": 0.0}, {"seed": 1}, {"seed": 2}))
    torch.testing.assert_close(silent, feature_gradient(model, clip, 1, kind))
    assert not torch.equal(*noisy)


@pytest.mark.parametrize("name", FEATURE_METHODS)
def test_feature_methods_leave_the_model_alone(name):
    torch.manual_seed(0)
    model, clip = CNNLSTM(2, "resnet18", hidden_size=4, feature_size=6, dropout=0.5).train(), torch.randn(3, 3, 32, 32)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = [attribute(FEATURE_METHODS[name], model, clip, 1).map for _ in range(2)]
    assert found[0].shape == (3, 6) and found[0].any() and torch.equal(*found)  # no dropout
    assert model.training and all(weight.requires_grad for weight in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_feature_occlusion_equals_a_loop(case):
    model, clip = case
    with torch.no_grad():
        features = model.encode(clip[None])[0]
        found = attribute(FEATURE_METHODS["occlusion"], model, clip, 1, "probability").map
        whole = model.classify(features[None])[0].softmax(0)[1]
        for t in range(LENGTH):
            for d in range(features.shape[1]):
                changed = features.clone()
                changed[t, d] = features[:, d].median()
                expected = whole - model.classify(changed[None])[0].softmax(0)[1]
                torch.testing.assert_close(found[t, d], expected, atol=1e-12, rtol=1e-6)


@pytest.mark.parametrize(("fill", "kind"), [*((fill, "logit") for fill in FILLS), ("background", "probability")])
def test_feature_tsr_equals_a_loop(case, monkeypatch, fill, kind):
    model, clip = case
    with torch.no_grad():
        features = model.encode(clip[None])[0]
    filling = {"background": features.median(0).values, "zero": torch.zeros(12, dtype=features.dtype),
               "first_pixel": features[0, 0].expand(12)}[fill]

    def relevance(sequence):
        sequence = sequence.clone().requires_grad_(True)
        scores = model.classify(sequence[None])[0]
        (slope,) = torch.autograd.grad((scores.softmax(0) if kind == "probability" else scores)[1], sequence)
        return slope.abs()

    def delta(t, masked):
        changed = features.clone()
        changed[t, masked] = filling[masked]
        return (relevance(changed) - relevance(features)).abs().sum().item()

    time_delta = torch.tensor([delta(t, slice(None)) for t in range(LENGTH)])
    contribution = (time_delta - time_delta.min()) / (time_delta.max() - time_delta.min())
    important = contribution > contribution.quantile(0.4)
    monkeypatch.setattr("saliency.tsr.features.BATCH", 7)  # so that batches end within a frame
    result = feature_rescaling(model, features, 1, quantile=0.4, fill=fill, score=kind)
    torch.testing.assert_close(result.time_delta.float(), time_delta)
    torch.testing.assert_close(result.time_contribution.float(), contribution, atol=1e-5, rtol=1e-4)
    assert torch.equal(result.important, important)
    for t in range(LENGTH):
        share = torch.full((12,), 0.1)
        if important[t]:
            deltas = torch.tensor([delta(t, [d]) for d in range(12)])
            torch.testing.assert_close(result.feature_delta[t].float(), deltas)
            share = (deltas - deltas.min()) / (deltas.max() - deltas.min())
        else:
            assert not result.feature_delta[t].any()
        torch.testing.assert_close(result.tsr[t].float(), contribution[t] * share, atol=1e-5, rtol=1e-3)


def test_feature_tsr_of_a_linear_head_says_that_nothing_changes(linear):
    model, clip = linear
    with pytest.warns(UserWarning, match="no frame changes the map"):
        result = feature_rescaling(model, clip.flatten(1), 0)
    assert not result.tsr.any()
    assert not result.important.any()
