"""Training on several processes, each with a share of every batch, to the result of one process with all of it.

    forward = distributed(forward, parameters)        # a module; then, for each batch of 8 clips:
    counts_as = begin_batch(8)
    loss = cross_entropy(forward(clips[share(8)]), labels[share(8)]) * counts_as * n_of_share / 8

DistributedDataParallel takes the mean of the processes' gradients. What else depends on the whole batch: batch norm
takes its statistics over all processes (PyTorch's own SyncBatchNorm does so on CUDA alone), and layers that draw at
random draw for all clips, from the same seed in all processes, and keep the part of their own.
"""

from functools import partial
from types import SimpleNamespace

import torch
from torch import distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import StochasticDepth

from model.processes import rank, world

RANDOM = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, StochasticDepth)
_batch = SimpleNamespace(total=1)  # clips in the batch at hand, in all processes together


def share(total):
    """The slice of a batch of `total` clips that is this process's; all of it where clips are fewer than processes."""
    if total < world():
        return slice(0, total)
    return slice(total * rank() // world(), total * (rank() + 1) // world())


def begin_batch(total):
    """Say how many clips the next batch has; returns how often one of this process counts in a mean over processes."""
    _batch.total = total
    return world() if total >= world() else 1


def distributed(forward, parameters):
    """A module whose `parameters` are trained, wrapped and its layers made fit for it; as it is where alone."""
    if world() == 1:
        return forward
    trained = set(parameters)
    for weight in forward.parameters():
        weight.requires_grad_(weight in trained)
    for layer in forward.modules():
        if isinstance(layer, _BatchNorm):
            layer.forward = partial(_normalise, layer)
        elif isinstance(layer, RANDOM):
            layer.forward = partial(_draw, layer)
    return nn.parallel.DistributedDataParallel(forward)


def _own():
    return share(_batch.total)


def _draw(layer, x):
    """A random layer, which multiplies its input by what it draws, for this process's rows of the whole batch."""
    if not layer.training:
        return type(layer).forward(layer, x)
    start, stop = _own().start, _own().stop
    rows = len(x) // (stop - start)  # per clip: 1, or its frames
    rest = [1] * (x.ndim - 1) if isinstance(layer, StochasticDepth) else x.shape[1:]
    drawn = type(layer).forward(layer, x.new_ones(_batch.total * rows, *rest))
    return x * drawn[start * rows:stop * rows]


def _normalise(layer, x):
    """Batch norm of x (N, C, ...) with the mean and the variance of all processes' rows."""
    if not layer.training:
        return type(layer).forward(layer, x)
    over, clips = [0, *range(2, x.ndim)], _own().stop - _own().start
    part = 1 / world() if clips == _batch.total else clips / _batch.total
    shape = [1, -1] + [1] * (x.ndim - 2)
    mean = _Sum.apply(x.mean(over) * part)  # (C,)
    variance = _Sum.apply((x - mean.view(shape)).square().mean(over) * part)
    count = x.numel() // x.shape[1] * _batch.total // clips
    with torch.no_grad():
        layer.num_batches_tracked += 1
        layer.running_mean.lerp_(mean, layer.momentum)
        layer.running_var.lerp_(variance * (count / (count - 1)), layer.momentum)
    scale = layer.weight * (variance + layer.eps).rsqrt()
    return x * scale.view(shape) + (layer.bias - mean * scale).view(shape)


class _Sum(torch.autograd.Function):
    """The sum of all processes' tensors, and of their gradients."""

    @staticmethod
    def forward(ctx, tensor):
        tensor = tensor.contiguous().clone()
        dist.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx, gradient):
        return _Sum.forward(ctx, gradient)
