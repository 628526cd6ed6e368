"""Batch norm folded into the convolution before it, and channels-last memory: the same network, about twice as fast.

Exact up to rounding: in eval mode batch norm is a per-channel scale and shift, which the convolution's weights absorb
(Markus, "Batch Normalization and Convolution Fusion", 2018, describes the arithmetic).
"""

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from model.local import LocalNetwork

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def folded(model):
    """A copy of a model for inference and saliency; the model is left alone. What is folded already is returned.

    Its backbone is folded, unless torch.fx cannot trace it, in channels-last memory, and its larger convolutions are
    faster on a CPU; they are in its `local`, see model/local.py. It has no gradients with respect to weights.
    """
    if hasattr(model, "local"):
        return model
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    if hasattr(twin, "backbone"):
        twin.backbone = fold_batch_norm(twin.backbone).to(memory_format=torch.channels_last)
    twin.local = LocalNetwork(twin)
    return disowned(twin)


def disowned(model):
    """The model, free to go with its last name: torch.fx ties a traced network, and each copy of one, to itself."""
    for module in model.modules():
        if isinstance(module, fx.GraphModule):
            module.graph.owning_module = None
    return model


def fold_batch_norm(network):
    """The network, in eval mode, without the batch norms that directly follow a convolution."""
    tracer = fx.Tracer()
    try:
        graph_module = fx.GraphModule(network, tracer.trace(network), type(network).__name__)
    except (fx.proxy.TraceError, TypeError):
        return network
    finally:
        tracer.root = tracer.submodule_paths = None  # it ties itself in cycles, with the network's weights in them
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
