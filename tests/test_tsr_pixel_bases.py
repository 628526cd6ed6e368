"""TSR of every base against its literal loop, the bases against their methods and captum, and the command line."""

import pytest
import torch
from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients
from torch import nn

import opts
from model.checkpoint import load_model
from model.fast.folding import folded
from saliency import methods
from saliency.fills import background
from saliency.gradient import frame_gradient
from saliency.methods import METHODS, attribute
from saliency.patches import patch_boxes
from saliency.tsr import algorithm, temporal_saliency_rescaling
from saliency.tsr.algorithm import choose_engine
from saliency.tsr.bases import BASES, make_base
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


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize(("kind", "tolerance", "allowed"), [("resnet18", 0, 1e-5), ("bundled", 1e-3, 1e-3)],
                         ids=["resnet18", "bundled"])
def test_equals_the_literal_loop(examples, name, kind, tolerance, allowed):
    """In float64 with tolerance 0, and with the default: for all frames, and for two patches of the middle frame."""
    fast, model, clip = examples[kind]
    base, fill = make_base(name, clip, **OPTIONS.get(name, {})), background(clip)
    boxes = patch_boxes(SIDE, SIDE, 16)[0][1:3]
    steps = (torch.arange(3), boxes.new_tensor([[0, SIDE, 0, SIDE]] * 3)), (torch.full((len(boxes),), 1), boxes)
    literal = LiteralRelevance(model, clip, 1, base=base)
    engine = choose_engine(fast, clip, 1, "logit", tolerance, base=base)
    for step in steps:
        (found, bound), (exact, _) = engine.changes(*step, fill), literal.changes(*step, fill)
        assert exact.max() > 0 and bound <= max(tolerance, 1e-12)
        assert (found - exact).abs().max() <= allowed * exact.max()


@pytest.mark.parametrize("name", BASES)
def test_the_relevance_of_the_clip_is_the_map_of_the_method(case, name):
    model, clip = case
    found = make_base(name, clip, **OPTIONS.get(name, {})).relevance(model, clip, 1)
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
        found = make_base(name, clip, **options).relevance(model, masked, 1)
        torch.testing.assert_close(found, expected)


def test_the_noise_stays_that_of_the_unmasked_clip(case):
    model, clip = case
    masked, generator = 3 * clip, torch.Generator().manual_seed(0)
    spread, total = 0.5 * (clip.max() - clip.min()), 0
    for _ in range(2):
        noise = spread * torch.randn(clip.shape, generator=generator, dtype=clip.dtype)
        total = total + frame_gradient(model, masked + noise, 1) / 2
    found = make_base("smoothgrad", clip, samples=2, noise=0.5).relevance(model, masked, 1)
    torch.testing.assert_close(found, total.abs())
    found = make_base("smoothgrad_x_difference", clip, samples=2, noise=0.5).relevance(model, masked, 1)
    torch.testing.assert_close(found, (total * (masked - background(clip))).abs())


@pytest.mark.parametrize("large", [64, 1], ids=["one probe", "a second probe"])
def test_many_perturbations_of_many_variants_stay_within_the_bound(monkeypatch, large):
    monkeypatch.setattr("saliency.tsr.factored.LARGE", large)
    model, clip = smooth(frames=5, size=16)
    base = make_base("integrated_gradients", clip, points=16)  # 16 x 8 numbers per frame
    boxes, _ = patch_boxes(16, 16, 4)
    frames, boxes = torch.arange(5).repeat_interleave(16), boxes.repeat(5, 1)
    expected, _ = LiteralRelevance(model, clip, 1, base=base).changes(frames, boxes, background(clip))
    for tolerance in (1e-6, 1e-3, 1e-1):
        engine = choose_engine(model, clip, 1, "logit", tolerance, base=base)
        found, bound = engine.changes(frames, boxes, background(clip))
        assert bound <= tolerance
        assert (found - expected).abs().max() <= (bound + 1e-9) * expected.max()


def test_a_model_whose_frames_meet_is_explained_by_the_literal_loop():
    model, clip = smooth()
    mixing = nn.Module()
    mixing.forward = lambda clips: model(clips + clips.mean(1, keepdim=True))
    with pytest.warns(UserWarning, match="TSR computes one map of occlusion_frame of the whole clip per perturbation"):
        found = temporal_saliency_rescaling(mixing, clip, 0, step="time", base="occlusion_frame")
    base = make_base("occlusion_frame", clip)
    for t in range(len(clip)):
        masked = clip.clone()
        masked[t] = background(clip)
        change = base.relevance(mixing, masked, 0) - base.relevance(mixing, clip, 0)
        torch.testing.assert_close(found.time_delta[t], change.abs().sum())


@pytest.mark.parametrize("name", ["gradient", "integrated_gradients", "occlusion_block"])
def test_the_progress_bar_ends_at_its_total(monkeypatch, name):
    bars = []

    class Recorded(algorithm.Bar):
        def __init__(self, total):
            super().__init__(total)
            bars.append([total, 0])

        def __call__(self, done):
            bars[-1][1] += done

        def more(self, added):
            bars[-1][0] += added

    monkeypatch.setattr(algorithm, "Bar", Recorded)
    model, clip = smooth()
    temporal_saliency_rescaling(model, clip, 0, patch=6, base=name, base_options=OPTIONS.get(name))
    (total, done), = bars
    assert done == pytest.approx(total) and total >= 4 + 9


def test_the_registry_of_methods_names_the_bases():
    assert tuple(BASES) == methods.BASES


def test_an_unknown_base_is_refused():
    model, clip = smooth()
    with pytest.raises(ValueError, match="unknown base 'freeze'; known are: gradient, gradient_x_input"):
        temporal_saliency_rescaling(model, clip, 0, base="freeze")


def test_tsr_rescales_the_map_of_the_method(data_set, trained, tmp_path, capsys):
    use("frame_saliency", data_set, trained, tmp_path, "--tsr", "--tsr_step", "time", "--method",
        "integrated_gradients", "--path_points", 2, "--clips", CLIP, "--target", "running", "--no_overlay", "--no_when")
    assert "TSR rescales the map of the method integrated_gradients." in capsys.readouterr().out
    model, info, clip = as_seen(data_set, trained)
    expected = temporal_saliency_rescaling(model, clip, info.classes.index("running"), step="time",
                                           base="integrated_gradients", base_options={"points": 2})
    arrays = saved(tmp_path / "walking" / CLIP)
    torch.testing.assert_close(torch.from_numpy(arrays["time_delta"]), expected.time_delta, rtol=2e-3, atol=1e-6)
    assert str(arrays["tsr_base"]) == "integrated_gradients"
    assert "TSR of integrated gradients: time contribution" in (tmp_path / "report.html").read_text()


def test_tsr_beside_another_method_rescales_the_gradient(data_set, trained, tmp_path, capsys):
    use("frame_saliency", data_set, trained, tmp_path, "--tsr", "--tsr_step", "time", "--method", "freeze", "--clips",
        CLIP, "--no_overlay", "--no_when")
    assert "TSR rescales the map of the method gradient." in capsys.readouterr().out
    assert "tsr_base" not in saved(tmp_path / "walking" / CLIP)
