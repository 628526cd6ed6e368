"""Padded clips: the padding gets exactly 0 everywhere, and the true frames what they get without padding."""

import numpy as np
import pytest
import torch
from torch import nn

from model.cnn_lstm import CNNLSTM
from model.contract import check_lengths
from model.heads import HEADS
from saliency.explain import explain, measure
from saliency.gradient import feature_gradient, frame_gradient
from saliency.methods import FEATURE_METHODS, METHODS
from saliency.patches import patch_boxes
from saliency.tsr import feature_rescaling, temporal_saliency_rescaling
from saliency.tsr.literal import LiteralRelevance
from tests.toys import Linear, MeanOfBackbone, smooth

LENGTH, TOTAL, SIDE = 4, 8, 32
SIZES = {"feature_size": 6, "hidden_size": 8, "classifier_size": 0}
QUICK = {"smoothgrad": {"samples": 2}, "smoothgrad_x_difference": {"samples": 2}, "integrated_gradients": {"points": 2},
         "tsr": {"patch": 16}, "occlusion_block": {"pixels": 16}}


class OfLength(nn.Module):
    """A model that reads the first LENGTH frames of its clips, through the argument `lengths`."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, clips):
        return self.model(clips, torch.full((len(clips),), LENGTH))


@pytest.fixture(scope="module", params=HEADS)
def padded_case(request):
    """A model with each of the heads, in double precision, and a clip whose last frames are padding."""
    torch.manual_seed(0)
    model = CNNLSTM(2, "squeezenet1_1", head=request.param, **SIZES).double().eval()
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and not name.startswith("backbone."):
            nn.init.uniform_(weight, -0.5, 0.5)  # wide enough for the frames to matter
    return model, torch.randn(TOTAL, 3, SIDE, SIDE, dtype=torch.float64)


def test_scores_and_gradients_are_those_of_the_model_that_knows_the_length(padded_case):
    """`lengths` in the forward pass, which training uses, and `length` in an explanation mean the same."""
    model, clip = padded_case
    with torch.no_grad():
        torch.testing.assert_close(OfLength(model)(clip[None]), model(clip[None, :LENGTH]), rtol=1e-5, atol=1e-9)
    for score in ("logit", "probability"):
        found = frame_gradient(model, clip, 1, score, length=LENGTH)
        torch.testing.assert_close(found, frame_gradient(OfLength(model), clip, 1, score), rtol=1e-5, atol=1e-12)
        assert found.shape == clip.shape and found[:LENGTH].any() and not found[LENGTH:].any()
    features = feature_gradient(model, clip, 1, length=LENGTH)
    assert features.shape == (TOTAL, SIZES["feature_size"]) and not features[LENGTH:].any()
    assert torch.equal(features[:LENGTH], feature_gradient(model, clip[:LENGTH], 1))
    assert torch.equal(frame_gradient(model, clip, 1, length=TOTAL), frame_gradient(model, clip, 1))


def test_tsr_is_that_of_the_model_that_knows_the_length(padded_case):
    """Where the literal loop masks a frame beyond the length, nothing changes."""
    model, clip = padded_case
    found = temporal_saliency_rescaling(model, clip, 1, patch=16, fill="zero", tolerance=0, length=LENGTH)
    literal, (boxes, _) = LiteralRelevance(OfLength(model), clip, 1), patch_boxes(SIDE, SIDE, 16, clip.device)
    frames, whole = torch.arange(TOTAL), torch.tensor([0, SIDE, 0, SIDE]).expand(TOTAL, 4)
    expected, _ = literal.changes(frames, whole, clip.new_zeros(clip.shape[1:]))
    torch.testing.assert_close(found.time_delta, expected, rtol=1e-5, atol=1e-8 * float(expected.max()))
    assert not expected[LENGTH:].any() and not found.important[LENGTH:].any()
    for values in (found.time_delta, found.time_contribution, found.patch_delta, found.tsr):
        assert len(values) == TOTAL and not values[LENGTH:].any()
    best = int(found.important.nonzero()[0])
    expected, _ = literal.changes(torch.full((len(boxes),), best), boxes, clip.new_zeros(clip.shape[1:]))
    torch.testing.assert_close(found.patch_delta[best].flatten(), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("registry", [METHODS, FEATURE_METHODS], ids=["frames", "features"])
def test_every_method_gives_the_padding_nothing(padded_case, registry):
    model, clip = padded_case
    options = {name: QUICK[name] for name in registry if name in QUICK and registry is METHODS}
    names = [name for name in registry if model.config["head"] != "transformer" or name not in ("deep_lift", "lrp")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *told, **more: None)  # of maps that are constant
        padded = explain(model, clip, 1, names, options=options, registry=registry, length=LENGTH)
        alone = explain(model, clip[:LENGTH], 1, names, options=options, registry=registry)
    for kind in ("maps", "evidence"):
        for name, expected in getattr(alone, kind).items():
            values = getattr(padded, kind)[name]
            np.testing.assert_allclose(values[:LENGTH], expected, rtol=1e-5, atol=1e-12, err_msg=name)
            assert values.shape == (TOTAL, *expected.shape[1:]) and not values[LENGTH:].any(), name
    for name in ("time_delta", "time_contribution", "patch_delta"):
        assert name not in alone.arrays or not padded.arrays[name][LENGTH:].any()
    assert padded.facts.keys() == alone.facts.keys()


def test_feature_rescaling_of_padded_features(padded_case):
    model, clip = padded_case
    with torch.no_grad():
        features = model.encode(clip[None])[0]
    found = feature_rescaling(model, features, 1, length=LENGTH)
    alone = feature_rescaling(model, features[:LENGTH], 1)
    for name in ("time_delta", "time_contribution", "important", "feature_delta", "tsr"):
        values = getattr(found, name)
        assert torch.equal(values[:LENGTH], getattr(alone, name)) and len(values) == TOTAL and not values[LENGTH:].any()


@pytest.mark.parametrize("length", [0, -1, TOTAL + 1, 2.5])
def test_lengths_that_cannot_be(length):
    model, clip = smooth(frames=TOTAL)
    for function in (frame_gradient, feature_gradient, temporal_saliency_rescaling):
        with pytest.raises(ValueError, match=f"length {length} was given for a clip of {TOTAL} frames"):
            function(model, clip, 0, length=length)
    with pytest.raises(ValueError, match="give the number of its true frames, from 1 to 8"):
        explain(model, clip, 0, ["gradient"], length=length)


def test_a_model_that_reads_the_padding_is_refused():
    """A mean over all steps, and a head that takes clips of three frames only."""
    clip, complaint = torch.randn(6, 3, 12, 12), "steps at or beyond `lengths` change its scores"
    careless = MeanOfBackbone().eval()
    with pytest.raises(ValueError, match=f"MeanOfBackbone: {complaint}, so that padding would count as evidence"):
        explain(careless, clip, 0, ["gradient"], length=3)
    with torch.no_grad():
        features = careless.encode(clip[None])[0]
    with pytest.raises(ValueError, match=complaint):
        feature_rescaling(careless, features, 0, length=3)
    assert explain(careless, clip, 0, ["gradient"], length=6).maps["gradient"].any()  # there is no padding


def test_models_that_claim_no_lengths_read_the_true_frames():
    """Only the cut clip reaches them, so there is nothing to check."""
    network, clip = nn.Sequential(nn.Flatten(), nn.LazyLinear(2)).double(), torch.randn(5, 3, 4, 4).double()
    network(clip[None, :3])
    found = frame_gradient(network, clip, 1, length=3)
    assert torch.equal(found[:3].flatten(), network[1].weight[1]) and not found[3:].any()
    model = Linear(frames=3, size=4)
    model.classify = lambda features: Linear.classify(model, features)
    assert torch.equal(frame_gradient(model, clip, 1, length=3)[:3].flatten(), model.w[1].flatten())
    check_lengths(model, clip[:3].flatten(1))


def test_metrics_do_not_count_the_padding():
    generator = np.random.default_rng(0)
    maps, frames = generator.random((TOTAL, 16, 16)), generator.integers(0, 255, (TOTAL, 16, 16), dtype=np.uint8)
    flow, masks = 2 * generator.random((TOTAL - 1, 16, 16)), generator.random((TOTAL, 16, 16)) > 0.5
    padded = measure({"gradient": maps}, frames, flow, masks, length=LENGTH)
    alone = measure({"gradient": maps[:LENGTH]}, frames[:LENGTH], flow[:LENGTH - 1], masks[:LENGTH])
    assert padded.keys() == alone.keys()
    for name, row in alone.items():
        assert padded[name] == pytest.approx(row, nan_ok=True)
