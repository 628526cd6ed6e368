"""Training on several processes, each with a share of every batch, to the same result as one process with all of it.

    forward = share_batches(forward, parameters)      # a module; then, for each batch of 8 clips:
    weight = begin_batch(8)
    loss = cross_entropy(forward(clips[share(8)]), labels[share(8)]) * weight * n_of_share / 8

DistributedDataParallel averages the gradients of the processes. Two kinds of layers depend on the whole batch: batch
norm takes its statistics over all processes (PyTorch's SyncBatchNorm does so on CUDA only), and random layers draw for
all clips, from the same seed in all processes, and keep the rows of their own clips. If clips differ in length, the
processes tell each other how many rows they have, because the backbone reads the true frames only.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from model.vision import ops
from runtime.processes import rank, world

RANDOM = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, ops.StochasticDepth)
_batch = SimpleNamespace(total=1, mixed=False)  # clips in the current batch, in all processes; whether lengths differ


def share(total: int) -> slice:
    """Return this process's slice of a batch of `total` clips, or all of it if there are fewer clips than processes."""
    if total < world():
        return slice(0, total)
    return slice(total * rank() // world(), total * (rank() + 1) // world())


def begin_batch(total: int, mixed: bool = False) -> int:
    """Set the size of the next batch and return the weight that offsets DistributedDataParallel's averaging.

    mixed: whether the clips of the data set differ in length; it must be the same in all processes.
    """
    _batch.total, _batch.mixed = total, mixed
    return world() if total >= world() else 1


def share_batches(forward: nn.Module, parameters: list[nn.Parameter]) -> nn.Module:
    """Return a module whose `parameters` are trained by all processes; with one process, the module itself.

    Layers that depend on the whole batch are replaced in place. Their parameters and buffers keep their names.
    """
    if world() == 1:
        return forward
    trained = set(parameters)
    for weight in forward.parameters():
        weight.requires_grad_(weight in trained)
    for name, layer in list(forward.named_modules()):
        if isinstance(layer, _BatchNorm):
            forward.set_submodule(name, WholeBatchNorm(layer))
        elif isinstance(layer, RANDOM):
            forward.set_submodule(name, WholeBatchRandom(layer))
    return nn.parallel.DistributedDataParallel(forward)


def _own() -> slice:
    """Return this process's slice of the current batch."""
    return share(_batch.total)


def _rows(x: torch.Tensor) -> tuple[int, int]:
    """Return the place of the first row of x among the rows of all processes, and the number of all rows.

    A row is a clip or a frame. If each process has the whole batch, these are 0 and the number of rows of x.
    """
    own = _own()
    if not _batch.mixed:
        per_clip = len(x) // (own.stop - own.start)
        return own.start * per_clip, _batch.total * per_clip
    if _batch.total < world():
        return 0, len(x)
    counts = [torch.empty(1, dtype=torch.long, device=x.device) for _ in range(world())]
    dist.all_gather(counts, torch.full_like(counts[0], len(x)))
    return int(sum(counts[:rank()])), int(sum(counts))


class WholeBatchRandom(nn.Module):
    """A random layer, which multiplies its input by what it draws, for this process's rows of the whole batch."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return self.layer(x)
        first, total = _rows(x)
        rest = [1] * (x.ndim - 1) if isinstance(self.layer, ops.StochasticDepth) else x.shape[1:]
        drawn = self.layer(_ones(total, rest, x))
        return x * drawn[first:first + len(x)]


def _ones(count: int, rest: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """Return ones (count, *rest) with the dimensions of `like` in the same order in memory, in which layers draw."""
    order = sorted(range(like.ndim), key=lambda dim: (-like.stride(dim), -like.shape[dim]))  # a single row has a tie
    shape = [count, *rest]
    ones = like.new_ones([shape[dim] for dim in order])
    return ones.permute([order.index(dim) for dim in range(like.ndim)])


class WholeBatchNorm(_BatchNorm):
    """Batch norm with the mean and the variance of the rows of all processes. It shares the weights of `layer`."""

    def __init__(self, layer: _BatchNorm):
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self.weight, self.bias = layer.weight, layer.bias
        for name, buffer in layer.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        self.train(layer.training)

    def _check_input_dim(self, x: torch.Tensor) -> None:
        """Accept inputs (N, C, ...) of any number of dimensions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        over, (_, total) = [0, *range(2, x.ndim)], _rows(x)
        part = 1 / world() if total == len(x) else len(x) / total
        shape = [1, -1] + [1] * (x.ndim - 2)
        mean = _Sum.apply(x.mean(over) * part)  # (C,)
        variance = _Sum.apply((x - mean.view(shape)).square().mean(over) * part)
        count = x.numel() // x.shape[1] * total // len(x)
        with torch.no_grad():
            self.num_batches_tracked += 1
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * (count / (count - 1)), share)
        scale = self.weight * (variance + self.eps).rsqrt()
        return x * scale.view(shape) + (self.bias - mean * scale).view(shape)


class _Sum(torch.autograd.Function):
    """Add up the tensors of all processes, and in the backward pass their gradients."""

    @staticmethod
    def forward(ctx, tensor):
        tensor = tensor.contiguous().clone()
        dist.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx, gradient):
        return _Sum.forward(ctx, gradient)
