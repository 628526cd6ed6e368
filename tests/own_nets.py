"""Networks of a user. tests/test_own.py copies this file away from the project and gives it to --model."""

import torch
from torch import nn

from model.adapters import FrameModel


class Mean(nn.Module):
    """A linear layer on the mean over the frames."""

    def __init__(self, classes):
        super().__init__()
        self.scores = nn.Linear(8, classes)

    def forward(self, features):
        return self.scores(features.mean(1))


def encoder():
    return nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def frames(num_classes):
    return FrameModel(encoder(), Mean(num_classes))


def clips():
    return nn.Sequential(nn.Conv3d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))


class Bare(nn.Module):
    """A network with encode and classify alone, whose constructor has a default number of classes."""

    def __init__(self, num_classes=400):
        super().__init__()
        self.encoder, self.head = encoder(), Mean(num_classes)

    def encode(self, clips):
        return self.encoder(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])

    def classify(self, features, lengths=None):
        return self.head(features)


def broken(num_classes):
    network = clips()
    network[4].weight.data.fill_(torch.nan)
    return network


def needy(num_classes, width, depth):
    return clips()


def raising():
    raise KeyError("weights of\nmine")


def leaving():
    raise SystemExit(3)


def text():
    return "a network"


def three():
    return nn.Sequential(clips(), nn.Linear(2, 3))


def vector():
    return nn.Sequential(clips(), nn.Flatten(0))


class OneScore(FrameModel):
    """One score per clip, whose size grows with the pixels."""

    def __init__(self, sigmoid=False):
        super().__init__(encoder(), nn.Sequential(Mean(1), nn.Sigmoid()) if sigmoid else Mean(1))


def logit():
    return OneScore()


def probability():
    return OneScore(sigmoid=True)


def logit_of_clips():
    return nn.Sequential(clips(), nn.Linear(2, 1))
