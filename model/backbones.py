"""Backbones: image networks that turn one frame into one vector. Any torchvision classifier without its last layer.

    network, size = build_backbone("resnet18", weights="none")     # network(frames (N, 3, H, W)) -> (N, size)
"""

import socket
from collections.abc import Callable, Collection
from http.client import HTTPException
from pathlib import Path

from torch import nn

from model.state_dicts import load_tensors, prefix_before, read_safely, tensors_of
from model.vision import models
from runtime.errors import UserError

UNSUITABLE = ("inception", "googlenet")  # they return more than class scores in training
FIXED_SIZES = {"vit_": 224, "maxvit": 224}  # start of the name: side of the only frames that the network accepts
BACKBONES = tuple(name for name in models.list_models(module=models) if not name.startswith(UNSUITABLE))
DOWNLOAD_TIMEOUT = 30  # seconds; torch sets none and could wait forever


def check_frame_size(name: str, size: int) -> None:
    """Raise ValueError if there is no backbone of this name, or if it does not accept frames of `size` pixels a side.

    This takes no time, because the network is not built. Other sizes that are too small are found by trying.
    """
    _check_name(name)
    for start, needed in FIXED_SIZES.items():
        if name.startswith(start) and size != needed:
            raise UserError(f"sample_size is {size}, but {name} accepts only frames of {needed} x {needed} pixels; "
                            f"give --sample_size {needed} in training, or another --backbone")


def _check_name(name: str) -> None:
    if name not in BACKBONES:
        raise UserError(f"unknown backbone {name!r}; known are: {', '.join(BACKBONES)}")


def build_backbone(name: str, weights: str | Path = "none",
                   adapt: Callable[[nn.Module], nn.Module] | None = None) -> tuple[nn.Module, int]:
    """Return a torchvision network without its last layer, and the length of the vectors that it returns.

    weights: "imagenet" (torchvision's download), "none" (random), or the path of a state dict of this network or of
    a checkpoint with this backbone. adapt: a function that changes the network; the weights need not cover the layers
    that it adds. Raises ValueError if the name is unknown or the weights do not fit, FileNotFoundError if there is no
    such file.
    """
    _check_name(name)
    network = _download(name) if weights == "imagenet" else models.get_model(name, weights=None)
    size = _remove_last_layer(network)
    needed = network.state_dict().keys()
    if adapt is not None:
        network = adapt(network)
    if weights not in ("imagenet", "none"):
        _load_weights(network, weights, needed)
    return network, size


def _download(name: str) -> nn.Module:
    """Return a network with torchvision's ImageNet weights. Raise ValueError if they cannot be downloaded."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        return models.get_model(name, weights="DEFAULT")
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: the file has a wrong hash
        raise UserError(f"--backbone_weights imagenet: the download of {name} failed ({error}); go online, or give "
                        "'none' for random weights, or the PATH of a state dict that you have") from error
    finally:
        socket.setdefaulttimeout(timeout)


def _remove_last_layer(network: nn.Module) -> int:
    """Replace the last linear layer by the identity and return its number of inputs.

    A network without linear layers (SqueezeNet) loses the last convolution, which comes before its pooling.
    """
    name, layer = [item for item in network.named_modules() if isinstance(item[1], (nn.Linear, nn.Conv2d))][-1]
    network.set_submodule(name, nn.Identity())
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def _load_weights(network: nn.Module, path: str | Path, needed: Collection[str]) -> None:
    """Load the weights of a file into the network. Raise an error unless the file has all `needed` weights."""
    state = tensors_of(read_safely(path, "give --backbone_weights 'imagenet', 'none' or an existing path"))
    prefix = prefix_before(state, needed)  # "backbone." in a checkpoint of this project, "resnet." of the original ones
    own = network.state_dict()
    state = {name: state.get(prefix + name, weight) for name, weight in own.items()
             if name not in needed or prefix + name in state}
    load_tensors(network, state, f"--backbone_weights {path} does not fit this backbone: it", "check --backbone")
