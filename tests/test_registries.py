"""Registries: what an entry declares is what its function takes, and the command line passes it on."""

import inspect

import numpy as np
import pytest
import torch

import feature_saliency
import frame_saliency
from data.clips import find_clips, load_frames
from model.cnn_lstm import build_model
from model.heads import HEADS
from model.prediction import predict
from runtime.files import read_json
from saliency.methods import FEATURE_METHODS, METHODS, attribute
from saliency.tsr import feature_rescaling, temporal_saliency_rescaling
from tests.runs import as_seen, refused, run_command, saved, train_options, use
from tests.tiny_data import CLIP, DURATION, SIZE

SCRIPTS = {"frame_saliency": (frame_saliency, METHODS), "feature_saliency": (feature_saliency, FEATURE_METHODS)}
METHOD_CASES = [(script, name) for script, (_, registry) in SCRIPTS.items() for name in registry]
BEHIND = {  # methods that pass options on: the functions that take them
    METHODS["tsr"].function: temporal_saliency_rescaling, FEATURE_METHODS["tsr"].function: feature_rescaling,
}
ANOTHER = {  # a value of each option of a method that is not its default
    "samples": 2, "noise": 0.1, "points": 3, "layer": "backbone.features.4.squeeze", "frames": 2, "pixels": 11,
    "patch": 12, "quantile": 0.3, "fill": "zero", "step": "time", "tolerance": 0.01, "memory_gb": 1.0,
    "segment": 2, "pairs": 3, "change": "reverse", "base": "gradient_x_input", "epsilon": 0.01,
}


def declared():
    """Return (function, Option) of everything that a registry declares."""
    functions = [(entry.function, option) for entry in (*METHODS.values(), *FEATURE_METHODS.values())
                 for option in entry.options]
    functions = [(BEHIND.get(function, function) if option.name != "base" else function, option)
                 for function, option in functions]
    return functions + [(entry.build, option) for entry in HEADS.values() for option in entry.options]


def other_than(option):
    """Return a value of a head's option that is not its default."""
    if option.choices:
        return next(value for value in option.choices if value != option.default)
    if option.name == "attention_heads":
        return 2  # which divides the sizes here
    return option.default + 1 if option.type is int else option.default / 2


def flags_of(options):
    """Return the flags that give the options of a method other values than their defaults."""
    flags = []
    for option in options:
        flags += [f"--{option.destination}", *([] if option.type is bool else [ANOTHER[option.name]])]
    return flags


@pytest.mark.parametrize("name", HEADS)
def test_the_options_of_a_head_are_in_the_configuration(name):
    sizes = {option.name: other_than(option) for option in HEADS[name].options}
    config = build_model("cnnlstm", 2, "squeezenet1_1", head=name, hidden_size=4, **sizes).config
    assert sizes.items() <= config.items() and config["classifier_size"] == HEADS[name].classifier_size


@pytest.mark.parametrize(("function", "option"), declared(), ids=lambda value: getattr(value, "name", None))
def test_an_option_is_a_keyword_argument_with_the_same_default(function, option):
    parameter = inspect.signature(function).parameters[option.name]
    assert parameter.default == option.default
    assert option.default is None or type(option.default) is option.type
    assert not option.choices or option.default in (None, *option.choices)


@pytest.mark.parametrize("name", HEADS)
def test_the_default_number_of_layers_is_that_of_the_class(name):
    assert inspect.signature(HEADS[name].build).parameters["num_layers"].default == HEADS[name].num_layers
    assert build_model("cnnlstm", 2, "squeezenet1_1", head=name).config["num_layers"] == HEADS[name].num_layers




@pytest.mark.parametrize(("script", "name"), METHOD_CASES)
def test_every_method_runs_from_the_command_line_with_its_flags(data_set, trained, tmp_path, script, name):
    """With other values than the defaults: they reach the method, and are in the recipe."""
    method = SCRIPTS[script][1][name]
    options = {option.name: ANOTHER[option.name] for option in method.options}
    assert all(options[option.name] != option.default for option in method.options)
    more = ["--no_overlay"] if script == "frame_saliency" else []
    use(script, data_set, trained, tmp_path, "--method", name, *flags_of(method.options), "--clips", CLIP,
        "--target", "running", *more)
    model, info, _ = as_seen(data_set, trained)
    _, (clip,), _ = find_clips(data_set.annotation, data_set.images, names=[CLIP])
    seen = predict(model, info, load_frames(clip, DURATION, SIZE), "running")
    expected = attribute(method, model, seen.tensor, seen.target, **options)
    arrays, recipe = saved(tmp_path / "walking" / CLIP), read_json(tmp_path / "opts.json")["options"]
    largest = expected.map.abs().max().item()
    np.testing.assert_allclose(arrays[name], expected.map.cpu(), atol=2e-3 * largest)
    assert set(arrays["maps"]) == {"gradient", name}
    assert {f"{name}_{fact}" for fact in expected.facts} <= arrays.keys() and expected.arrays.keys() <= arrays.keys()
    assert {option.destination: recipe[option.destination] for option in method.options} == {
        option.destination: ANOTHER[option.name] for option in method.options}


def test_an_option_of_another_head_is_refused(capsys, data_set, tmp_path):
    line = refused(capsys, "main", *train_options(data_set, tmp_path), "--head", "mean", "--layer_dropout", 0.1)
    assert "--layer_dropout belongs to lstm and transformer and tcn, but nothing here uses it; add --head lstm" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_the_options_of_a_head_reach_it_from_the_command_line(data_set, tmp_path, name):
    options = {option.name: other_than(option) for option in HEADS[name].options}
    flags = [part for option in HEADS[name].options for part in (f"--{option.destination}", options[option.name])]
    run_command("main", *train_options(data_set, tmp_path, "--head", name, "--n_epochs", 1, *flags))
    config = torch.load(tmp_path / "best.pth", weights_only=True)["config"]
    assert {"head": name, "num_layers": HEADS[name].num_layers, **options}.items() <= config.items()
    assert read_json(tmp_path / "opts.json")["options"]["num_layers"] == HEADS[name].num_layers
