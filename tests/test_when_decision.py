"""saliency/when/decision.py and figure.py: all about one clip in arrays, numbers, sentences and a picture."""

import math

import numpy as np
import pytest
import torch

from model.cnn_lstm import build_model
from saliency.figures import encode_figure
from saliency.when import decide
from saliency.when.decision import SPANS
from saliency.when.figure import when_figure
from tests.toys import SMALL, MeanOfFrames, OneFrame, smooth

CLASSES = ["running", "walking", "boxing"]


def evident(length=6, frame=3):
    """A clip of zeros with ones in one frame."""
    clip = torch.zeros(length, 3, 4, 4)
    clip[frame] = 1.0
    return clip


def test_a_frame_that_decides_is_named():
    decision = decide(OneFrame(), evident(), 0)
    text = " ".join(decision.sentences(CLASSES))
    assert "owes most to frame 4: 240; compared with the background alone, all frames together raise it by 240" in text
    assert "frame 4 keeps 100% of this difference" in text
    assert "If frame 4 is replaced by the background, the score of running falls by 100%" in text
    assert "If frame 4 stands still, " in text and "If frames 3 to 4 run backwards, " in text
    assert "The frames up to 4 are enough for running" in text
    facts = decision.facts()
    assert facts["when_decided"] == 4 and facts["when_sufficient_first"] == facts["when_sufficient_last"] == 4
    assert (facts["when_reverse_first"], facts["when_reverse_last"]) == (3, 4)
    assert decision.encodings == 7  # six frames and the background


def test_what_does_not_exist_is_left_out_or_undefined():
    decision = decide(MeanOfFrames(), evident(), 0)
    assert "when_reverse_first" not in decision.facts()
    numbers = decision.metrics({"gradient": np.arange(6.0)})
    assert math.isnan(numbers["reverse_frames"]) and numbers["sufficient_frames"] == 1
    assert -1 <= numbers["spearman_gradient"] <= 1 and numbers["gap"] < 1e-6
    assert ("No interval, not even the whole clip, changes the prediction or takes 90% of this difference if it runs "
            "backwards.") in decision.sentences(CLASSES)


def test_a_still_clip_gives_zeros_and_says_so():
    model, clip = smooth(frames=5)
    decision = decide(model, clip[:1].expand(5, -1, -1, -1), 1)
    assert decision.still and decision.shapley.values.abs().max() == 0
    assert decision.sentences(CLASSES) == [
        "Every frame equals the background of the clip, so no frame can have decided anything."]
    assert decision.spans() == dict.fromkeys(SPANS) and decision.prefixes.decided is None
    assert encode_figure(when_figure(np.zeros((5, 17, 17), np.uint8), decision, CLASSES), ".png")


@pytest.mark.parametrize("length", [1, 2, 13])
def test_clips_of_any_length_can_be_explained_and_drawn(length):
    model, clip = smooth(frames=length)
    decision = decide(model, clip, 2, "probability", pairs=3)
    assert len(decision.shapley.values) == length and decision.intervals.kept.shape == (length, length)
    assert decision.sentences(CLASSES) and all(text.endswith(".") for text in decision.sentences(CLASSES))
    assert encode_figure(when_figure(np.zeros((length, 17, 17), np.uint8), decision, CLASSES, "title"), ".png")


@pytest.mark.parametrize("head", ["lstm", "transformer", "mean"])
def test_the_decision_of_every_head(head):
    torch.manual_seed(0)
    model, clip = build_model("cnnlstm", 2, "squeezenet1_1", head=head, **SMALL).eval(), torch.randn(6, 3, 32, 32)
    decision = decide(model, clip, 1)
    assert decision.shapley.exact and decision.encodings == 7 and len(decision.sentences(CLASSES)) >= 1
    assert float(decision.shapley.values.sum()) == pytest.approx(decision.difference, abs=1e-5)
    last = model(clip[None])[0].softmax(0).detach().double()
    torch.testing.assert_close(decision.prefixes.shorter[-1], last, atol=1e-5, rtol=0)


def test_the_model_is_left_as_it_was():
    model, clip = smooth(frames=4)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    decide(model, clip, 1)
    assert model.training and all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
