"""Maps of models with random weights."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from model.cnn_lstm import build_model
from model.fast.folding import folded
from saliency import charts, sanity
from saliency.explain import Explanation
from saliency.metrics import spearman
from saliency.results import tables
from saliency.sanity import check, randomise, randomised_models, stages
from tests.toys import SMALL, MeanOfBackbone, example

RESNET = ["classifier", "pooling", "lstm", "projection", "layer4", "layer3", "layer2", "layer1", "conv1-bn1"]


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("kind, backbone, expected", [
    ("cnnlstm", "resnet18", RESNET), ("cnnlstm_cbam", "resnet18", RESNET),
    ("cnnlstm_attn", "mobilenet_v2", ["classifier", "lstm", "attention", "projection", "features.16-18",
                                        "features.12-15", "features.8-11", "features.4-7", "features.0-3"]),
])
def test_stages_hold_every_weight_once(kind, backbone, expected):
    model = build_model(kind, 2, backbone, **SMALL)
    found = stages(model)
    assert [name for name, _ in found] == expected
    parts = [id(weight) for _, modules in found for module in modules for weight in module.parameters()]
    assert sorted(parts) == sorted(id(weight) for weight in model.parameters())


def test_randomise_resets_running_statistics_shuffles_the_rest_and_keeps_the_global_state():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.arange(50.0))

    norm, scaled, layer = nn.BatchNorm2d(3), Scaled(), nn.Linear(4, 4)
    norm.running_mean.fill_(7)
    norm.running_var.fill_(9)
    before = weights(layer)
    state = torch.get_rng_state()
    randomise([nn.Sequential(norm, layer), scaled], seed=1)
    assert torch.get_rng_state().equal(state)
    assert not norm.running_mean.any() and norm.running_var.eq(1).all()
    assert not layer.weight.equal(before["weight"])
    assert scaled.scale.sort().values.equal(torch.arange(50.0)) and not scaled.scale.equal(torch.arange(50.0))
    first = layer.weight.clone()
    randomise([nn.Sequential(norm, layer), scaled], seed=1)
    assert layer.weight.equal(first)


def test_each_stage_adds_to_those_above_and_the_model_is_left_alone():
    model = MeanOfBackbone().train()
    before = weights(model)
    found = list(randomised_models(model, seed=0))
    assert [name for name, _ in found] == ["classifier", "3", "1", "0"]
    top = found[0][1]
    assert not top.classifier.weight.equal(model.classifier.weight)
    assert all(later.classifier.weight.equal(top.classifier.weight) for _, later in found)
    clips = torch.randn(1, 2, 3, 12, 12)
    with torch.no_grad():
        assert torch.allclose(top.encode(clips), model.eval().encode(clips), atol=1e-5)
        assert not torch.allclose(found[1][1].encode(clips), model.encode(clips), atol=1e-3)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert model.classifier.weight.requires_grad


def test_same_weights_give_1_and_random_ones_less():
    torch.manual_seed(0)
    model, examples = MeanOfBackbone().eval(), [example(), example()]
    report = check(model, examples, ["gradient"], draws=2)
    curve = report["sanity"]["correlations"]["gradient"]
    assert [curve[0], report["sanity"]["within_frames"]["gradient"][0]] == pytest.approx([1, 1])
    assert abs(curve[-1]) < 0.3 and len(curve) == len(report["sanity"]["stages"])
    figures = report["random_head"]["gradient"]
    assert figures["difference"]["mean"] == pytest.approx(figures["trained"]["mean"] - figures["random_head"]["mean"])
    assert figures["trained"]["n"] == 2


def test_the_correlation_is_that_of_the_gradients_by_hand():
    torch.manual_seed(1)
    model, one = MeanOfBackbone().eval(), example()

    def by_hand(network):
        clip = one.clip[None].clone().requires_grad_(True)
        network(clip)[0, one.target].backward()
        return clip.grad[0].abs().amax(1).numpy()

    curve = check(model, [one], ["gradient"], draws=1)["sanity"]["correlations"]["gradient"]
    expected = [spearman(by_hand(model), by_hand(other)) for _, other in randomised_models(model)]
    assert curve[1:] == pytest.approx(expected, abs=0.02)  # folding rounds


def test_a_map_that_is_constant_within_a_frame_has_no_agreement_with_flow(monkeypatch):
    one = example()
    whole = np.ones(one.flow.shape) * np.arange(len(one.flow))[:, None, None]
    kinds = {"frames": np.concatenate([whole, whole[:1]]), "zeros": np.zeros((len(one.clip), *one.flow.shape[1:]))}
    facts = {"frames_time_only": 1.0}
    monkeypatch.setattr(sanity, "explain", lambda *args, **more: Explanation(kinds, {}, {}, facts))
    heads = check(MeanOfBackbone(), [one], list(kinds), draws=2)["random_head"]
    assert all(math.isnan(heads["frames"][column]["mean"]) for column in ("trained", "random_head", "difference"))
    assert heads["zeros"]["trained"]["mean"] == heads["zeros"]["random_head"]["mean"] == 0.5


def test_a_method_that_keeps_its_map_is_named():
    heads = {name: {"correlation": {"mean": kept}, "within_frames": {"mean": kept / 2}}
             for name, kept in (("smooth", 0.68), ("raw", 0.32))}
    curves = {"correlations": {"smooth": [1.0, 0.7, 0.1], "raw": [1.0, 0.3, 0.1]}, "stages": ["trained", "a", "b"]}
    (sentence,) = sanity.sentences(curves, heads)
    assert sentence.startswith("smooth: with a random head, the map still has a rank correlation of 0.68 with the "
                               "trained model's map (0.34 within frames)")


class Deep(MeanOfBackbone):
    """A backbone of many layers with batch norm, as deep as the signal of random weights needs to get lost."""

    def __init__(self, depth=24):
        super().__init__()
        layers = [layer for _ in range(depth) for layer in (nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))]
        self.backbone = nn.Sequential(*layers, nn.Flatten(), nn.Linear(432, 8))
        with torch.no_grad():
            for layer in layers:
                layer.weight.copy_(torch.eye(3)[..., None, None] if layer.weight.ndim > 1 else torch.ones(3))


def test_batch_norms_get_the_statistics_of_the_random_weights():
    """Without clips they keep 0 and 1, and the random network is constant up to rounding."""
    torch.manual_seed(0)
    model, one = Deep().train(), example(4)
    before, modes = weights(model), [module.training for module in model.modules()]
    for clips, expected in (((), False), ([one.clip], True)):
        *_, (_, last) = randomised_models(model, seed=0, clips=clips)
        assert sanity.varies(last, one) == expected
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    found = check(model, [one], ["gradient"], draws=1)
    assert np.isfinite(found["sanity"]["correlations"]["gradient"]).all() and "undefined" not in str(found)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes


def test_statistics_are_those_of_the_clips_by_hand():
    norm, clips = nn.BatchNorm2d(3), [torch.randn(3, 3, 6, 6) * 4 + 1, torch.randn(5, 3, 6, 6)]
    model = nn.Sequential(norm, nn.Flatten(), nn.Linear(2 * 3, 2))
    model.forward = lambda batch: model[2](norm(batch.flatten(0, 1)).mean((2, 3))[:4].reshape(2, 6))
    momentum, kept = norm.momentum, norm.weight.clone()
    settled = sanity.settled(model.eval(), [model], clips)
    assert settled is model  # it has no encode, so it is not folded
    torch.testing.assert_close(norm.running_mean, torch.stack([clip.mean((0, 2, 3)) for clip in clips]).mean(0))
    variances = [torch.stack([clip, clip]).flatten(0, 1).transpose(0, 1).flatten(1).var(1) for clip in clips]
    torch.testing.assert_close(norm.running_var, torch.stack(variances).mean(0))
    assert (norm.momentum, norm.training) == (momentum, False) and norm.weight.equal(kept)


def test_a_stage_whose_score_does_not_vary_is_undefined_and_says_why(monkeypatch):
    """The last stage of a deep network with the statistics of new batch norms, whose maps are rounding errors."""
    torch.manual_seed(0)
    model = Deep().eval()
    monkeypatch.setattr(sanity, "settled", lambda changed, *_: folded(changed))  # 0 and 1, as before
    report = check(model, [example(4), example(4)], ["gradient", "smoothgrad"], draws=1)
    curves, last = report["sanity"], stages(model)[-1][0]
    assert curves["stages"][-1] == f"{last} (undefined)" and curves["stages"][0] == "trained"
    assert all(math.isnan(values[-1]) for values in (*curves["correlations"].values(),
                                                     *curves["within_frames"].values()))
    assert math.isfinite(curves["correlations"]["gradient"][1])  # the stage of the head
    (sentence,) = [text for text in report["sentences"] if "undefined" in text]
    assert f"{last} (2 of 2 clips)" in sentence and "background" in sentence and "constant" not in str(
        report["sentences"])
    assert f"{last} (undefined)" in tables.sanity_tables(report).split("\n")[2]  # the heading of the column
    ticks = charts.sanity_pictures(report)["sanity"].axes[0].get_xticklabels()
    assert ticks[-1].get_text() == f"{last} (undefined)" and ticks[1].get_text() == curves["stages"][1]


class Constant(MeanOfBackbone):
    """A model whose score never varies, up to rounding."""

    def classify(self, features, lengths=None):
        return self.classifier.bias + 1e-12 * super().classify(features)


def test_a_random_head_whose_score_does_not_vary_is_undefined(monkeypatch):
    def flat(model, draws, *more):
        yield from (Constant().eval() for _ in range(draws))

    monkeypatch.setattr(sanity, "random_head_models", flat)
    torch.manual_seed(0)
    report = check(MeanOfBackbone().eval(), [example()], ["gradient"], draws=2)
    head = report["random_head"]["gradient"]
    assert math.isfinite(head["trained"]["mean"])
    assert all(math.isnan(head[name]["mean"]) for name in ("random_head", "difference", "correlation"))
    (sentence,) = [text for text in report["sentences"] if "undefined" in text]
    assert sentence.endswith("random head (1 of 1 clip).") and "constant" not in str(report["sentences"])


def test_a_difference_within_the_spread_of_random_heads_is_none():
    """Eight clips agree exactly on the difference, but one more random head could be as good."""
    trained, heads = {"map": np.full((8, 3), 0.9)}, [{"map": np.full((8, 3), auc)} for auc in (0.7, 0.8, 0.9)]
    cell = sanity.random_head_agreement(trained, heads)["map"]["difference"]
    assert cell["mean"] == pytest.approx(0.1) and cell["heads"] == 3
    half = 4.303 * 0.1 * np.sqrt(4 / 3)  # the 0.975 quantile with 2 degrees of freedom, the deviation, one more head
    assert (cell["low"], cell["high"]) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-3)
    alone = sanity.random_head_agreement(trained, [{"map": np.full((8, 3), 0.1)}])["map"]["difference"]
    assert np.isnan(alone["low"])  # one head has no spread
