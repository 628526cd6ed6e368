"""Conversion of checkpoints of the two original projects into checkpoints of this project.

sakshikakde/interpretability_of_lstm saves {"epoch", "state_dict", "optimizer_state_dict"} with the weights resnet.*,
lstm.lstm.*, fc_layers.fc1.* and fc_layers.fc2.*. pranoyr/cnn-lstm saves the same with lstm.*, fc1.* and fc2.*, and in
one version "encoder_state_dict" and "decoder_state_dict" (LSTM.*). The models of both are a CNNLSTM: a ResNet whose fc
is a linear layer with 300 outputs reads single RGB frames, an LSTM of three layers follows, and fc2(relu(fc1(.)))
computes the scores from the top layer's last state, without dropout. The sizes and the kind of ResNet follow from the
shapes of the weights. All other settings are assumed to be the defaults of the projects' option parsers (ASSUMED).

Variants with another recurrent layer are refused. A bidirectional LSTM is refused because the weights do not say how it
is read: such variants take the output after the last frame, `out[:, -1, :]`, whose backward half has seen the last
frame only, or feed the frames one by one, so that both halves run forwards.
"""

from typing import Any

import torch

from model.backbones import BACKBONES, build_backbone
from model.normalisation import NORMALISATION, normalisation
from model.state_dicts import tensors_of
from model.vision import without_memory
from runtime.errors import UserError

NAMES = {  # prefixes of names: original -> ours; the first one that matches applies
    "resnet.fc.0.": "projection.", "resnet.": "backbone.", "lstm.lstm.": "lstm.", "lstm.": "lstm.", "LSTM.": "lstm.",
    "gru.gru.": "lstm.", "gru.": "lstm.", "GRU.": "lstm.", "rnn.rnn.": "lstm.", "rnn.": "lstm.", "RNN.": "lstm.",
    "fc_layers.fc1.": "classifier.1.", "fc_layers.fc2.": "classifier.4.",
    "fc1.": "classifier.1.", "fc2.": "classifier.4.",
}
LOOKS_LIKE = "the file looks like one of interpretability_of_lstm or cnn-lstm"
ASSUMED = {"classes": None, "sample_size": 150, "sample_duration": None} | NORMALISATION


def converted(content: Any, **assumed: Any) -> dict[str, Any] | None:
    """Return the content of a file of the original projects as the content of a checkpoint of this project.

    assumed: values that replace those of ASSUMED, unless they are None. Returns None if the file is not one of those
    projects. Raises ValueError if weights are missing or unknown, or if the assumed values do not fit.
    """
    original = tensors_of(content)
    for part in ("encoder_state_dict", "decoder_state_dict"):
        original |= tensors_of(content.get(part)) if isinstance(content, dict) else {}
    if not {"resnet.conv1.weight", "resnet.fc.0.weight"} <= original.keys():
        return None
    state = {_our_name(name): tensor for name, tensor in original.items()}
    config = _config(state)
    facts = ASSUMED | {name: value for name, value in assumed.items() if value is not None}
    of_interpretability = "fc_layers.fc1.weight" in original
    facts["sample_duration"] = facts["sample_duration"] or (30 if of_interpretability else 16)
    facts["classes"] = list(facts["classes"] or _class_names(config["num_classes"], of_interpretability))
    if len(facts["classes"]) != config["num_classes"]:
        raise UserError(f"the file's classifier has {config['num_classes']} classes, but {len(facts['classes'])} "
                        f"names were given ({', '.join(facts['classes'])}); give one name per class, in the order of "
                        "the labels in its annotation")
    ours = {name: facts[name] for name in ("classes", "sample_size", "sample_duration")}
    mean, std = normalisation(**{name: value for name, value in facts.items() if name not in ours})
    return {
        "state_dict": state, "model": "cnnlstm", "config": config, **ours, "mean": mean, "std": std,
        "epoch": epoch if isinstance(epoch := content.get("epoch"), int) else 0, "assumed": facts,
    }


def _our_name(name: str) -> str:
    """Return the name that a weight of the original projects has in a checkpoint of this project."""
    for prefix, ours in NAMES.items():
        if name.startswith(prefix):
            return ours + name[len(prefix):]
    raise UserError(f"{LOOKS_LIKE}, but its weight {name} belongs to a variant of their model that is not supported; "
                    "give a file of their CNN-LSTM without attention")


def _config(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return the arguments of CNNLSTM that the shapes of its weights imply. UserError unless its LSTM is plain."""
    needed = ("classifier.4.weight", "projection.weight", "lstm.weight_hh_l0", "classifier.1.weight")
    shapes = {name: tuple(state[name].shape) for name in needed if name in state}
    if len(shapes) < len(needed) or any(len(shape) != 2 for shape in shapes.values()):
        lost = [name for name in needed if len(shapes.get(name, ())) != 2]
        raise UserError(f"{LOOKS_LIKE}, but its weight {lost[0]!r} is missing or damaged; give a complete file")
    rows, size = shapes["lstm.weight_hh_l0"]
    strange = [name for name in state if name.startswith("lstm.") and ("_hr_" in name or name.endswith("_reverse"))]
    if rows != 4 * size or strange:
        raise UserError(f"{LOOKS_LIKE}, but its recurrent layer is not a plain LSTM of one direction (it has "
                        f"{strange[0] if strange else f'{rows // size} gates'}); give a file with such an LSTM, or "
                        "train a new model with main.py")
    return {
        "num_classes": shapes["classifier.4.weight"][0], "backbone": _backbone(state),
        "feature_size": shapes["projection.weight"][0], "hidden_size": size,
        "num_layers": sum(name.startswith("lstm.weight_ih_l") for name in state),
        "classifier_size": shapes["classifier.1.weight"][0], "dropout": 0.0,
    }


def _backbone(state: dict[str, torch.Tensor]) -> str:
    """Return the name of the torchvision ResNet whose weights have these shapes."""
    shapes = {name: tensor.shape for name, tensor in state.items() if name.startswith("backbone.")}
    for name in (name for name in BACKBONES if name.startswith("resnet")):
        with without_memory():
            network, _ = build_backbone(name)
        if {f"backbone.{key}": tensor.shape for key, tensor in network.state_dict().items()} == shapes:
            return name
    raise UserError(f"{LOOKS_LIKE}, but the shapes of its resnet.* weights fit no ResNet of torchvision; give a file "
                    "trained with one of them")


def _class_names(count: int, of_interpretability: bool) -> list[str]:
    """Return the names of the classes in the order of the scores.

    interpretability_of_lstm explains running as class 1 of 2. In all other cases only the annotation has the names.
    """
    if of_interpretability and count == 2:
        return ["walking", "running"]
    return [f"class{index}" for index in range(count)]
