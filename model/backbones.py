"""Image networks that turn one frame into one vector: any torchvision classifier without its last layer.

    network, size = build_backbone("resnet18", weights="none")     # network(frames (N, 3, H, W)) -> (N, size)
"""

import socket
from http.client import HTTPException
from pathlib import Path

import torch
from torch import nn
from torchvision import models

# Vision transformers of fixed picture size and networks with auxiliary outputs cannot serve as they are.
UNSUITABLE = ("vit_", "maxvit", "inception", "googlenet")
BACKBONES = tuple(name for name in models.list_models(module=models) if not name.startswith(UNSUITABLE))


def build_backbone(name, weights="none", adapt=None):
    """A torchvision network whose last layer with weights is the identity, and the length of the vector it then gives.

    weights: "imagenet" (torchvision's download), "none" (random), or the path of a state dict, of this network or of
    a checkpoint with this backbone. adapt: network -> network, with new layers that the weights may lack. ValueError or
    FileNotFoundError where they do not fit.
    """
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r}; known are: {', '.join(BACKBONES)}")
    network = _download(name) if weights == "imagenet" else models.get_model(name, weights=None)
    size = _remove_classifier(network)
    needed = network.state_dict().keys()
    if adapt is not None:
        network = adapt(network)
    if weights not in ("imagenet", "none"):
        _load_weights(network, weights, needed)
    return network, size


def _download(name):
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # torch would wait for ever
    try:
        return models.get_model(name, weights="DEFAULT")
    except (OSError, HTTPException, RuntimeError) as error:  # the last for a file with a wrong hash
        raise ValueError(f"--backbone_weights imagenet: the download of {name} failed ({error}); go online, or give "
                         "'none' for random weights, or the PATH of a state dict that you have") from error
    finally:
        socket.setdefaulttimeout(patience)


def _remove_classifier(network):
    """The last linear layer goes; in a network without one (SqueezeNet) the last convolution, before its pooling."""
    name, layer = [item for item in network.named_modules() if isinstance(item[1], (nn.Linear, nn.Conv2d))][-1]
    network.set_submodule(name, nn.Identity())
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def _load_weights(network, path, needed):
    if not Path(path).is_file():
        raise FileNotFoundError(f"--backbone_weights {path}: no such file; give 'imagenet', 'none' or an existing path")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"--backbone_weights {path} is not a state dict that torch can load safely") from error
    state, wanted = tensors_of(state), network.state_dict()
    for prefix in ("backbone.", "resnet."):
        state = {key[len(prefix):]: value for key, value in state.items() if key.startswith(prefix)} or state
    state = {key: value for key, value in state.items() if key in wanted}
    missing = [key for key in needed if key not in state and not key.endswith("num_batches_tracked")]
    wrong = [key for key in state if state[key].shape != wanted[key].shape]
    if missing or wrong:
        raise ValueError(f"--backbone_weights {path} does not fit this backbone: {len(missing)} weights are missing "
                         f"and {len(wrong)} have another shape (first: {(missing + wrong)[0]}); check --backbone")
    network.load_state_dict(state, strict=False)


def tensors_of(content):
    """The named tensors of what a file holds, a state dict or a checkpoint with one, without DataParallel's prefix."""
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    state = state if isinstance(state, dict) else {}
    return {str(key).removeprefix("module."): value for key, value in state.items() if isinstance(value, torch.Tensor)}
