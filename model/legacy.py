"""Checkpoints of the projects that this one follows, turned into its own.

sakshikakde/interpretability_of_lstm saves {"epoch", "state_dict", "optimizer_state_dict"} with weights resnet.*,
lstm.lstm.*, fc_layers.fc1.* and fc_layers.fc2.*; pranoyr/cnn-lstm the same with lstm.*, fc1.* and fc2.*, and once as
"encoder_state_dict" and "decoder_state_dict" (LSTM.*). Both feed RGB frames one by one to a ResNet whose fc is a linear
layer of 300, run three LSTM layers, and read fc2(relu(fc1(.))) off the top layer's last step, without dropout: a
CNNLSTM. Sizes and the ResNet follow from the shapes. What the files do not hold is assumed, with the defaults of their
option parsers (ASSUMED).
"""

import torch

from model.backbones import BACKBONES, build_backbone, tensors_of
from model.normalisation import NORMALISATION, normalisation

NAMES = {  # first matching beginning: theirs -> ours
    "resnet.fc.0.": "projection.", "resnet.": "backbone.", "lstm.lstm.": "lstm.", "lstm.": "lstm.", "LSTM.": "lstm.",
    "fc_layers.fc1.": "classifier.1.", "fc_layers.fc2.": "classifier.4.",
    "fc1.": "classifier.1.", "fc2.": "classifier.4.",
}
LOOKS_LIKE = "the file looks like one of interpretability_of_lstm or cnn-lstm"
ASSUMED = {"classes": None, "sample_size": 150, "sample_duration": None} | NORMALISATION


def converted(content, **assumed):
    """The content of a file of those projects as that of a checkpoint of this one, or None if it is no such file.

    assumed: values for ASSUMED; None means the default. ValueError where weights or assumptions do not fit.
    """
    theirs = tensors_of(content)
    for part in ("encoder_state_dict", "decoder_state_dict"):
        theirs |= tensors_of(content.get(part)) if isinstance(content, dict) else {}
    if not {"resnet.conv1.weight", "resnet.fc.0.weight"} <= theirs.keys():
        return None
    state = {_our_name(name): tensor for name, tensor in theirs.items()}
    config = _config(state)
    facts = ASSUMED | {name: value for name, value in assumed.items() if value is not None}
    original = "fc_layers.fc1.weight" in theirs
    facts["sample_duration"] = facts["sample_duration"] or (30 if original else 16)
    facts["classes"] = list(facts["classes"] or _class_names(config["num_classes"], original))
    if len(facts["classes"]) != config["num_classes"]:
        raise ValueError(f"the file's classifier has {config['num_classes']} classes, {len(facts['classes'])} names "
                         f"were given ({', '.join(facts['classes'])}); give as many as it has, in the order of the "
                         "labels in its annotation")
    ours = {name: facts[name] for name in ("classes", "sample_size", "sample_duration")}
    mean, std = normalisation(**{name: value for name, value in facts.items() if name not in ours})
    return {
        "state_dict": state, "model": "cnnlstm", "config": config, **ours, "mean": mean, "std": std,
        "epoch": int(content.get("epoch", 0)), "assumed": facts,
    }


def _our_name(name):
    for beginning, ours in NAMES.items():
        if name.startswith(beginning):
            return ours + name[len(beginning):]
    raise ValueError(f"{LOOKS_LIKE}, its weight {name} belongs to a variant of their model that is not known here; "
                     "only their CNN-LSTM without attention can be used")


def _config(state):
    """The arguments of CNNLSTM, from the shapes of its weights."""
    try:
        return {
            "num_classes": len(state["classifier.4.weight"]), "backbone": _backbone(state),
            "feature_size": len(state["projection.weight"]), "hidden_size": state["lstm.weight_hh_l0"].shape[1],
            "num_layers": sum(name.startswith("lstm.weight_ih_l") for name in state),
            "classifier_size": len(state["classifier.1.weight"]), "dropout": 0.0,
        }
    except KeyError as error:
        raise ValueError(f"{LOOKS_LIKE}, but {error} is missing in it") from error


def _backbone(state):
    """The name of the torchvision ResNet with these shapes."""
    shapes = {name: tensor.shape for name, tensor in state.items() if name.startswith("backbone.")}
    for name in (name for name in BACKBONES if name.startswith("resnet")):
        with torch.device("meta"):
            network, _ = build_backbone(name)
        if {f"backbone.{key}": tensor.shape for key, tensor in network.state_dict().items()} == shapes:
            return name
    raise ValueError("the resnet.* weights in the file have the shapes of no ResNet of torchvision")


def _class_names(count, original):
    """interpretability_of_lstm explains running as class 1 of 2; otherwise the names are only in the annotation."""
    return ("walking", "running") if original and count == 2 else [f"class{index}" for index in range(count)]
