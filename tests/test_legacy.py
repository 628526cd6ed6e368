"""Files of the original projects."""

import pytest
import torch
from torch import nn
from torchvision import models

from model.checkpoint import ModelInfo, load_model, save_checkpoint
from model.cnn_lstm import CNNLSTM
from model.legacy import converted
from tests.original_projects import Original, file_of
from tests.runs import refused


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
    with pytest.raises(ValueError, match=r"but its weight 'lstm\.weight_hh_l0' is missing"):
        converted({name: tensor for name, tensor in state.items() if "lstm" not in name})
    with pytest.raises(ValueError, match="weights fit no ResNet of torchvision"):
        converted({name: tensor for name, tensor in state.items() if "layer4.1" not in name})
    torch.save(state | {"linear_first.weight": torch.zeros(1)}, tmp_path / "variant.pth")
    with pytest.raises(ValueError, match=r"variant\.pth: the file looks like one of interpretability_of_lstm"):
        load_model(tmp_path / "variant.pth")


def test_other_files_are_not_taken_for_the_original_s(original, tmp_path):
    assert converted([1, 2]) is None and converted({"state_dict": {"conv1.weight": torch.zeros(1)}}) is None
    torch.save(original, tmp_path / "pickled.pth")
    with pytest.raises(ValueError, match=r"torch can load safely; .* then save only its state_dict"):
        load_model(tmp_path / "pickled.pth")
    torch.save({"weights": 1}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"is not a checkpoint of this project: it contains \['weights'\]"):
        load_model(tmp_path / "other.pth")


def test_a_checkpoint_of_this_project_assumes_nothing(tmp_path):
    model = CNNLSTM(2, "squeezenet1_1", feature_size=4, hidden_size=3, classifier_size=2)
    info = ModelInfo("cnnlstm", model.config, ["a", "b"], 33, 4, [0.0] * 3, [1.0] * 3)
    save_checkpoint(tmp_path / "model.pth", model, info)
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    torch.save({name: value for name, value in content.items() if name != "assumed"}, tmp_path / "before.pth")
    for name in ("model.pth", "before.pth"):
        assert load_model(tmp_path / name)[1] == info and info.assumed == {}


@pytest.mark.parametrize(("layer", "attribute", "sentence"), [
    (nn.LSTM(300, 256, 3, bidirectional=True), "lstm", "its LSTM is bidirectional, and its weights do not say how"),
    (nn.LSTM(300, 256, bidirectional=True), "lstm", "its LSTM is bidirectional, and its weights do not say how"),
    (nn.GRU(300, 256, 3), "lstm", "its recurrent layer is a GRU instead of an LSTM"),
    (nn.GRU(300, 256, 2, bidirectional=True), "gru", "its recurrent layer is a bidirectional GRU instead of an LSTM"),
    (nn.RNN(300, 256), "rnn", "its recurrent layer is a plain RNN instead of an LSTM"),
    (nn.LSTM(300, 256, 3, proj_size=64), "lstm", "its LSTM projects its states (proj_size 64), which no head"),
    (nn.LSTM(300, 256, proj_size=64, bidirectional=True), "lstm", "its LSTM projects its states (proj_size 64)"),
])
def test_other_recurrent_layers_are_refused_in_a_whole_sentence(tmp_path, capsys, layer, attribute, sentence):
    original = Original(False)
    del original.lstm
    setattr(original, attribute, layer)
    original.fc1 = nn.Linear(layer.hidden_size * (1 + layer.bidirectional), 128)
    torch.save(file_of(original), tmp_path / "model.pth")
    line = refused(capsys, "inference", "--resume_path", tmp_path / "model.pth", "--video", tmp_path / "none.avi")
    assert f"model.pth: the file looks like one of interpretability_of_lstm or cnn-lstm, but {sentence}" in line
    assert line.endswith("; give a file whose LSTM has one direction and no projections, or train a new model with "
                         "main.py")


def test_one_frame_at_a_time_both_directions_run_forwards():
    """The reason why a bidirectional LSTM is refused: its weights alone do not define its output."""
    torch.manual_seed(0)
    lstm, features = nn.LSTM(4, 3, bidirectional=True, batch_first=True), torch.randn(1, 5, 4)
    states, (final, _) = lstm(features)  # (1, 5, 6), (2, 1, 3)
    hidden = None
    for t in range(5):
        out, hidden = lstm(features[:, t:t + 1], hidden)  # (1, 1, 6)
    readings = [states[:, -1], torch.cat([*final], 1), out[:, 0]]
    for reading in readings[1:]:
        torch.testing.assert_close(reading[:, :3], readings[0][:, :3])
    backwards = torch.stack([reading[0, 3:] for reading in readings])
    assert (backwards[:, None] - backwards[None]).abs().amax(2)[[0, 0, 1], [1, 2, 2]].min() > 0.01


@pytest.mark.parametrize("name", ["lstm.weight_hh_l0", "fc2.weight", "fc1.weight"])
def test_weights_of_impossible_shapes(name):
    state = Original(False).state_dict()
    with pytest.raises(ValueError, match="but its weights have impossible shapes"):
        converted(state | {name: torch.tensor(1.0)})


@pytest.mark.parametrize("epoch", [None, "last", 2.5, torch.zeros(2)])
def test_an_epoch_that_is_no_number_counts_as_unknown(epoch):
    content = file_of(Original(False)) | {"epoch": epoch}
    assert converted(content)["epoch"] == 0
