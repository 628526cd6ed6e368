"""Networks that people bring: outputs, batches, state, chance, precision, channels, wrappers, sizes, files, scores."""

import copy
import subprocess
import sys
from argparse import Namespace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import dropout
from torchvision.models.video.mvit import MSBlockConfig, MViT

from model import state_dicts
from model.adapters import GREY, ClipModel, FrameModel
from model.contract import class_scores, fitted
from model.own import load_own_weights
from model.state_dicts import read_safely
from runtime.errors import UserError
from saliency.explain import explain
from saliency.gradient import frame_gradient
from tests.runs import ROOT, data_options, refused, run_command, saved, table
from tests.tiny_data import CLIP, DURATION, SIZE

CLASSES = 3


class Steps(nn.Module):
    """Clips (B, T, C, H, W) -> what `output` makes of class scores per step (B, T, CLASSES)."""

    def __init__(self, output=lambda scores: scores.mean(1), channels=3):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.output = nn.Linear(channels, CLASSES), output

    def forward(self, clips):
        return self.output(self.layer(clips.mean((3, 4)).sin()))


class Recurrent(nn.Module):
    """Features (B, T, 6) -> scores, through a recurrent layer that may take the batch for time."""

    def __init__(self, kind, **options):
        super().__init__()
        self.recurrent = kind(6, 4, **options)
        self.scores = nn.Linear(8 if options.get("bidirectional") else 4, CLASSES)

    def forward(self, features):
        return self.scores(self.recurrent(features)[0][:, -1])


def encoder(channels=3):
    return nn.Sequential(nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def frame_model(channels=3):
    torch.manual_seed(0)
    return FrameModel(encoder(channels), Recurrent(nn.GRU, batch_first=True)).eval()


@pytest.fixture
def clip():
    torch.manual_seed(1)
    return torch.randn(4, 3, 12, 12)


@pytest.mark.parametrize(("output", "told"), [
    (lambda scores: {"logits": scores.mean(1), "loss": None}, "'logits'"),
    (lambda scores: SimpleNamespace(logits=scores.mean(1)), "'logits'"),
    (lambda scores: (scores.repeat(1, 1, 3), scores.mean(1), [scores]), "1"),
    (lambda scores: {"hidden": scores.repeat(1, 1, 3), "out": scores.mean(1)}, "'out'"),
])
def test_the_scores_are_found_in_what_a_network_returns(clip, capsys, output, told):
    network, plain = Steps(output), Steps()
    found = explain(fitted(network, clip, CLASSES), clip, 1, ["gradient", "occlusion_frame"])
    assert f"the scores are {told} in what the network returns" in capsys.readouterr().out
    np.testing.assert_allclose(found.maps["gradient"], explain(plain, clip, 1, ["gradient"]).maps["gradient"])
    with pytest.raises(UserError, match=r"returned .*; it must return class scores"):
        fitted(Steps(lambda scores: {"hidden": scores.repeat(1, 1, 3)}), clip, CLASSES)


@pytest.mark.parametrize("step", [None, 1, 3])
def test_scores_per_step(clip, step):
    network, head = Steps(lambda scores: scores), nn.Linear(6, CLASSES)
    for model, every in ((network, network(clip[None])), (FrameModel(encoder(), head), None)):
        every = head(model.encode(clip[None])) if every is None else every
        expected = every[:, -1 if step is None else step - 1]
        torch.testing.assert_close(fitted(model, clip, CLASSES, step)(clip[None]), expected)
        with pytest.raises(UserError, match="--step 9 was given, but the network has scores of 4 steps"):
            fitted(model, clip, CLASSES, 9)
    with pytest.raises(UserError, match="--step 2 was given, but the network returned a tensor of shape"):
        fitted(Steps(), clip, CLASSES, 2)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_recurrent_layer_that_takes_the_batch_for_time_is_found(clip, kind, bidirectional):
    model = FrameModel(encoder(), Recurrent(kind, bidirectional=bidirectional))
    told = rf"so the clips of a batch mix; head\.recurrent is an nn\.{kind.__name__} without batch_first=True"
    with pytest.raises(UserError, match=told):
        explain(model, clip, 1, ["gradient"])
    good = Recurrent(kind, bidirectional=bidirectional, batch_first=True)
    assert explain(FrameModel(encoder(), good), clip, 1, ["gradient"]).maps["gradient"].any()


class Remembering(Steps):
    """A network that goes on from the state of the call before, as a recurrent layer may do."""

    def __init__(self):
        super().__init__()
        self.gru, self.state = nn.GRU(3, CLASSES, batch_first=True), None
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, clips):
        fits = self.state is not None and self.state.shape[1] == len(clips)
        states, self.state = self.gru(clips.mean((3, 4)), self.state if fits else None)
        self.calls += 1
        return states[:, -1]


def test_a_state_that_is_kept_is_refused_and_restored(clip):
    model = Remembering()
    with pytest.raises(UserError, match="two equal calls give different scores, so the network keeps something"):
        explain(model, clip, 1, ["gradient"])
    assert model.state is None and model.calls.item() == 0 and model.training


def test_a_script_of_pytorch_is_explained_as_its_source(clip):
    network = nn.Sequential(nn.Flatten(), nn.Linear(4 * 3 * 12 * 12, 2))
    expected = explain(network, clip, 1, ["gradient", "occlusion_frame"]).maps
    found = explain(torch.jit.script(network), clip, 1, ["gradient", "occlusion_frame"]).maps
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)


def test_chance_in_eval_mode_is_refused_and_the_seed_is_restored(clip):
    network = Steps(lambda scores: dropout(scores, 0.5).mean(1))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with pytest.raises(UserError, match="drawn at random in eval mode"):
        fitted(network, clip)
    assert torch.rand(1).equal(expected)
    fitted(nn.Sequential(nn.Dropout(0.5), Steps()), clip)  # in training mode, as it was given


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("own_clip", [False, True])
def test_half_precision_is_explained_on_a_copy_in_float32(clip, precision, own_clip):
    model = frame_model().to(precision)
    clip = clip.to(precision)
    with pytest.warns(UserWarning, match=f"are in {precision}; a copy of it in torch.float32 is explained"):
        found = explain(model, clip if own_clip else clip.float(), 1, ["gradient", "tsr", "occlusion_frame"],
                        options={"tsr": {"patch": 6}})
    expected = explain(copy.deepcopy(model).float(), clip.float(), 1, ["gradient"])
    np.testing.assert_allclose(found.maps["gradient"], expected.maps["gradient"])
    assert all(np.isfinite(values).all() for values in found.maps.values()) and found.maps["tsr"].any()
    assert {weight.dtype for weight in model.parameters()} == {precision}


@pytest.mark.parametrize("model", [frame_model(1), ClipModel(nn.Sequential(
    nn.Conv3d(1, CLASSES, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten()), "BCTHW")])
def test_a_network_of_one_channel_gets_grey_frames(clip, model):
    with pytest.warns(UserWarning, match="reads one channel, so it gets the grey values"):
        grey = fitted(model, clip)
    shown = (clip * torch.tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(grey(clip[None]), model(shown[None]))
    expected = torch.tensor(GREY).view(1, 3, 1, 1) * frame_gradient(model, shown, 1)
    torch.testing.assert_close(frame_gradient(grey, clip, 1), expected)
    found = explain(grey, clip, 1, ["tsr"], options={"tsr": {"patch": 6, "step": "time"}})
    assert found.maps["tsr"].shape == (4, 12, 12) and np.isfinite(found.maps["tsr"]).all()


WRAPPED = """
import torch
from torch import nn
from model.adapters import FrameModel
from model.contract import fitted
from saliency.explain import explain
from tests.test_any_network import frame_model

torch.distributed.init_process_group("gloo", init_method="file://{}", rank=0, world_size=1)
model, clip = frame_model(), torch.randn(4, 3, 12, 12)
for wrapped in (nn.DataParallel(model), nn.parallel.DistributedDataParallel(model), torch.compile(model)):
    assert isinstance(fitted(wrapped, clip), FrameModel), type(wrapped)
    assert explain(wrapped, clip, 1, ["interval"]).maps
torch.distributed.destroy_process_group()
"""


def test_wrappers_of_pytorch_are_taken_off(tmp_path):
    """In a process of its own, because a process with their threads cannot be forked."""
    program = [sys.executable, "-c", WRAPPED.format(tmp_path / "store")]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_size_or_the_layout_that_a_network_wants_is_named(clip):
    torch.manual_seed(0)
    block = MSBlockConfig(1, 8, 8, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 2, 2])
    network = MViT((128, 128), 8, [block, block], residual_pool=True, residual_with_cls_embed=False, rel_pos_embed=True,
                   proj_after_attn=True, num_classes=CLASSES)
    told = (r"fails on a clip of 8 frames of 112 x 112 pixels .*; it reads clips of 8 frames of 128 x 128 pixels; give "
            "--sample_duration 8 --sample_size 128")
    with pytest.raises(UserError, match=told):
        fitted(network, torch.randn(8, 3, 112, 112), CLASSES, layout="BCTHW")
    three = nn.Sequential(nn.Conv3d(3, CLASSES, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    with pytest.raises(UserError, match=r"12 x 12 pixels in the layout BCTHW; give .* --layout BCTHW"):
        explain(three, clip, 1, ["gradient"])


class Options:
    """An object that a training script pickles beside the weights."""


def test_checkpoints_of_lightning(clip, tmp_path, capsys):
    trained, model = frame_model(), frame_model()
    state = {f"model.{name}": weight + 1 for name, weight in trained.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": Namespace(lr=0.1), "epoch": 3}, tmp_path / "lightning.ckpt")
    load_own_weights(model, tmp_path / "lightning.ckpt")
    assert model.head.scores.bias.equal(trained.head.scores.bias + 1)
    assert "lightning.ckpt begin with model., which is left out" in capsys.readouterr().out
    torch.save({"state_dict": state, "hyper_parameters": Options()}, tmp_path / "unsafe.ckpt")
    with pytest.raises(UserError, match=r"contains objects of tests\.test_any_network\.Options, whose .* convert it by "
                                        "`content = torch.load") as caught:
        load_own_weights(model, tmp_path / "unsafe.ckpt")
    first, second = str(caught.value).split("`")[1::2]
    exec(f"{first}\n{second.replace('weights.pth', str(tmp_path / 'weights.pth'))}", {"torch": torch})
    load_own_weights(model, tmp_path / "weights.pth")
    torch.save({f"other.{name}": weight for name, weight in list(state.items())[1:]}, tmp_path / "less.pth")
    with pytest.raises(UserError, match="lacks 1 weights of the network"):
        load_own_weights(model, tmp_path / "less.pth")


def test_safetensors(tmp_path, monkeypatch):
    model, path = frame_model(), tmp_path / "model.safetensors"
    path.write_bytes(b"no tensors")
    monkeypatch.setattr(state_dicts, "safetensors", None)
    with pytest.raises(UserError, match="of the package safetensors, which is not installed; run `pip install"):
        read_safely(path)
    state = {name: weight + 1 for name, weight in model.state_dict().items()}
    reader = SimpleNamespace(SafetensorError=ValueError, torch=SimpleNamespace(load_file=lambda path: state))
    monkeypatch.setattr(state_dicts, "safetensors", reader)
    load_own_weights(model, path)
    assert model.head.scores.bias.equal(state["head.scores.bias"])


def test_a_real_file_of_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch", reason="the optional package safetensors is not installed")
    model = frame_model()
    state = {name: weight + 1 for name, weight in model.state_dict().items()}
    safetensors.save_file(state, tmp_path / "model.safetensors")
    load_own_weights(model, tmp_path / "model.safetensors")
    assert model.head.scores.bias.equal(state["head.scores.bias"])
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="is damaged"):
        read_safely(tmp_path / "model.safetensors")


def test_what_is_explained_may_be_a_margin_a_difference_or_any_function(clip):
    model = frame_model()
    scores = class_scores(model, clip[None])[0]
    other = int(scores[1:].argmax()) + 1

    def gradient(function):
        frames = clip.clone().requires_grad_(True)
        return torch.autograd.grad(function(class_scores(model, frames[None])), frames)[0]

    for score, function in (("margin", lambda scores: scores[0, 0] - scores[0, other]),
                            ("difference:2", lambda scores: scores[0, 0] - scores[0, 2]),
                            (lambda scores: scores.square().sum(1), lambda scores: scores.square().sum())):
        torch.testing.assert_close(frame_gradient(model, clip, 0, score), gradient(function))
        found = explain(model, clip, 0, ["gradient", "shapley_frame", "tsr"], score, options={"tsr": {"patch": 6}})
        assert found.maps["tsr"].any()
    with pytest.raises(UserError, match="unknown score 'difference:0'; known are: logit, probability, margin, and"):
        frame_gradient(model, clip, 0, "difference:0")


def test_hugging_face(clip):
    transformers = pytest.importorskip("transformers", reason="the test-only package transformers is not installed")
    torch.manual_seed(0)
    config = transformers.VideoMAEConfig(image_size=16, patch_size=8, num_frames=4, hidden_size=8, num_hidden_layers=1,
                                         num_attention_heads=2, intermediate_size=8, num_labels=CLASSES)
    network = transformers.VideoMAEForVideoClassification(config).eval()
    found = explain(network, torch.randn(4, 3, 16, 16), 1, ["gradient", "occlusion_frame"])
    assert found.maps["gradient"].any()
    with pytest.raises(UserError, match="the network fails on a clip of 4 frames of 12 x 12 pixels"):
        explain(transformers.VideoMAEForVideoClassification(config), clip, 1, ["gradient"])


@pytest.fixture
def nets(tmp_path):
    """A file of a user with networks of this page."""
    path = tmp_path / "nets.py"
    path.write_text("from tests.own_nets import frames\nfrom tests.test_any_network import Recurrent, Steps, encoder\n"
                    "from model.adapters import FrameModel\nfrom torch import nn\n\n\n"
                    "class Logits(Steps):\n    def __init__(self):\n        super().__init__(lambda s: {'logits': s})\n"
                    "def mixing():\n    return FrameModel(encoder(), Recurrent(nn.GRU))\n\n\n"
                    "def half():\n    return frames(2).half()\n")
    return path


def test_on_the_command_line(data_set, nets, tmp_path, capsys):
    """Scores per step in a dict, with a difference of two classes; a mixed batch; half precision."""
    def options(function, result, *more):
        return [*data_options(data_set), "--model", f"{nets}:{function}", "--sample_size", SIZE, "--sample_duration",
                DURATION, "--clips", CLIP, "--result_path", tmp_path / result, *more]

    three = ["--video", data_set.video, "--classes", "running", "walking", "waving"]
    video = [word for word in options("Logits", "out", *three) if word not in ("--clips", CLIP)]
    run_command("inference", *video, "--step", 2)
    assert "the scores are 'logits' of step 2 in what the network returns" in capsys.readouterr().out
    assert len(table(tmp_path / "out" / "predictions.csv")) == 2
    video[video.index(tmp_path / "out")] = tmp_path / "maps"
    run_command("frame_saliency", *video, "--score", "difference", "--target", "walking", "--against", "waving",
                "--limit", 1, "--no_overlay")
    assert saved(tmp_path / "maps" / "video" / "walk_00001")["gradient"].any()
    assert "give two different classes of running, walking, waving" in refused(
        capsys, "frame_saliency", *video, "--score", "difference", "--overwrite")
    assert "add --score difference" in refused(capsys, "frame_saliency", *video, "--against", "waving", "--overwrite")
    line = refused(capsys, "inference", *options("mixing", "mixed", "--classes", "a", "b", "c"))
    assert "nets.py" in line and "a batch mix; head.recurrent is an nn.GRU without batch_first=True" in line
    run_command("frame_saliency", *options("half", "half", "--score", "margin", "--no_overlay"))
    assert "are in torch.float16; a copy of it in torch.float32 is explained" in capsys.readouterr().err
    assert np.isfinite(saved(tmp_path / "half" / "walking" / CLIP)["gradient"]).all()
