"""Weights in files of any origin: safe reading, and the named tensors inside whatever wraps them.

    content = read_safely("best.pth")       # plain values and tensors on the CPU; nothing in the file is executed
    state = tensors_of(content)             # {"backbone.conv1.weight": tensor, ...} without module. and _orig_mod.

Files are read with torch.load(weights_only=True). Numbers and texts of NumPy, such as a loss beside the weights, are
allowed too. They become plain Python values without NumPy's own pickle functions, to which a hostile file could pass
descriptions of memory that it does not own.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from runtime.errors import UserError

WRAPPERS = ("module.", "_orig_mod.")  # before names: of DataParallel and its kin, and of torch.compile
NESTED = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params",
          "ema_state_dict", "state_dict_ema", "model_ema", "ema")  # where files keep weights; the first one applies
DEPTH = 4  # dictionaries around the weights in which they are searched
NUMPY_VALUE = re.compile(r"b1|[iu][1248]|f[248]|U\d{1,6}")  # types of a scalar: number of bytes, of U of characters


class _Dtype:
    """Stands for numpy.dtype in a file: the type of one number or text."""

    def __init__(self, code: str, *flags: Any) -> None:
        self.code, self.order = str(code), "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _scalar(dtype: _Dtype, content: bytes) -> bool | int | float | str:
    """Stand for numpy's function `scalar` in a file: return the value with these bytes as a plain Python value."""
    if not NUMPY_VALUE.fullmatch(dtype.code):
        raise UserError(f"a value of NumPy's type {dtype.code!r} is neither a number nor a text")
    return np.frombuffer(content, dtype.order + dtype.code).item()


SAFE = [(_Dtype, "numpy.dtype"), (_scalar, "numpy.core.multiarray.scalar"),  # as NumPy 1.26 names it
        (_scalar, "numpy._core.multiarray.scalar")]  # as NumPy 2 names it


def read_safely(path: str | Path) -> Any:
    """Return the content of a file of torch.save, with its tensors on the CPU, wherever they were saved.

    Raises UserError if the file is damaged or contains pickled objects besides weights and plain values.
    """
    try:
        with torch.serialization.safe_globals(SAFE):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged bytes
        raise UserError(f"{path} ({Path(path).stat().st_size} bytes) is not a checkpoint that torch can load safely; "
                        "it may be damaged, or it may contain pickled objects besides weights: then save only its "
                        "state_dict") from error


def tensors_of(content: Any) -> dict[str, torch.Tensor]:
    """Return the named tensors in the content of a file: a state dict, or dictionaries that contain one (NESTED).

    The names are those of the bare model, see `plain_names`. Anything else has no tensors.
    """
    return plain_names(_state_in(content, DEPTH))


def _state_in(content: Any, depth: int) -> dict[str, torch.Tensor]:
    if not isinstance(content, dict):
        return {}
    for name in NESTED if depth else ():
        inside = _state_in(content.get(name), depth - 1)
        if inside:
            return inside
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def plain_names(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state dict without the prefixes WRAPPERS, however many a name has and in whatever order.

    torch.compile also wraps parts of a model, so its prefix is removed inside names too. A name keeps its prefixes if
    it would be equal to another name without them.
    """
    plain = {name: _plain_name(str(name)) for name in state}
    counts = {}
    for name in plain.values():
        counts[name] = counts.get(name, 0) + 1
    return {plain[name] if counts[plain[name]] == 1 else name: value for name, value in state.items()}


def _plain_name(name: str) -> str:
    name = re.sub(r"(?<=\.)_orig_mod\.", "", name)
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name
