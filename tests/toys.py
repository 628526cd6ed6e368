"""Models small enough to check by hand. Those with `frames_independent` follow model/contract.py."""

import numpy as np
import pytest
import torch
from torch import nn

from model.cnn_lstm import CNNLSTM, build_model
from model.heads import HEADS, POOLINGS
from saliency.flow import moving_threshold
from saliency.sanity import Example

LENGTH, SIDE = 5, 40  # of the clip of `sensitive`
HEAD_CASES = [  # (head, options): every head with its default, and every pooling
    *(pytest.param(name, {}, id=name) for name in HEADS), pytest.param("bilstm", {"pooling": "mean"}, id="bilstm-mean"),
    *(pytest.param("lstm", {"pooling": kind}, id=f"lstm-{kind}") for kind in POOLINGS if kind != "attention")]
SMALL = {"feature_size": 6, "hidden_size": 8, "classifier_size": 4}  # sizes of a CNNLSTM that is quick to build


class Linear(nn.Module):
    """scores[k] = sum over frames, channels and pixels of w[k] x; the features are the pixels of the frame."""

    def __init__(self, frames=3, size=5, classes=2):
        super().__init__()
        torch.manual_seed(0)
        self.w = nn.Parameter(torch.randn(classes, frames, 3 * size * size, dtype=torch.float64))

    def encode(self, clips):
        return clips.flatten(2)  # (B, T, C*H*W)

    def classify(self, features, lengths=None):
        return torch.einsum("btd,ktd->bk", features, self.w)

    def forward(self, clips):
        return self.classify(self.encode(clips))


class OneFrame(nn.Module):
    """P(class 0) is the sigmoid of the summed pixels of frame `frame`."""

    def __init__(self, frame=3, gain=5.0):
        super().__init__()
        self.frame, self.gain = frame, gain
        self.weight = nn.Parameter(torch.ones(1))

    def encode(self, clips):
        return clips.sum((2, 3, 4))[..., None] * self.weight  # (B, T, 1)

    def classify(self, features, lengths=None):
        value = self.gain * features[:, self.frame]  # (B, 1)
        return torch.cat([value, torch.zeros_like(value)], 1)

    def forward(self, clips):
        return self.classify(self.encode(clips))


class MeanOfFrames(OneFrame):
    """A model like OneFrame whose scores depend on the mean over all frames, through a sigmoid of its own."""

    def classify(self, features, lengths=None):
        return torch.cat([features.sigmoid().mean(1), -features.tanh().mean(1)], 1)


class MeanOfBackbone(nn.Module):
    """A convolution, batch norm and a linear layer as the backbone, and a linear layer on the mean over time.

    The gradient of a class is the weights: a map that depends on the classifier and the backbone, and on no pixel.
    """

    frames_independent = True

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(576, 8))
        self.classifier = nn.Linear(8, 2)

    def encode(self, clips):
        return self.backbone(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])

    def classify(self, features, lengths=None):
        return self.classifier(features.mean(1))

    def forward(self, clips):
        return self.classify(self.encode(clips))

    def head_modules(self):
        return [("classifier", self.classifier)]

    def backbone_modules(self):
        return [("backbone", self.backbone)]


class Gru(MeanOfBackbone):
    """A model whose recurrent layer is a GRU, under a name that no module of the project has."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(8, 8, batch_first=True)

    def classify(self, features, lengths=None):
        return self.classifier(self.gru(features)[0][:, -1])

    def head_modules(self):
        return [("classifier", self.classifier), ("gru", self.gru)]


class SmoothModel(nn.Module):
    """A smooth encoder and a head whose gradient depends on all frames."""

    frames_independent = True

    def __init__(self, frames_ignored=(), linear=False):
        super().__init__()
        self.ignored, self.linear = list(frames_ignored), linear
        bend = nn.Identity() if linear else nn.Tanh()
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 5, stride=3), bend, nn.Flatten(), nn.LazyLinear(8))
        self.lstm = nn.LSTM(8, 12, batch_first=True)
        self.scores = nn.Linear(12, 3)

    def encode(self, clips):
        return self.encoder(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])

    def classify(self, features, lengths=None):
        if self.linear:
            weights = torch.arange(1, features.shape[1] + 1, dtype=features.dtype)
            return torch.einsum("btd,t->bd", features, weights)[:, :3]
        kept = [t for t in range(features.shape[1]) if t not in self.ignored]
        return self.scores(self.lstm(features[:, kept])[0][:, -1])

    def forward(self, clips):
        return self.classify(self.encode(clips))

    def head_modules(self):
        return [("scores", self.scores), ("lstm", self.lstm)]

    def backbone_modules(self):
        return [("encoder", self.encoder)]


class Trainable(nn.Module):
    """A frozen part with batch norm and a trained part with dropout, behind the methods of a CNNLSTM."""

    frames_independent = True

    def __init__(self):
        super().__init__()
        self.backbone = nn.BatchNorm1d(4)
        self.projection = nn.Linear(4, 8)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, 2))

    def describe(self, clips):
        return self.backbone(clips.flatten(0, 1).mean((2, 3))).unflatten(0, clips.shape[:2])

    def project(self, vectors):
        return self.projection(vectors).relu()

    def encode(self, clips):
        return self.project(self.describe(clips))

    def classify(self, features, lengths=None):
        return self.classifier(features.mean(1))

    def forward(self, clips):
        return self.classify(self.encode(clips))

    def head_modules(self):
        return [("classifier", self.classifier), ("projection", self.projection)]

    def backbone_modules(self):
        return [("backbone", self.backbone)]


def unsettled(model):
    """Return the model in eval mode, with batch norms that do something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return model.eval()


def with_running_statistics(model):
    """Return the model with running statistics, in its batch norms, that are not those of a new model."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model


def cnn_lstm(dtype=torch.float32, shape=(4, 3, 32, 32), seed=1, **options):
    """Return a ResNet-18 with an LSTM, in eval mode, and a random clip for it."""
    torch.manual_seed(seed)
    model = CNNLSTM(2, "resnet18", hidden_size=16, feature_size=24, **options).to(dtype)
    return with_running_statistics(model).eval(), torch.randn(shape, dtype=dtype)


def with_head(head, **options):
    """Return a CNN-LSTM in double precision and eval mode, with a tiny smooth backbone, and a random clip for it.

    The head `lstm` reads features and its last state is taken, unless the options say otherwise.
    """
    torch.manual_seed(2)
    plain = {"reads": "features", "pooling": "last"} if head == "lstm" else {}
    model = CNNLSTM(2, "squeezenet1_1", head=head, **(SMALL | {"classifier_size": 16} | plain | options))
    model.backbone = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.Tanh(), nn.Flatten(),
                                   nn.Linear(8 * 4 * 4, model.backbone_size))
    return model.double().eval(), torch.randn(6, 3, 17, 17, dtype=torch.float64)


def sensitive():
    """Return a CNN-LSTM in double precision whose scores depend on all frames, and a random clip for it."""
    torch.manual_seed(4)
    model = CNNLSTM(2, "squeezenet1_1", hidden_size=8, feature_size=12).double().eval()
    for weight in [*model.head.lstm.parameters(), model.projection.weight]:
        nn.init.uniform_(weight, -0.5, 0.5)  # wide enough for the frames to matter
    return model, torch.randn(LENGTH, 3, SIDE, SIDE, dtype=torch.float64)


def smooth(frames=4, size=17, dtype=torch.float64, **options):
    """Return a SmoothModel in eval mode and a random clip for it."""
    torch.manual_seed(1)
    model = SmoothModel(**options).to(dtype).eval()
    clip = torch.randn(frames, 3, size, size, dtype=dtype)
    model(clip[None])  # which makes the weights of its lazy layer
    return model, clip


def example(frames=3, size=12):
    """Return an Example of saliency.sanity: a random clip, class 1, random flow."""
    flow = np.random.default_rng(0).random((frames - 1, size, size)) * 2
    return Example(torch.randn(frames, 3, size, size), 1, flow)


def score_of(model, clip, target, kind="logit"):
    """Return the score of a class as a number."""
    with torch.no_grad():
        scores = model(clip[None])[0]
    return (scores.softmax(0) if kind == "probability" else scores)[target].item()


def attending(**changes):
    """Return a small CNN-LSTM with input-cell attention, in eval mode."""
    torch.manual_seed(0)
    sizes = SMALL | {"attention_rows": 3, "attention_size": 4}
    return build_model("cnnlstm_attn", 2, "squeezenet1_1", **(sizes | changes)).eval()


def measured_clip(length=6, size=10, seed=0):
    """Saliency, flow and masks whose references are neither empty nor full, apart from flow in frame 2, which rests."""
    rng = np.random.default_rng(seed)
    flow = moving_threshold(size) * rng.gamma(1, size=(length - 1, size, size))
    flow[2] = 0.5 * moving_threshold(size)
    masks = rng.random((length, size, size)) < 0.3
    masks[length - 1] = False
    return rng.random((length, size, size)), flow, masks
