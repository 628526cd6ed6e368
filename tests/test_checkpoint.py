"""Checkpoints: what is written comes back, and what is damaged or hostile is refused in one sentence."""

import pickle

import pytest
import torch

from model.checkpoint import ModelInfo, load_model, read_checkpoint, save_checkpoint
from model.cnn_lstm import build_model
from tests.bad_files import Evil

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


@pytest.mark.parametrize("kept", [0, 100, -1000])
def test_a_truncated_file(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"bytes\) is not a checkpoint that torch can load safely; it may be damaged"):
        load_model(path)


@pytest.mark.parametrize(("change", "complaint"), [
    ({"config": {**SMALL, "num_classes": 3}, "classes": ["a", "b", "c"]}, r"do not fit the model .* of another shape"),
    ({"config": {**SMALL, "num_classes": 2, "hidden_size": 9}}, "do not fit the model that it describes: it lacks"),
    ({"config": {**SMALL, "num_classes": 2, "colour": "red"}}, "it does not describe a model .*colour"),
    ({"config": {**SMALL, "num_classes": 2, "backbone": "resnet9"}}, "unknown backbone 'resnet9'"),
    ({"config": {**SMALL, "num_classes": 2, "num_layers": 10**9}}, "its config is .*, which is not valid"),
    ({"state_dict": {}}, "do not fit the model that it describes: it lacks"),
    ({"model": "cnnlstm9"}, "its model is 'cnnlstm9', which is not valid"),
    ({"sample_size": -3}, "its sample_size is"), ({"sample_duration": 2.5}, "its sample_duration is"),
    ({"classes": ["running"]}, "its classes is"), ({"config": [1]}, "its config is"), ({"mean": "abc"}, "its mean is"),
    ({"mean": [0.5, 0.5, float("nan")]}, "its mean is"), ({"std": [0.0, 1.0, 1.0]}, "its std is"),
])
def test_contents_that_contradict_each_other(path, change, complaint):
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(ValueError, match=complaint):
        load_model(path)


@pytest.mark.parametrize("missing", ["state_dict", "format", "config"])
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


def test_sizes_that_a_checkpoint_claims_take_no_memory(path):
    content = torch.load(path, weights_only=True)
    torch.save(content | {"config": content["config"] | {"hidden_size": 10**6}}, path)
    with pytest.raises(ValueError, match="of another shape"):
        load_model(path)
