"""The state of a model, which every explanation leaves as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def untouched(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model in eval mode without parameter gradients during the block; restore it exactly afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    requires_grad = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval().requires_grad_(False)
        yield model
    finally:
        for module, training in modes:
            module.training = training
        for parameter, required in requires_grad:
            parameter.requires_grad_(required)
