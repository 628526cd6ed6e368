"""Import torchvision without PyTorch's compiler, which nothing here uses and which takes as long as PyTorch itself.

    from model.vision import models, without_memory
    with without_memory():
        network = models.mobilenet_v2(weights=None)

torchvision imports torch._dynamo for one function, which tells whether a device has the compiler. A stand-in for that
module loads the real one when the function is called, which happens for detection networks alone.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

COMPILER = "torch._dynamo.utils"


class _Later(ModuleType):
    """A stand-in for the compiler, which is imported when one of its functions is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments, **options):
            if sys.modules.get(COMPILER) is self:
                del sys.modules[COMPILER]
            return getattr(importlib.import_module(COMPILER), name)(*arguments, **options)

        return call


def _import_torchvision() -> ModuleType:
    """Return torchvision. If the compiler is not loaded yet, importing torchvision does not load it."""
    stand_in = _Later(COMPILER)
    sys.modules.setdefault(COMPILER, stand_in)
    try:
        return importlib.import_module("torchvision")
    finally:
        if sys.modules.get(COMPILER) is stand_in:
            del sys.modules[COMPILER]


torchvision = _import_torchvision()
models, ops = torchvision.models, torchvision.ops


class _Unfilled(TorchFunctionMode):
    """Leaves new weights as they are. On the device "meta" they have no values, and filling them loads the compiler."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        options = options or {}
        in_place = function in (torch.Tensor.normal_, torch.Tensor.uniform_)
        if in_place or getattr(function, "__module__", None) == "torch.nn.init":
            return arguments[0] if arguments else options["tensor"]
        return function(*arguments, **options)


@contextmanager
def without_memory() -> Iterator[None]:
    """Build networks in the block whose weights have shapes but no values, whatever sizes a damaged file gives."""
    with torch.device("meta"), _Unfilled():
        yield
