"""Networks whose scores are known by construction, as functions for --model FILE.py:FUNCTION.

Their classes are running (score 0) and walking (score 1). Every frame is read by itself as the excess of its brightness
over the ground (`bright`), which is 0 where the bright block of a clip is absent, as in the background.
"""

import math
from collections.abc import Callable

import torch
from torch import nn

from model.adapters import FrameModel


def bright(grey):
    """Return the mean excess over the ground: (B, T, H, W) -> (B, T, 1)."""
    return (grey - 0.5).relu().mean((2, 3))[..., None] * 10


def place(grey):
    """Return where the block is, in -1..1 times its brightness, 0 without a block: (B, T, H, W) -> (B, T, 1)."""
    across = torch.linspace(-1, 1, grey.shape[3], device=grey.device)
    return ((grey - 0.5).relu() * across).mean((2, 3))[..., None] * 10


def upper_left(grey):
    """Return the mean of the upper left quarter: (B, T, H, W) -> (B, T, 1)."""
    return grey[:, :, : grey.shape[2] // 2, : grey.shape[3] // 2].mean((2, 3))[..., None] * 10


class Reader(nn.Module):
    """A network whose features are read(frame), and whose scores are decide(features); it has a weight of 1."""

    frames_independent = True

    def __init__(self, read: Callable, decide: Callable):
        super().__init__()
        self.read, self.decide, self.weight = read, decide, nn.Parameter(torch.ones(1))

    def encode(self, clips):
        return self.read(clips.mean(2)) * self.weight  # (B, T, D)

    def classify(self, features, lengths=None):
        return self.decide(features)

    def forward(self, clips):
        return self.classify(self.encode(clips))


def two(value):
    """Return the scores of running and walking, (B, 1) -> (B, 2): walking where the value is above 0."""
    return torch.cat([-value, value], 1)


def blind_to_order():
    return Reader(bright, lambda features: two(features.mean(1) * 2))


def only_order():
    """The sum of the steps from frame to frame."""
    return Reader(place, lambda features: two(features.diff(dim=1).sum(1)))


def amount_of_motion():
    """The size of the steps, whatever their direction; walking also where there is none."""
    return Reader(place, lambda features: two(features.diff(dim=1).abs().sum(1) + 1))


def first_frames():
    return Reader(bright, lambda features: two(features[:, :5].mean(1)))


def last_frames():
    return Reader(bright, lambda features: two(features[:, 25:30].sum(1) / 5))


def quarter():
    return Reader(upper_left, lambda features: two(features.mean(1)))


def constant():
    return Reader(bright, lambda features: two(features.mean(1) * 0 + 1))


def sure_of_the_background():
    """Walking, whatever is seen; the probability is 1 to the last bit with the block and without it."""
    return Reader(bright, lambda features: two(features.mean(1) * 100 + 50))


def equal_scores():
    """The two scores rise and fall together, so the probabilities are 0.5 for every clip."""
    return Reader(bright, lambda features: features.mean(1).expand(-1, 2))


def one_score():
    return Reader(bright, lambda features: features.mean(1) * 2 - 1)


def own_sigmoid():
    return Reader(bright, lambda features: (features.mean(1) * 2 - 1).sigmoid())


def against(chance):
    """A decision with the probability `chance` for class 1 and an equal share of the rest for each of the others."""
    def decide(features, classes=2):
        logit = math.log(chance * (classes - 1) / (1 - chance))
        seen = (features.mean(1) * 5).tanh()  # 1 if the block is there
        return nn.functional.pad(seen * logit, (1, classes - 2))
    return decide


def undecided():
    return Reader(bright, against(0.53))


def hundred_classes(num_classes):
    return Reader(bright, lambda features: against(0.45)(features, num_classes))


def two_frames():
    """Frames 46 and 66 are both needed; no other frame counts."""
    return Reader(bright, lambda features: two(features[:, 45] * features[:, 65]))


def cancelling():
    """Odd frames speak for walking, even ones against it."""
    signs = torch.tensor([1.0, -1.0]).repeat(3)[:, None]
    return Reader(bright, lambda features: two((features * signs).sum(1) + 0.5))


class MeanHead(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.scores = nn.Linear(size, 2)

    def forward(self, features):
        return self.scores(features.mean(1))


def random_head(size=8):
    """A network whose head has random weights, as the heads that it is compared with have."""
    encoder = nn.Sequential(nn.Conv2d(3, size, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return FrameModel(encoder, MeanHead(size))


def one_feature():
    """A network with a single feature: every head gives the same map but for its scale."""
    network = random_head(1)
    nn.init.constant_(network.encoder[0].bias, 1.0)
    return network


def nothing_for():
    """Each pixel speaks against the predicted class, so Grad-CAM's positive part is 0 everywhere."""
    network = random_head(1)
    convolution, scores = network.encoder[0], network.head.scores
    for weight, value in ((convolution.weight, 0.01), (convolution.bias, 1.0)):
        nn.init.constant_(weight, value)
    scores.weight.data = torch.tensor([[0.0], [-1.0]])
    scores.bias.data = torch.tensor([0.0, 4.0])
    return network
