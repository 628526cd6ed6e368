"""One sentence for each kind of wrong clip, wrong features, wrong scores and wrong target."""

import pytest
import torch
from torch import nn

from model.adapters import ClipModel, FrameModel
from model.cnn_lstm import CNNLSTM
from saliency.deletion import deletion_metrics
from saliency.explain import explain
from saliency.gradient import feature_gradient, frame_gradient
from saliency.methods import FEATURE_METHODS, METHODS, attribute
from saliency.tsr import temporal_saliency_rescaling
from tests.toys import SMALL, Linear


class Returning(nn.Module):
    """A model of whole clips whose output is that of a function of the summed pixels (B,)."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, clips):
        return self.function(clips.sum((1, 2, 3, 4)))


CLIP = torch.randn(3, 3, 5, 5, dtype=torch.float64)
RULES = ("deep_lift", "lrp")  # methods of features that know only certain heads
CALLS = [
    frame_gradient, feature_gradient, lambda *given: deletion_metrics(*given, {}),
    lambda *given: explain(*given, ["gradient"]), temporal_saliency_rescaling,
    *(lambda *given, name=name: attribute(METHODS[name], *given) for name in ("grad_cam", "occlusion_block")),
    *(lambda *given, name=name: attribute(FEATURE_METHODS[name], *given) for name in ("smoothgrad", "occlusion")),
    *(lambda *given, method=FEATURE_METHODS[name]: attribute(method, *given) for name in RULES),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("clip", "complaint"), [
    (CLIP[None], r"the clip has shape \(1, 3, 3, 5, 5\); give one of shape \(T, C, H, W\)"),
    (CLIP[0], r"the clip has shape \(3, 5, 5\); give one of shape"),
    ((CLIP * 50 + 128).byte(), r"the clip has the type torch\.uint8; give floating-point numbers, as model\.prepro"),
    (CLIP[:0], r"the clip is empty: its shape is \(0, 3, 5, 5\); give at least one frame"),
])
def test_wrong_clips(call, clip, complaint):
    with pytest.raises(ValueError, match=complaint):
        call(Linear(), clip, 1)


def with_lstm(call):
    """Return a call for a model with an LSTM, because LRP and DeepLIFT know only certain heads."""
    torch.manual_seed(0)
    model = CNNLSTM(2, "squeezenet1_1", head="lstm", **SMALL).eval()
    return lambda _, clip, target: call(model, torch.randn(2, 3, 33, 33), target)


@pytest.mark.parametrize("call", [*CALLS[:-len(RULES)], *map(with_lstm, CALLS[-len(RULES):])])
@pytest.mark.parametrize("target", [2, -1])
def test_targets_out_of_range(call, target):
    with pytest.raises(ValueError, match=f"class {target} was given as the target, but the model has 2 classes; give a "
                                         "number from 0 to 1"):
        call(Linear(), CLIP, target)


@pytest.mark.parametrize(("function", "complaint"), [
    (lambda sums: sums, r"a tensor of shape \(1,\)"),
    (lambda sums: sums.repeat(2)[:, None], r"a tensor of shape \(2, 1\)"),
    (lambda sums: [sums], "a list"),
])
@pytest.mark.parametrize("wrap", [lambda model: model, ClipModel])
def test_wrong_scores(function, complaint, wrap):
    with pytest.raises(ValueError, match=rf"the model returned {complaint}; it must return class scores of shape \(1,"):
        frame_gradient(wrap(Returning(function)), CLIP, 0)


def test_scores_without_a_gradient():
    with pytest.raises(ValueError, match="the score has no gradient with respect to the input of the model"):
        frame_gradient(Returning(lambda sums: torch.zeros(len(sums), 2)), CLIP, 0)
    with pytest.raises(ValueError, match="the score has no gradient"):
        frame_gradient(Returning(lambda sums: sums[:, None].detach()), CLIP, 0)


@pytest.mark.parametrize(("encoder", "complaint"), [
    (nn.Identity(), r"the encoder Identity returned a tensor of shape \(3, 3, 5, 5\) for 3 frames"),
    (nn.Flatten(0), r"the encoder Flatten returned a tensor of shape \(225,\) for 3 frames"),
    (nn.LSTM(5, 5), "the encoder LSTM returned a tuple for 3 frames"),
])
def test_encoders_that_return_no_vectors(encoder, complaint):
    if isinstance(encoder, nn.LSTM):
        encoder.forward = lambda frames: (frames, None)
    with pytest.raises(ValueError, match=f"{complaint}; it must return one vector per frame, "):
        FrameModel(encoder, nn.Flatten())(CLIP[None])
