"""Checkpoints: what is written comes back, and what is damaged or hostile is refused in one sentence."""

import dataclasses
import errno
import os
import pickle
import zipfile

import pytest
import torch

from model.checkpoint import ModelInfo, load_model, read_checkpoint, save_checkpoint
from model.cnn_lstm import build_model
from tests.bad_files import Evil
from tests.runs import refused

SMALL = {"backbone": "squeezenet1_1", "hidden_size": 8, "feature_size": 12}


def made(kind="cnnlstm", **options):
    torch.manual_seed(0)
    model = build_model(kind, 2, **{**SMALL, **options}).eval()
    return model, ModelInfo(kind, model.config, ["running", "walking"], 32, 6, [0.4, 0.5, 0.6], [0.1, 0.2, 0.3], 7)


@pytest.fixture
def path(tmp_path):
    save_checkpoint(tmp_path / "best.pth", *made(), history=[{"epoch": 1, "loss": 0.1}])
    return tmp_path / "best.pth"


@pytest.mark.parametrize(("kind", "options"), [
    ("cnnlstm", {"num_layers": 2, "dropout": 0.5}), ("cnnlstm_attn", {"attention_rows": 3, "attention_size": 5}),
    ("cnnlstm_cbam", {"backbone": "resnet18"}),
])
def test_round_trip(tmp_path, kind, options):
    model, info = made(kind, **options)
    clips = torch.randn(1, 3, 3, 32, 32)
    for parameter in model.parameters():
        parameter.data.add_(0.01)
    save_checkpoint(tmp_path / "new" / "best.pth", model.train(), info)
    again, found = load_model(tmp_path / "new" / "best.pth")
    assert found == info
    assert type(again.head) is type(model.head)
    assert again.state_dict().keys() == model.state_dict().keys()
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(clips), model.eval()(clips))
    assert [item.name for item in (tmp_path / "new").iterdir()] == ["best.pth"]


def test_a_checkpoint_is_plain_values_and_tensors(path):
    content = torch.load(path, weights_only=True)
    assert content["classes"] == ["running", "walking"]
    assert content["history"] == [{"epoch": 1, "loss": 0.1}]
    assert {name: content[name] for name in ("sample_size", "sample_duration", "epoch", "mean")} == {
        "sample_size": 32, "sample_duration": 6, "epoch": 7, "mean": [0.4, 0.5, 0.6]
    }
    assert all(isinstance(tensor, torch.Tensor) for tensor in content["state_dict"].values())
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_a_failed_save_keeps_the_file_before(path, monkeypatch):
    before = path.read_bytes()

    def full(content, file):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(path, *made())
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["best.pth"]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_pickle_that_would_run_code_runs_nothing(path, tmp_path, form):
    content = torch.load(path, weights_only=True) | {"history": Evil(tmp_path / "trace")}
    torch.save(content, path) if form == "torch" else path.write_bytes(pickle.dumps(content))
    for read in (read_checkpoint, load_model):
        with pytest.raises(ValueError, match="is not a checkpoint that torch can load safely"):
            read(path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("kept", [0, 1, 100, 5000, -1, -1000])
def test_a_truncated_file(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"bytes\) is not a checkpoint that torch can load safely; it may be damaged"):
        load_model(path)


@pytest.mark.parametrize(("change", "complaint"), [
    ({"config": {**SMALL, "num_classes": 3}, "classes": ["a", "b", "c"]}, "its weights do not fit the model"),
    ({"config": {**SMALL, "num_classes": 2, "hidden_size": 9}}, "its weights do not fit the model it describes"),
    ({"config": {**SMALL, "num_classes": 2, "colour": "red"}}, "its config is .*, which is not valid"),
    ({"config": {**SMALL, "num_classes": 2, "backbone": "resnet9"}}, "unknown backbone 'resnet9'"),
    ({"state_dict": {}}, "its weights do not fit the model it describes"),
    ({"model": "cnnlstm9"}, "contains a model of kind 'cnnlstm9'; known are: cnnlstm"),
])
def test_contents_that_contradict_each_other(path, change, complaint):
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(ValueError, match=complaint) as raised:
        load_model(path)
    assert len(str(raised.value)) < 400 or "known are" in str(raised.value)


@pytest.mark.parametrize("change", [
    {"sample_size": 0}, {"sample_size": -3}, {"sample_size": "32"}, {"sample_size": True},
    {"sample_duration": 0}, {"sample_duration": 2.5},
    {"classes": 5}, {"classes": ["running"]}, {"classes": ["running", 2]}, {"model": ["cnnlstm"]}, {"config": [1]},
    {"config": {**SMALL, "num_classes": 2, "backbone_weights": "/etc/passwd"}}, {"mean": [0.5]}, {"mean": "abc"},
    {"mean": [0.5, 0.5, -10**400]}, {"mean": [0.5, 0.5, float("nan")]},
    {"std": [0.0, 1.0, 1.0]}, {"std": [float("nan")] * 3},
])
def test_facts_that_cannot_be(path, change):
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(ValueError, match=f"its {next(iter(change))} is .*, which is not valid"):
        load_model(path)


@pytest.mark.parametrize("missing", ["state_dict", "format", "classes", "sample_size", "mean", "config"])
def test_a_file_that_lacks_a_part(path, missing):
    content = torch.load(path, weights_only=True)
    del content[missing]
    torch.save(content, path)
    with pytest.raises(ValueError, match="is not a checkpoint of this project: it contains"):
        load_model(path)


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(2), 5, {1: 2}])
def test_other_contents(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"give one written by main\.py"):
        load_model(tmp_path / "other.pth")


def test_no_file(tmp_path):
    for place in (tmp_path / "nowhere.pth", tmp_path):
        with pytest.raises(FileNotFoundError, match="no checkpoint at"):
            load_model(place)


def test_old_checkpoints_without_later_fields_load(path):
    content = torch.load(path, weights_only=True)
    del content["epoch"], content["assumed"]
    torch.save(content, path)
    _, info = load_model(path)
    assert (info.epoch, info.assumed) == (0, {})
    assert dataclasses.is_dataclass(info)


@pytest.mark.parametrize(("name", "value"), [("hidden_size", 10**6), ("num_layers", 10**9), ("feature_size", 10**8)])
def test_sizes_that_a_checkpoint_claims_take_no_memory(trained, tmp_path, capsys, name, value):
    content = torch.load(trained / "best.pth", weights_only=True)
    torch.save(content | {"config": content["config"] | {name: value}}, tmp_path / "big.pth")
    line = refused(capsys, "inference", "--resume_path", tmp_path / "big.pth", "--video", tmp_path / "none.avi")
    assert "big.pth" in line


def test_a_failed_save_of_a_checkpoint_leaves_nothing(tmp_path, trained, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path / "best.pth", *load_model(trained / "best.pth"))
    assert not list(tmp_path.iterdir())
