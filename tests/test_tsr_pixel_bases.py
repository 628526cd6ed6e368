"""TSR of every base against its literal loop, the bases against their methods and captum, and the command line."""

import pytest
import torch
from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients

import opts
from model.checkpoint import load_model
from model.fast.folding import folded
from saliency.fills import background
from saliency.gradient import frame_gradient
from saliency.methods import METHODS, attribute
from saliency.methods.rescaling import BASES, LITERAL, VARIANTS
from saliency.patches import patch_boxes
from saliency.tsr.algorithm import magnitude
from saliency.tsr.factored import FactoredRelevance
from saliency.tsr.literal import LiteralRelevance
from tests.benchmarks.tsr import walker
from tests.runs import as_seen, saved, use
from tests.tiny_data import CLIP
from tests.toys import cnn_lstm, smooth

OPTIONS = {
    "smoothgrad": {"samples": 2}, "smoothgrad_x_difference": {"samples": 2, "noise": 0.1},
    "integrated_gradients": {"points": 2}, "occlusion_block": {"frames": 2, "pixels": 20},
}
SIDE = 32


@pytest.fixture(scope="module")
def examples():
    """Models, in a fast copy and as they are, with a clip: a random ResNet-18 with an LSTM, and the bundled model."""
    model, _ = load_model(opts.PRETRAINED)
    resnet, clip = cnn_lstm(torch.float64, (3, 3, SIDE, SIDE), seed=2)
    return {"resnet18": (folded(resnet), resnet, clip),
            "bundled": (folded(model), model, walker(3, SIDE, torch.device("cpu")))}


def relevance(name, model, clip, **options):
    """Return the map of a base, of clips, whose background, points and noise are those of `clip`."""
    if name in LITERAL:
        return LITERAL[name](model, clip, 1, **options)
    return magnitude(model, clip, 1, "logit", lambda own: VARIANTS[name](own, **options))


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(("kind", "tolerance", "allowed"), [("resnet18", 0, 1e-5), ("bundled", 1e-3, 1e-3)],
                         ids=["resnet18", "bundled"])
def test_equals_the_literal_loop(examples, name, kind, tolerance, allowed):
    """In float64 with tolerance 0, and with the default: for all frames, and for two patches of the middle frame."""
    fast, model, clip = examples[kind]
    options, fill = OPTIONS.get(name, {}), background(clip)
    boxes = patch_boxes(SIDE, SIDE, 16)[0][1:3]
    steps = (torch.arange(3), boxes.new_tensor([[0, SIDE, 0, SIDE]] * 3)), (torch.full((len(boxes),), 1), boxes)
    literal = LiteralRelevance(clip, relevance(name, model, clip, **options))
    engine = FactoredRelevance(fast, clip, 1, "logit", tolerance, variants=tuple(VARIANTS[name](clip, **options)))
    for step in steps:
        (found, bound), (exact, _) = engine.changes(*step, fill), literal.changes(*step, fill)
        assert exact.max() > 0 and bound <= max(tolerance, 1e-12)
        assert (found - exact).abs().max() <= allowed * exact.max()


@pytest.mark.parametrize("name", BASES)
def test_the_relevance_of_the_clip_is_the_map_of_the_method(case, name):
    model, clip = case
    found = relevance(name, model, clip, **OPTIONS.get(name, {}))(clip)
    found = found.amax(1) if found.ndim == 4 else found
    torch.testing.assert_close(found, attribute(METHODS[name], model, clip, 1, **OPTIONS.get(name, {})).map)


def test_the_background_stays_that_of_the_unmasked_clip(case):
    """The relevance of a masked clip is that of captum with the background of the clip before it was masked."""
    model, clip = case
    masked, empty = clip.clone(), background(clip)
    masked[1, :, 5:30, 5:30] = 7 * torch.randn(25, 25)
    masked[2] = -masked[2]
    assert not torch.equal(background(masked), empty)
    baselines, batch = empty.expand_as(clip)[None], masked[None].clone().requires_grad_(True)
    product = InputXGradient(model).attribute(batch, target=1)[0].detach().abs()
    path = IntegratedGradients(model).attribute(batch, baselines, target=1, method="riemann_middle", n_steps=3)[0]
    frames = torch.arange(len(clip)).view(1, -1, 1, 1, 1).expand(1, *clip.shape)
    drops = FeatureAblation(model).attribute(batch.detach(), baselines, target=1, feature_mask=frames)[0, :, 0]
    for name, expected, options in (("gradient_x_input", product, {}),
                                    ("integrated_gradients", path.detach().abs(), {"points": 3}),
                                    ("occlusion_frame", drops.clamp_min(0), {})):
        torch.testing.assert_close(relevance(name, model, clip, **options)(masked), expected)


def test_the_noise_stays_that_of_the_unmasked_clip(case):
    model, clip = case
    masked, generator = 3 * clip, torch.Generator().manual_seed(0)
    spread, total = 0.5 * (clip.max() - clip.min()), 0
    for _ in range(2):
        noise = spread * torch.randn(clip.shape, generator=generator, dtype=clip.dtype)
        total = total + frame_gradient(model, masked + noise, 1) / 2
    options = {"samples": 2, "noise": 0.5}
    torch.testing.assert_close(relevance("smoothgrad", model, clip, **options)(masked), total.abs())
    torch.testing.assert_close(relevance("smoothgrad_x_difference", model, clip, **options)(masked),
                               (total * (masked - background(clip))).abs())


@pytest.mark.parametrize("name", LITERAL)
def test_what_has_no_fast_arithmetic_is_rescaled_literally_after_a_line(case, name):
    """Also where only the changed frames are encoded again."""
    model, clip = case
    options = OPTIONS.get(name, {})
    with pytest.warns(UserWarning, match=r"this map has no fast arithmetic .* takes up to 5 maps of"):
        found = attribute(METHODS["tsr"], model, clip, 1, step="time", base=name, base_options=options)
    assert found.facts["base"] == name
    clips = clip.repeat(len(clip), 1, 1, 1, 1)
    clips[torch.arange(len(clip)), torch.arange(len(clip))] = background(clip)
    before = relevance(name, model, clip, **options)(clip)
    expected = [(relevance(name, model, clip, **options)(each) - before).abs().sum() for each in clips]
    torch.testing.assert_close(found.arrays["time_delta"], torch.stack(expected))


@pytest.mark.parametrize("large", [64, 1], ids=["one probe", "a second probe"])
def test_many_perturbations_of_many_variants_stay_within_the_estimate(monkeypatch, large):
    monkeypatch.setattr("saliency.tsr.factored.LARGE", large)
    model, clip = smooth(frames=5, size=16)
    variants = VARIANTS["integrated_gradients"](clip, points=16)  # 16 x 8 numbers per frame
    boxes, _ = patch_boxes(16, 16, 4)
    frames, boxes = torch.arange(5).repeat_interleave(16), boxes.repeat(5, 1)
    literal = LiteralRelevance(clip, relevance("integrated_gradients", model, clip, points=16))
    expected, _ = literal.changes(frames, boxes, background(clip))
    for tolerance in (1e-6, 1e-3, 1e-1):
        engine = FactoredRelevance(model, clip, 1, "logit", tolerance, variants=variants)
        done = []
        found, bound = engine.changes(frames, boxes, background(clip), done.append)
        assert bound <= tolerance and sum(done) == pytest.approx(len(frames))
        assert (found - expected).abs().max() <= (bound + 1e-9) * expected.max()


def test_an_unknown_base_is_refused(case):
    with pytest.raises(ValueError, match="unknown base 'freeze' of TSR; known are: gradient, gradient_x_input"):
        attribute(METHODS["tsr"], *case, 0, base="freeze")


def test_tsr_rescales_the_map_of_the_method(data_set, trained, tmp_path, capsys):
    use("frame_saliency", data_set, trained, tmp_path, "--tsr", "--tsr_step", "time", "--method",
        "integrated_gradients", "--path_points", 2, "--clips", CLIP, "--target", "running", "--no_overlay", "--no_when")
    assert "TSR rescales the map of the method integrated_gradients." in capsys.readouterr().out
    model, info, clip = as_seen(data_set, trained)
    expected = attribute(METHODS["tsr"], model, clip, info.classes.index("running"), step="time",
                         base="integrated_gradients", base_options={"points": 2}).arrays["time_delta"]
    arrays = saved(tmp_path / "walking" / CLIP)
    torch.testing.assert_close(torch.from_numpy(arrays["time_delta"]), expected, rtol=2e-3, atol=1e-6)
    assert str(arrays["tsr_base"]) == "integrated_gradients"


def test_tsr_beside_another_method_rescales_the_gradient(data_set, trained, tmp_path, capsys):
    use("frame_saliency", data_set, trained, tmp_path, "--tsr", "--tsr_step", "time", "--method", "freeze", "--clips",
        CLIP, "--no_overlay", "--no_when")
    assert "TSR rescales the map of the method gradient." in capsys.readouterr().out
    assert "tsr_base" not in saved(tmp_path / "walking" / CLIP)
