"""Import torchvision without PyTorch's compiler, which nothing here uses and which takes as long as PyTorch itself.

    from model.vision import models, without_memory
    with without_memory():
        network = models.mobilenet_v2(weights=None)
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch.overrides import TorchFunctionMode

COMPILER = "torch._dynamo.utils"  # torchvision imports it to ask whether one function for detection is to be compiled

if COMPILER in sys.modules:
    import torchvision
else:
    sys.modules[COMPILER] = ModuleType(COMPILER)
    sys.modules[COMPILER].is_compile_supported = lambda device: False
    import torchvision
    del sys.modules[COMPILER]

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
