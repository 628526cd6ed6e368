"""Faster copies of models: batch norm folded into the convolution before it, and channels-last memory.

In eval mode, batch norm scales and shifts each channel by constants, and the weights and the bias of the convolution
before it can absorb them (Markus, "Batch Normalization and Convolution Fusion", 2018, gives the equations). The folded
network computes the same function up to rounding, about twice as fast on a CPU.
"""

import copy
from collections import Counter

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from model.checks import has_encoder
from model.fast.windowed import WindowedNetwork, is_plain

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def folded(model: nn.Module) -> nn.Module:
    """Return a faster copy of a model that follows model/contract.py, for inference and saliency.

    A model that is folded already is returned itself, and so is one without `encode` and `classify`. The copy is in
    eval mode and computes no gradients with respect to weights. The backbone that it lists is in channels-last memory
    and has its batch norms folded, unless torch.fx cannot trace it. Its larger convolutions are replaced by those of
    model/fast/windowed.py, which its attribute `windowed` controls.
    """
    if is_folded(model) or not has_encoder(model):
        return model
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    for name, module in twin.backbone_modules() if hasattr(twin, "backbone_modules") else ():
        twin.set_submodule(name, fold_batch_norm(module).to(memory_format=torch.channels_last))
    twin.windowed = WindowedNetwork(twin)
    return disowned(twin)


def is_folded(model: nn.Module) -> bool:
    """Return whether the model is a copy that `folded` made."""
    return isinstance(getattr(model, "windowed", None), WindowedNetwork)


def disowned(model: nn.Module) -> nn.Module:
    """Break torch.fx's reference cycle, so that the model is freed when it is no longer used, and return the model."""
    for module in model.modules():
        if isinstance(module, fx.GraphModule):
            module.graph.owning_module = None
    return model


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold the batch norms of a network in eval mode that directly follow a convolution, in place; return the network.

    A convolution takes over the factor and the shift, and an identity replaces the batch norm. Layers that run more
    than once, or that have hooks or parametrizations, stay as they are. So does a network that torch.fx cannot trace.
    """
    tracer = fx.Tracer()
    try:
        graph = tracer.trace(network)
    except Exception:  # networks of users may raise anything when they are traced
        return network
    finally:
        tracer.root = tracer.submodule_paths = None  # the tracer is in a reference cycle; this frees the weights
    modules = dict(network.named_modules())
    runs = Counter(modules[node.target] for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        norm = modules.get(node.target) if node.op == "call_module" else None
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        convolution = modules.get(source.target) if source is not None and source.op == "call_module" else None
        if not isinstance(norm, BATCH_NORMS) or not isinstance(convolution, CONVOLUTIONS) or len(source.users) > 1:
            continue
        if norm.running_mean is None or not all(runs[layer] == 1 and is_plain(layer) for layer in (norm, convolution)):
            continue
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        for name, module in list(network.named_modules(remove_duplicate=False)):
            if module is norm:  # which may have several names
                network.set_submodule(name, nn.Identity())
    return network
