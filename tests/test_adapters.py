"""Adapters for networks of users: FrameModel follows the contract, ClipModel handles the layout."""

import copy

import pytest
import torch
from torch import nn

from model.adapters import ClipModel, FrameModel
from model.contract import SequenceModel, check_parts, frames_are_independent
from saliency.sanity import check, random_head_models
from saliency.tsr import temporal_saliency_rescaling
from tests.toys import example


class Last(nn.Module):
    """A GRU and a linear layer; with lengths, the state after the last frame of each clip."""

    def __init__(self):
        super().__init__()
        self.gru, self.scores = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, features, lengths=None):
        states = self.gru(features)[0]
        last = torch.full((len(features),), features.shape[1]) if lengths is None else lengths
        return self.scores(states[torch.arange(len(features)), last - 1])


class Mean(nn.Linear):
    """A linear layer on the mean over the frames."""

    def forward(self, features):
        return super().forward(features.mean(1))


def frame_model(head=None):
    """Return a FrameModel of a small encoder and a head."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                            nn.Linear(32, 4))  # fmt: skip
    return FrameModel(encoder, head or Last()).eval()


def test_a_frame_model_follows_the_contract():
    model, clips = frame_model(), torch.randn(2, 4, 3, 12, 12)
    assert isinstance(model, SequenceModel) and frames_are_independent(model, clips[0])
    check_parts(model)
    apart = torch.stack([model.encoder(frames) for frames in clips])  # (B, T, D)
    torch.testing.assert_close(model.encode(clips), apart)
    torch.testing.assert_close(model(clips), model.head(apart))


def test_a_frame_model_is_explained_fast_as_by_the_literal_loop():
    model, clip = frame_model().double(), torch.randn(4, 3, 12, 12, dtype=torch.float64)
    fast = temporal_saliency_rescaling(model, clip, 1, patch=6, tolerance=0)
    with pytest.warns(UserWarning, match=r"ClipModel has no encode and classify \(model\.adapters\.FrameModel makes a "
                                         r"fast model\), so TSR takes up to 8 maps of .* seconds, about 1 second"):
        literal = temporal_saliency_rescaling(ClipModel(model), clip, 1, patch=6, quantile=0.9)
    torch.testing.assert_close(fast.time_delta, literal.time_delta, rtol=1e-6, atol=1e-12)


def test_lengths_reach_a_head_that_takes_them():
    model, features = frame_model(), torch.randn(2, 6, 4)
    scores = model.classify(features, torch.tensor([3, 6]))
    torch.testing.assert_close(scores[:1], model.classify(features[:1, :3]))
    torch.testing.assert_close(scores[1:], model.classify(features[1:]))


def test_lengths_that_a_head_does_not_take():
    model, features = frame_model(Mean(4, 3)), torch.randn(2, 6, 4)
    whole = model.classify(features)
    assert model.classify(features, torch.tensor([6, 6])).equal(whole)
    with pytest.raises(ValueError, match="the head Mean takes no lengths, so it cannot classify clips of different"):
        model.classify(features, torch.tensor([3, 6]))
    with pytest.raises(ValueError, match=r"classify received a tensor of shape \(6, 4\); give the features of clips"):
        model.classify(features[0])


def test_sanity_randomises_the_head_of_a_frame_model():
    model = frame_model()
    before = copy.deepcopy(model.state_dict())
    for other in random_head_models(model, draws=1):
        assert not other.head.gru.weight_hh_l0.equal(model.head.gru.weight_hh_l0)
    found = check(model, [example()], ["gradient"], draws=1)
    assert found["sanity"]["stages"][:2] == ["trained", "head"]
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="ClipModel has no head_modules and no backbone_modules"):
        check(ClipModel(model), [example()], ["gradient"], draws=1)


class Ordered(nn.Module):
    """Scores (B, 2) that tell which dimension is which: the sums over the first frame, and over the first channel."""

    def __init__(self, time, channels):
        super().__init__()
        self.time, self.channels = time, channels

    def forward(self, clips):
        first_frame, first_channel = clips.select(self.time, 0), clips.select(self.channels, 0)
        return torch.stack([first_frame.sum((1, 2, 3)), first_channel.sum((1, 2, 3))], 1)


@pytest.mark.parametrize(("layout", "time", "channels"), [("BTCHW", 1, 2), ("BCTHW", 2, 1)])
def test_layouts(layout, time, channels):
    clips = torch.randn(2, 5, 3, 4, 6)
    scores = ClipModel(Ordered(time, channels), layout)(clips)
    torch.testing.assert_close(scores, torch.stack([clips[:, 0].sum((1, 2, 3)), clips[:, :, 0].sum((1, 2, 3))], 1))
