"""Vision transformers as backbones: an encoder that takes frames of one size, whose tokens stay inside it."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.maxvit import MaxVit
from torchvision.models.vision_transformer import VisionTransformer

from frame_saliency import build_parser
from model import backbones
from model.backbones import BACKBONES, build_backbone, check_frame_size
from model.cnn_lstm import CNNLSTM
from model.contract import check_parts, frames_are_independent
from model.fast.folding import folded
from saliency.fills import background
from saliency.patches import patch_boxes
from saliency.tsr.algorithm import magnitude
from saliency.tsr.factored import FactoredRelevance
from saliency.tsr.literal import LiteralRelevance
from tests.runs import refused, run_command, train_options
from tests.toys import unsettled

TRANSFORMERS = [name for name in models.list_models(module=models) if name.startswith(("vit_", "maxvit"))]


def tiny_vit(side=32):
    return VisionTransformer(side, 8, num_layers=2, num_heads=2, hidden_dim=12, mlp_dim=16)


def tiny_maxvit():
    return MaxVit((56, 56), 8, 7, [8], [1], head_dim=4, stochastic_depth_prob=0.0)


def small_model(monkeypatch, make, side, frames=4):
    """Return a CNN-LSTM whose backbone `make` makes, in float64, and a clip for it."""
    monkeypatch.setattr(models, "get_model", lambda name, weights=None: make())
    torch.manual_seed(0)
    model = unsettled(CNNLSTM(2, "vit_b_16", hidden_size=8, feature_size=6)).double()
    for weight in model.parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=0.3)  # wide enough for the frames to matter
    return model, torch.randn(frames, 3, side, side, dtype=torch.float64)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_sizes_are_checked_without_building(name, monkeypatch, capsys, data_set, tmp_path):
    monkeypatch.setattr(models, "get_model", None)
    assert name in BACKBONES
    check_frame_size(name, 224)
    line = refused(capsys, "main", *train_options(data_set, tmp_path / "run", "--backbone", name))
    assert f"sample_size is 32, but {name} accepts only frames of 224 x 224 pixels; give --sample_size 224" in line
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=f"unknown backbone '{name}_9'; known are: alexnet"):
        check_frame_size(f"{name}_9", 224)
    check_frame_size("resnet18", 32)


@pytest.mark.parametrize(("name", "size"), [("vit_b_16", 768), ("maxvit_t", 512), ("vit_l_32", 1024)])
def test_a_frame_becomes_a_vector(name, size):
    with torch.device("meta"):  # shapes without the arithmetic
        network, found = build_backbone(name)
        assert found == size and network(torch.empty(2, 3, 224, 224)).shape == (2, size)


@pytest.mark.parametrize(("make", "side", "patch"), [(tiny_vit, 32, 4), (tiny_maxvit, 56, 8)])
def test_fast_algorithms_apply(monkeypatch, make, side, patch):
    """A folded model is the same model, and fast TSR with windowed convolutions gives the literal numbers."""
    model, clip = small_model(monkeypatch, make, side)
    check_parts(model)
    assert frames_are_independent(model, clip)
    with torch.no_grad():
        torch.testing.assert_close(folded(model).encode(clip[None]), model.encode(clip[None]))
    boxes, _ = patch_boxes(side, side, patch)
    frames, boxes = torch.arange(4).repeat_interleave(len(boxes)), boxes.repeat(4, 1)
    fast = FactoredRelevance(model, clip, 1, tolerance=0)
    calls = []
    windows = fast.model.windowed.only_windows
    monkeypatch.setattr(fast.model.windowed, "only_windows", lambda chosen: calls.append(chosen) or windows(chosen))
    found, bound = fast.changes(frames, boxes, background(clip))
    exact, _ = LiteralRelevance(clip, magnitude(model, clip, 1)).changes(frames, boxes, background(clip))
    assert calls
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-9 * float(exact.max()))
    assert exact.min() > 0 and bound < 1e-9


def test_from_training_to_maps(monkeypatch, data_set, tmp_path, capsys):
    """The command lines with a small transformer in place of a large one."""
    monkeypatch.setattr(models, "get_model", lambda name, weights=None: tiny_vit())
    monkeypatch.setattr(backbones, "FIXED_SIZES", {"vit_": 32})
    run_command("main", *train_options(data_set, tmp_path / "run", "--backbone", "vit_b_16", "--n_epochs", 1))
    run_command("frame_saliency", "--annotation_path", data_set.annotation, "--video_path", data_set.images,
                "--resume_path", tmp_path / "run" / "best.pth", "--result_path", tmp_path / "maps", "--limit", 1,
                "--method", "grad_cam", "--compare", "gradient", "--tsr", "--tsr_patch", 16, "--sanity", "--no_overlay")
    assert "1 clip explained" in capsys.readouterr().out
    assert build_parser().parse_args(["--method", "grad_cam"]).method == "grad_cam"
