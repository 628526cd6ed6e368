"""Files of the original projects."""

import pytest
import torch
from torch import nn
from torchvision import models

from model.checkpoint import load_model
from model.legacy import converted
from tests.original_projects import Original, file_of


@pytest.fixture(scope="module", params=[True, False], ids=["interpretability_of_lstm", "cnn-lstm"])
def original(request):
    torch.manual_seed(0)
    return Original(request.param).eval()


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_file_of_the_original_gives_its_scores(original, prefix, tmp_path):
    torch.save(file_of(original, prefix), tmp_path / "model.pth")
    model, info = load_model(tmp_path / "model.pth")
    clips = torch.randn(2, 5, 3, 64, 64) * torch.tensor([1.0, 4.0]).view(2, 1, 1, 1, 1)
    with torch.no_grad():
        expected, scores = original(clips), model(clips)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    assert not model.training and info.epoch == 72 and info.config["backbone"] == "resnet18"
    assert info.assumed["mean_dataset"] == "activitynet" and info.assumed["classes"] == info.classes


def test_defaults_are_those_of_the_original(original):
    content = converted(file_of(original))
    names, duration = (["walking", "running"], 30) if original.nested else (["class0", "class1"], 16)
    assert (content["classes"], content["sample_duration"], content["sample_size"]) == (names, duration, 150)
    given = converted(file_of(original), classes=["a", "b"], sample_size=120, sample_duration=None, norm_value=255)
    assert (given["classes"], given["sample_duration"], given["sample_size"]) == (["a", "b"], duration, 120)
    assert given["assumed"]["norm_value"] == 255


def test_resnet101_and_more_classes_are_seen_in_the_shapes():
    torch.manual_seed(0)
    original = Original(False, classes=5, resnet=models.resnet101).eval()
    content = converted(original.state_dict())  # weights alone
    assert content["config"] == {
        "num_classes": 5, "backbone": "resnet101", "feature_size": 300, "hidden_size": 256, "num_layers": 3,
        "classifier_size": 128, "dropout": 0.0,
    }
    assert content["classes"] == [f"class{index}" for index in range(5)] and content["epoch"] == 0


def test_encoder_and_decoder_in_one_file(original):
    flat = {name.replace("lstm.lstm.", "lstm.").replace("fc_layers.", ""): tensor
            for name, tensor in original.state_dict().items()}
    encoder = {name: tensor for name, tensor in flat.items() if name.startswith("resnet.")}
    decoder = {name.replace("lstm.", "LSTM."): tensor for name, tensor in flat.items() if name not in encoder}
    content = converted({"epoch": 4, "encoder_state_dict": encoder, "decoder_state_dict": decoder})
    assert content["state_dict"].keys() == converted(file_of(original))["state_dict"].keys() and content["epoch"] == 4


def test_what_does_not_fit_is_refused_in_a_sentence(original, tmp_path):
    with pytest.raises(ValueError, match=r"classifier has 2 classes, but 3 names were given \(a, b, c\)"):
        converted(file_of(original), classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="unknown --mean_dataset 'ucf'; known are: activitynet, kinetics, imagenet"):
        converted(file_of(original), mean_dataset="ucf")
    with pytest.raises(ValueError, match="--norm_value 0 was given"):
        converted(file_of(original), norm_value=0)
    state = original.state_dict()
    with pytest.raises(ValueError, match=r"its weight linear_first\.weight belongs to a variant"):
        converted(state | {"linear_first.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"but its weight 'lstm\.weight_hh_l0' is missing or damaged"):
        converted({name: tensor for name, tensor in state.items() if "lstm" not in name})
    with pytest.raises(ValueError, match="weights fit no ResNet of torchvision"):
        converted({name: tensor for name, tensor in state.items() if "layer4.1" not in name})
    torch.save(state | {"linear_first.weight": torch.zeros(1)}, tmp_path / "variant.pth")
    with pytest.raises(ValueError, match=r"variant\.pth: the file looks like one of interpretability_of_lstm"):
        load_model(tmp_path / "variant.pth")


@pytest.mark.parametrize(("layer", "attribute", "found"), [
    (nn.LSTM(300, 256, 3, bidirectional=True), "lstm", "lstm.weight_ih_l0_reverse"),
    (nn.GRU(300, 256), "gru", "3 gates"), (nn.RNN(300, 256), "rnn", "1 gates"),
    (nn.LSTM(300, 256, 3, proj_size=64), "lstm", "lstm.weight_hr_l0"),
])
def test_other_recurrent_layers_are_refused_in_a_sentence(tmp_path, layer, attribute, found):
    """The weights of a bidirectional LSTM, for example, do not say how its states are read."""
    original = Original(False)
    del original.lstm
    setattr(original, attribute, layer)
    original.fc1 = nn.Linear(layer.hidden_size * (1 + layer.bidirectional), 128)
    torch.save(file_of(original), tmp_path / "model.pth")
    with pytest.raises(ValueError, match=rf"is not a plain LSTM of one direction \(it has {found}\); give a file with"):
        load_model(tmp_path / "model.pth")
