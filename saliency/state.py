"""The state of a model and of PyTorch, which every explanation leaves as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def untouched(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model in eval mode without parameter gradients during the block; restore it exactly afterwards.

    During the block, convolutions on a GPU compute in full float32. PyTorch's default there is TF32, whose 10 bits of
    mantissa cause errors of a percent in gradients, more than the error bound of TSR allows.
    """
    tf32 = torch.backends.cudnn.allow_tf32
    modes = [(module, module.training) for module in model.modules()]
    requires_grad = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        torch.backends.cudnn.allow_tf32 = False
        model.eval().requires_grad_(False)
        yield model
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
        for module, training in modes:
            module.training = training
        for parameter, required in requires_grad:
            parameter.requires_grad_(required)
