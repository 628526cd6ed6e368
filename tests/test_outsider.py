"""An outsider explains networks of their own with the public functions alone, each in under twenty lines.

The three examples define a GRU on a ResNet-34, a transformer on a ResNet-18, and torchvision's r2plus1d_18.
"""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from data.video import read_video
from model.adapters import ClipModel, FrameModel
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, normalise
from saliency.explain import explain
from saliency.methods import METHODS
from tests.runs import KTH
from tests.tiny_data import moving_block

FIXED = [name for name, method in METHODS.items() if not method.needs_encode]
OPTIONS = {
    "tsr": {"step": "time"}, "smoothgrad": {"samples": 2}, "smoothgrad_x_difference": {"samples": 2},
    "integrated_gradients": {"points": 2}, "occlusion_block": {"frames": 3, "pixels": 20}, "freeze": {"frames": 2},
}


def explain_gru(clip):
    class GruHead(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.scores = nn.GRU(512, 32, batch_first=True), nn.Linear(32, 2)

        def forward(self, features):
            return self.scores(self.gru(features)[0][:, -1])

    encoder = models.resnet34(weights=None)
    encoder.fc = nn.Identity()
    return explain(FrameModel(encoder, GruHead()), clip, 1, list(METHODS), options=OPTIONS)


def explain_transformer(clip):
    class TransformerHead(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(512, 4, 64, batch_first=True)
            self.scores = nn.Linear(512, 2)

        def forward(self, features):
            return self.scores(self.layer(features).mean(1))

    encoder = models.resnet18(weights=None)
    encoder.fc = nn.Identity()
    return explain(FrameModel(encoder, TransformerHead()), clip, 1, list(METHODS), options=OPTIONS)


def explain_3d_network(clip):
    network = models.video.r2plus1d_18(weights=None, num_classes=2)
    return explain(ClipModel(network, layout="BCTHW"), clip, 1, FIXED, options=OPTIONS)


EXAMPLES = {explain_gru: METHODS, explain_transformer: METHODS, explain_3d_network: FIXED}


@pytest.fixture(scope="module")
def clips():
    """Frames (T, H, W, 3) of a drawn clip, and of a real one where there are videos."""
    found = {"drawn": moving_block(4, 1, 4, 32)[0]}
    for path in sorted(KTH.glob("kth_data/walking/*.avi"))[:1]:
        found["real"] = read_video(path, size=(40, 40))[0][20:26]
    return found


@pytest.mark.filterwarnings("ignore:ClipModel has no encode and classify, so TSR")
@pytest.mark.parametrize("kind", ["drawn", "real"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_outsider_explains_a_clip(example, kind, clips):
    if kind not in clips:
        pytest.skip(f"no videos in {KTH}")
    torch.manual_seed(0)
    found = example(normalise(np.asarray(clips[kind]), IMAGENET_MEAN, IMAGENET_STD))
    assert list(found.maps) == list(EXAMPLES[example])
    for name, values in found.maps.items():
        assert values.shape == clips[kind].shape[:3] and np.isfinite(values).all(), name
        assert values.max() > 0 or found.evidence[name].min() < 0, name


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_has_less_than_twenty_lines(example):
    assert len(inspect.getsource(example).splitlines()) < 20


def test_only_public_names_are_used():
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    imported = [name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names for name in f"{getattr(node, 'module', '')}.{alias.name}".split(".")]
    read = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert [name for name in (*imported, *read) if name.startswith("_") and name != "__init__"] == []
