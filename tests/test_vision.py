"""model/vision.py: torchvision and models without weights, both without PyTorch's compiler."""

import subprocess
import sys

import torch

from model.backbones import build_backbone
from model.vision import without_memory
from tests.runs import ROOT

COMPILER = "print(sorted(name for name in sys.modules if name.startswith('torch._dynamo')))"
LOADED = """
import sys
from model.checkpoint import load_model
from opts import PRETRAINED
load_model(PRETRAINED)
"""


def test_a_model_is_loaded_without_the_compiler():
    program = [sys.executable, "-c", LOADED + COMPILER]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["[]"], ended.stderr


def test_a_network_without_memory_has_the_shapes_of_a_real_one():
    with without_memory():
        network, size = build_backbone("squeezenet1_1")
    real, same_size = build_backbone("squeezenet1_1")
    assert size == same_size and all(weight.is_meta for weight in network.state_dict().values())
    assert {name: weight.shape for name, weight in network.state_dict().items()} == {
        name: weight.shape for name, weight in real.state_dict().items()}
    assert not torch.empty(1).is_meta and torch.nn.init.normal_(torch.zeros(9)).abs().sum() > 0  # after the block
