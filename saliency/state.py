"""The state of a model and of PyTorch, which every explanation leaves as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from runtime.device import tf32


@contextmanager
def untouched(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model in eval mode without parameter gradients during the block; restore it exactly afterwards.

    During the block, a GPU computes in full float32. PyTorch's default for convolutions is TF32, see runtime.device.
    """
    modes = [(module, module.training) for module in model.modules()]
    requires_grad = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval().requires_grad_(False)
        with tf32(False):
            yield model
    finally:
        for module, training in modes:
            module.training = training
        for parameter, required in requires_grad:
            parameter.requires_grad_(required)
