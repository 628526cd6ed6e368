"""Weights in files from elsewhere: prefixes, nesting, types, devices and values of NumPy."""

import pickle
import zipfile

import numpy as np
import pytest
import torch

from model.backbones import build_backbone
from model.checkpoint import ModelInfo, load_model, read_checkpoint, start_from
from model.cnn_lstm import CNNLSTM
from model.state_dicts import NESTED, SAFE, plain_names, read_safely, tensors_of
from tests.bad_files import Evil

PREFIXES = ["module.", "module.module._orig_mod._orig_mod."]


@pytest.fixture(scope="module")
def own():
    """A model of this project and the content of its checkpoint."""
    torch.manual_seed(0)
    model = CNNLSTM(2, "squeezenet1_1", feature_size=4, hidden_size=3, classifier_size=2).eval()
    info = ModelInfo("cnnlstm", model.config, ["a", "b"], 32, 4, [0.0] * 3, [1.0] * 3)
    return model, {"format": 1, "state_dict": model.state_dict(), **vars(info)}


@pytest.fixture(scope="module")
def clips():
    torch.manual_seed(1)
    return torch.randn(2, 3, 3, 32, 32)


def scores_of(model, clips):
    with torch.no_grad():
        return model(clips)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_wrappers_are_removed(own, clips, tmp_path, prefix):
    model, content = own
    state = {prefix + name: weight for name, weight in content["state_dict"].items()}
    torch.save(content | {"state_dict": state}, tmp_path / "own.pth")
    assert scores_of(load_model(tmp_path / "own.pth")[0], clips).equal(scores_of(model, clips))
    assert read_checkpoint(tmp_path / "own.pth")["state_dict"].keys() == model.state_dict().keys()
    network, _ = build_backbone("squeezenet1_1", tmp_path / "own.pth")
    assert network.features[0].weight.equal(model.backbone.features[0].weight)
    other = CNNLSTM(2, "squeezenet1_1", feature_size=4, hidden_size=3, classifier_size=2).eval()
    assert start_from(tmp_path / "own.pth", other, ["a", "b"])
    assert scores_of(other, clips).equal(scores_of(model, clips))


def test_prefixes_inside_names_and_names_that_would_collide():
    weight = torch.zeros(1)
    assert list(plain_names({"backbone._orig_mod.conv.weight": weight, "n_averaged": weight})) == [
        "backbone.conv.weight", "n_averaged"]
    assert list(plain_names({"module.a": weight, "a": weight, "module.b": weight})) == ["module.a", "a", "b"]
    assert list(plain_names({"modules.a": weight, "net.module.a": weight})) == ["modules.a", "net.module.a"]


@pytest.mark.parametrize("name", NESTED[:3])
def test_weights_are_found_under_the_usual_names(name):
    state = {"module.conv.weight": torch.zeros(1), "version": 3}
    for content in ({name: state, "epoch": torch.tensor(3)}, {"model": {name: state}}, {name: {"state_dict": state}}):
        assert list(tensors_of(content)) == ["conv.weight"]


def test_weights_themselves_come_before_their_average_and_loops_end():
    first, average = torch.zeros(1), torch.ones(1)
    assert tensors_of({"ema": {"a": average}, "model": {"a": first}})["a"] is first
    assert tensors_of({"model": {}, "ema": {"a": average}})["a"] is average
    endless = {}
    endless["model"] = endless
    assert tensors_of(endless) == {} and tensors_of([1]) == {} and tensors_of({1: first}) == {"1": first}


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_other_precisions_become_float32(own, clips, tmp_path, kind):
    model, content = own
    torch.save(content | {"state_dict": {name: weight.to(kind) for name, weight in content["state_dict"].items()}},
               tmp_path / "own.pth")
    loaded, _ = load_model(tmp_path / "own.pth")
    assert {weight.dtype for weight in loaded.state_dict().values()} == {torch.float32}
    wanted = CNNLSTM(**model.config).eval()
    wanted.load_state_dict({name: weight.to(kind).float() for name, weight in model.state_dict().items()})
    assert scores_of(loaded, clips).equal(scores_of(wanted, clips))


def test_a_file_saved_on_a_gpu_loads_without_one(own, clips, tmp_path, monkeypatch):
    model, content = own
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:7")
        torch.save(content, tmp_path / "own.pth")
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(tmp_path / "own.pth", weights_only=True)
    assert scores_of(load_model(tmp_path / "own.pth")[0], clips).equal(scores_of(model, clips))
    build_backbone("squeezenet1_1", tmp_path / "own.pth")


VALUES = [np.float64(0.25), np.float32(-1.5), np.float16(2), np.int64(-3), np.uint8(200), np.bool_(True),
          np.str_("walking"), np.dtype(">f8").type(1.5)]


def test_values_of_numpy_become_plain_ones(own, tmp_path):
    _, content = own
    numbers = {"mean": [np.float64(0.5)] * 3, "epoch": np.int64(7), "classes": [np.str_("a"), np.str_("b")]}
    torch.save(content | numbers | {"losses": VALUES}, tmp_path / "own.pth")
    _, info = load_model(tmp_path / "own.pth")
    assert (info.mean, info.epoch, info.classes) == ([0.5] * 3, 7, ["a", "b"])
    losses = read_checkpoint(tmp_path / "own.pth")["losses"]
    assert losses == [value.item() for value in VALUES]
    assert {type(value) for value in losses} == {float, int, bool, str}


def write_value(path, module, code="f8", order="<", content=b"\0" * 7 + b"@"):
    """Write a file of torch.save whose content is a value of NumPy, named as in one version of NumPy."""
    def pickled(value):
        return pickle.dumps(value, 2)[2:-1]  # without header and end

    state = (3, order, None, None, None, -1, -1, 0)
    dtype = b"cnumpy\ndtype\n" + pickled((code, False, True)) + b"R" + pickled(state) + b"b"
    value = b"c" + module.encode() + b"\nscalar\n" + dtype + pickled(content) + b"\x86R"
    torch.save(None, path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, before in files.items():
            archive.writestr(name, b"\x80\x02" + value + b"." if name.endswith("data.pkl") else before)


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_names_of_both_numpy_versions(tmp_path, module):
    write_value(tmp_path / "little.pth", module)
    write_value(tmp_path / "big.pth", module, order=">", content=b"@" + b"\0" * 7)
    assert read_safely(tmp_path / "little.pth") == read_safely(tmp_path / "big.pth") == 2.0


@pytest.mark.parametrize("code", ["O", "V8", "U99999999", "f8,O"])
def test_types_that_are_no_number_or_text_are_refused(tmp_path, code):
    write_value(tmp_path / "value.pth", "numpy._core.multiarray", code)
    with pytest.raises(ValueError, match="is not a checkpoint that torch can load safely"):
        load_model(tmp_path / "value.pth")


def test_a_hostile_file_still_runs_nothing(own, tmp_path):
    _, content = own
    for number, evil in enumerate((Evil(tmp_path / "trace"), np.zeros(2), [np.float64])):
        torch.save(content | {"losses": [np.float64(1), evil]}, tmp_path / f"{number}.pth")
        with pytest.raises(ValueError, match="is not a checkpoint that torch can load safely"):
            load_model(tmp_path / f"{number}.pth")
        with pytest.raises(ValueError, match="is not a checkpoint that torch can load safely"):
            build_backbone("squeezenet1_1", tmp_path / f"{number}.pth")
    assert not (tmp_path / "trace").exists()
    assert not {name for name in SAFE if name in torch.serialization.get_safe_globals()}
