"""Faster copies of models: batch norm folded into the convolution before it, and channels-last memory.

In eval mode, batch norm scales and shifts each channel by constants, and the weights and the bias of the convolution
before it can absorb them (Markus, "Batch Normalization and Convolution Fusion", 2018, gives the equations). The folded
network computes the same function up to rounding, about twice as fast on a CPU.
"""

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from model.fast.windowed import WindowedNetwork

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def folded(model: nn.Module) -> nn.Module:
    """Return a faster copy of a model that follows model/contract.py, for inference and saliency.

    A model that is folded already is returned itself. The copy is in eval mode and computes no gradients with respect
    to weights. Its backbone is in channels-last memory and has its batch norms folded, unless torch.fx cannot trace it.
    Its larger convolutions are replaced by those of model/fast/windowed.py, which its attribute `windowed` controls.
    """
    if is_folded(model):
        return model
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    for name, module in twin.backbone_modules():
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
    """Return a network in eval mode without the batch norms that directly follow a convolution.

    The result takes over the layers of `network` and changes its convolutions in place, so `network` itself must not be
    used any more. A network that torch.fx cannot trace is returned unchanged.
    """
    tracer = fx.Tracer()
    try:
        graph_module = fx.GraphModule(network, tracer.trace(network), type(network).__name__)
    except (fx.proxy.TraceError, TypeError):
        return network
    finally:
        tracer.root = tracer.submodule_paths = None  # the tracer is in a reference cycle; this frees the weights
    modules = dict(graph_module.named_modules())
    for node in list(graph_module.graph.nodes):
        norm = modules.get(node.target) if node.op == "call_module" else None
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        convolution = modules.get(source.target) if source is not None and source.op == "call_module" else None
        if not isinstance(norm, BATCH_NORMS) or not isinstance(convolution, CONVOLUTIONS) or len(source.users) > 1:
            continue
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        node.replace_all_uses_with(source)
        graph_module.graph.erase_node(node)
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()
    return graph_module
