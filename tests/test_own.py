"""Networks of users on the command line: --model FILE.py:FUNCTION, with weights of their own."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from model.contract import class_scores
from model.opening import open_model
from model.own import OwnModel, load_own_weights
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from model.state_dicts import weights_digest
from runtime.files import read_json
from saliency.methods import METHODS
from tests import own_nets
from tests.runs import TRAINED_SCRIPTS, bytes_of, data_options, refused, run_command, saved, table
from tests.tiny_data import CLIP, DURATION, SIZE

SIZES = ["--sample_size", SIZE, "--sample_duration", DURATION]
FIXED = [name for name, method in METHODS.items() if not method.needs_encode]


@pytest.fixture
def nets(tmp_path):
    """A file of a user, away from the project."""
    return shutil.copy(own_nets.__file__, tmp_path / "nets.py")


def options(data, nets, function, results, *more):
    """Return the options that name a network of the user, for one clip."""
    chosen = ["--model", f"{nets}:{function}", *SIZES, "--clips", CLIP]
    return [*data_options(data), *chosen, "--result_path", results, *more]


@pytest.mark.parametrize("function", ["frames", "Bare"])
def test_a_network_of_frames_in_all_scripts(data_set, nets, tmp_path, capsys, function):
    for script in TRAINED_SCRIPTS:
        run_command(script, *options(data_set, nets, function, tmp_path / script))
    row = table(tmp_path / "inference" / "predictions.csv")[0]
    assert row["clip"] == CLIP and float(row["running"]) + float(row["walking"]) == pytest.approx(1, abs=1e-5)
    arrays = saved(tmp_path / "frame_saliency" / "walking" / CLIP)
    assert arrays["gradient"].shape == (DURATION, SIZE, SIZE) and "when_shapley" in arrays
    assert saved(tmp_path / "feature_saliency" / "walking" / CLIP)["features"].shape == (DURATION, 8)
    assert "are not on the page" not in capsys.readouterr().out  # the recipes say that it is the same network


@pytest.mark.filterwarnings("ignore:the model does not encode each frame by itself")
def test_a_network_of_whole_clips_with_all_methods_that_explain_it(data_set, nets, tmp_path, capsys):
    given = options(data_set, nets, "clips", tmp_path / "frames", "--layout", "BCTHW", "--no_overlay")
    run_command("frame_saliency", *given, "--compare", *FIXED, "--tsr_step", "time", "--deletion", "--signed",
                "--method", "freeze", "--smoothgrad_samples", 2, "--path_points", 2)
    printed = capsys.readouterr().err
    assert "so --when is left out" in printed and "up to 6 maps of" in printed
    arrays = saved(tmp_path / "frames" / "walking" / CLIP)
    assert set(FIXED) <= arrays.keys() and "when_shapley" not in arrays
    run_command("inference", *options(data_set, nets, "clips", tmp_path / "inference", "--layout", "BCTHW"))
    row = table(tmp_path / "inference" / "predictions.csv")[0]
    assert arrays["probability"] == pytest.approx(max(float(row["running"]), float(row["walking"])), abs=1e-5)


@pytest.mark.parametrize("nesting", [None, "state_dict"])
def test_weights_come_from_a_checkpoint_of_the_network(data_set, nets, tmp_path, nesting):
    torch.manual_seed(5)
    trained = own_nets.frames(2)
    state = {f"module.{name}": value for name, value in trained.state_dict().items()}
    torch.save({nesting: state, "epoch": 3} if nesting else state, tmp_path / "own.pth")
    facts = {"model": f"{nets}:frames", "sample_size": SIZE, "sample_duration": DURATION, "classes": ["a", "b"]}
    model, info = open_model(tmp_path / "own.pth", torch.device("cpu"), facts, ["running", "walking"])
    clips = torch.randn(1, 3, 3, SIZE, SIZE)
    torch.testing.assert_close(model(clips), trained.eval()(clips))
    assert (info.classes, info.mean, info.std) == (["a", "b"], IMAGENET_MEAN, IMAGENET_STD)
    assert info.config == {"weights": weights_digest(trained)} and not model.training
    other, info = open_model(None, torch.device("cpu"), facts | {"mean_dataset": "kinetics", "norm_value": 255}, None)
    assert not torch.allclose(other(clips), model(clips))
    assert info.mean == pytest.approx([0.4339, 0.4045, 0.3776], abs=1e-4)


def test_random_weights_are_the_same_in_every_run_and_the_random_state_stays(nets):
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second = (weights_digest(OwnModel.parse(f"{nets}:frames").build(2)) for _ in range(2))
    assert first == second and torch.rand(1).equal(expected)


def test_results_of_two_networks_are_not_mixed(data_set, nets, tmp_path, capsys):
    """Another file, another checkpoint, or other weights that the function loads by itself."""
    given, weights = options(data_set, nets, "build", tmp_path / "results"), tmp_path / "mine.pth"
    torch.save(own_nets.clips().state_dict(), weights)
    nets.write_text(nets.read_text() + f"""

def build():
    network = clips()
    network.load_state_dict(torch.load({str(weights)!r}))
    return network
""")
    given += ["--layout", "BCTHW"]
    run_command("inference", *given)
    recipe, before = read_json(tmp_path / "results" / "opts.json"), bytes_of(tmp_path / "results")
    assert recipe["inputs"].keys() == {"annotation_path", "model", "weights"}
    assert recipe["options"]["resume_path"] is None
    run_command("inference", *given)
    torch.manual_seed(9)
    torch.save(own_nets.clips().state_dict(), weights)
    assert "was made with other weights of the network; choose another" in refused(capsys, "inference", *given)
    nets.write_text(nets.read_text() + "\n# changed\n")
    changed = "was made with another --model, whose content has changed, other weights of the network; choose"
    assert changed in refused(capsys, "inference", *given)
    assert bytes_of(tmp_path / "results").keys() == before.keys()


BAD = [
    ("nowhere.py:frames", [], "nowhere.py:frames: no such file; give FILE.py:FUNCTION"),
    ("nets.py:absent", [], "nets.py has no function 'absent'; give one of those that it defines: Mean, encoder, "),
    ("nets.py", [], "nets.py is none of cnnlstm, cnnlstm_attn, cnnlstm_cbam, and not of the form FILE.py:FUNCTION"),
    ("syntax.py:frames", [], "syntax.py, line 2: running the file fails (SyntaxError: "),
    ("nets.py:raising", [], "raising fails (KeyError: 'weights of"),
    ("nets.py:needy", [], "nets.py: needy needs the arguments width, depth; it must need no argument, or"),
    ("nets.py:three", ["--layout", "BCTHW"], "has 3 scores, but 2 classes are named (running, walking); give"),
    ("nets.py:clips", [], "the network fails on a clip of 6 frames of 32 x 32 pixels (RuntimeError: "),
    ("nets.py:frames", ["--layout", "BCTHW"], "--layout BCTHW was given, but the network of"),
    ("nets.py:frames", ["--resume_path", "nowhere.pth"], "no checkpoint at nowhere.pth; give another --resume_path"),
    ("nets.py:frames", ["--resume_path", "other.pth"], "other.pth lacks 7 weights of the network (first: encoder.0."
     "weight), has 1 that the network lacks (first: weight), has 1 of another shape (first: head.scores.bias); give"),
    ("cnnlstm", ["--layout", "BCTHW"], "--layout BCTHW was given, but it belongs to a network of your own"),
]


@pytest.fixture
def files(nets, tmp_path, monkeypatch):
    """The current folder, with files that are wrong, and results of earlier runs."""
    (tmp_path / "syntax.py").write_text("import torch\ndef frames(:\n")
    torch.save({"weight": torch.ones(2), "head.scores.bias": torch.ones(3)}, tmp_path / "other.pth")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "predictions.csv").write_text("kept")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("model", "more", "complaint"), BAD)
def test_bad_networks_end_in_one_line(data_set, files, capsys, model, more, complaint):
    given = options(data_set, Path(), "", files / "results")
    given[given.index("--model") + 1] = model
    assert complaint in refused(capsys, "inference", *given, "--overwrite", *more)
    assert bytes_of(files / "results") == {"predictions.csv": b"kept"}


@pytest.mark.parametrize(("script", "function", "more", "complaint"), [
    ("feature_saliency", "clips", [], "ClipModel has no encode and classify, which"),
    ("frame_saliency", "clips", ["--sanity"], "ClipModel has no head_modules and no backbone_modules"),
    ("frame_saliency", "Bare", ["--sanity"], "Bare has no head_modules and no backbone_modules, which name"),
])
def test_what_a_network_cannot_offer_is_refused_before_anything_is_computed(data_set, files, capsys, script, function,
                                                                            more, complaint):
    layout = ["--layout", "BCTHW"] if function == "clips" else []
    line = refused(capsys, script, *options(data_set, "nets.py", function, files / "results", *layout, *more))
    assert complaint in line
    assert bytes_of(files / "results") == {"predictions.csv": b"kept"}


def test_a_file_can_import_the_files_beside_it(tmp_path):
    (tmp_path / "parts_of_mine.py").write_text("from torch import nn\n\nlayer = nn.Linear(2, 2)\n")
    (tmp_path / "whole.py").write_text("import parts_of_mine\n\n\ndef build():\n    return parts_of_mine.layer\n")
    assert OwnModel.parse(f"{tmp_path}/whole.py:build").build(2).in_features == 2


def test_weights_in_half_precision_and_without_counters_load(tmp_path):
    model = own_nets.frames(2)
    state = {name: value.half() for name, value in model.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "half.pth")
    other = own_nets.frames(2)
    load_own_weights(other, tmp_path / "half.pth")
    clips = torch.randn(1, 2, 3, SIZE, SIZE)
    with torch.no_grad():
        np.testing.assert_allclose(class_scores(other.eval(), clips), class_scores(model.eval(), clips), atol=1e-2)
