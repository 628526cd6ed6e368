"""Weights in files of any origin: safe reading, and loading them into a network under the names that it has.

    content = read_safely("best.pth")       # plain values and tensors on the CPU; nothing in the file is executed
    state = tensors_of(content)             # {"backbone.conv1.weight": tensor, ...} without module. and _orig_mod.
    load_tensors(network, state, "best.pth")

Files are read with torch.load(weights_only=True). Numbers and texts of NumPy, such as a loss beside the weights, are
allowed too, and a Namespace of options, as Lightning saves it. The former become plain Python values without NumPy's
own pickle functions, to which a hostile file could pass descriptions of memory that it does not own.
"""

import hashlib
import re
from argparse import Namespace
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from runtime.errors import UserError

try:
    import safetensors.torch
except ImportError:  # an optional package
    safetensors = None

WRAPPERS = ("module.", "_orig_mod.")  # before names: of DataParallel and its kin, and of torch.compile
NESTED = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params",
          "ema_state_dict", "state_dict_ema", "model_ema", "ema")  # where files keep weights; the first one applies
DEPTH = 4  # dictionaries around the weights in which they are searched
NUMPY_VALUE = re.compile(r"b1|[iu][1248]|f[248]|U\d{1,6}")  # types of a scalar: number of bytes, of U of characters
COUNTER = "num_batches_tracked"  # of batch norm; files of old versions of PyTorch lack it


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


SAFE = [Namespace, (_Dtype, "numpy.dtype"), (_scalar, "numpy.core.multiarray.scalar"),  # as NumPy 1.26 names it
        (_scalar, "numpy._core.multiarray.scalar")]  # as NumPy 2 names it


def read_safely(path: str | Path, hint: str = "give an existing path") -> Any:
    """Return the content of a file of torch.save, with its tensors on the CPU, wherever they were saved.

    hint: what to do if there is no such file, which raises FileNotFoundError. Raises UserError if the file is damaged
    or contains pickled objects besides weights and plain values.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; {hint}")
    if Path(path).suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        with torch.serialization.safe_globals(SAFE):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged bytes
        told = f"{path} ({Path(path).stat().st_size} bytes) is not a checkpoint that torch can load safely; "
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if not refused:
            raise UserError(told + "it may be damaged: copy it again") from error
        raise UserError(f"{told}it contains objects of {refused[1]}, whose loading may run any code: if you trust it, "
                        f"convert it by `content = torch.load({str(path)!r}, weights_only=False)` and `torch.save("
                        "content.state_dict() if hasattr(content, 'state_dict') else content['state_dict'], "
                        "'weights.pth')`") from error


def _read_safetensors(path: str | Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file of Hugging Face's package safetensors, which must be installed."""
    if safetensors is None:
        raise UserError(f"{path} is a file of the package safetensors, which is not installed; run `pip install "
                        "safetensors`")
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise UserError(f"{path} ({Path(path).stat().st_size} bytes) is damaged ({error}); copy it again") from error


def tensors_of(content: Any, depth: int = DEPTH) -> dict[str, torch.Tensor]:
    """Return the named tensors in the content of a file: a state dict, or dictionaries that contain one (NESTED).

    The names are those of the bare model, see `plain_names`. Anything else has no tensors.
    """
    if not isinstance(content, dict):
        return {}
    for name in NESTED if depth else ():
        inside = tensors_of(content.get(name), depth - 1)
        if inside:
            return inside
    return plain_names({str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)})


def tensors_in(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors in the state dict of a network, which may hold other things too."""
    return {name: value for name, value in network.state_dict().items() if isinstance(value, torch.Tensor)}


def plain_names(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state dict without the prefixes WRAPPERS, however many a name has and in whatever order.

    torch.compile also wraps parts of a model, so its prefix is removed inside names too. A name keeps its prefixes if
    it would be equal to another name without them.
    """
    plain = {name: _plain_name(name) for name in state}
    names = list(plain.values())
    return {plain[name] if names.count(plain[name]) == 1 else name: value for name, value in state.items()}


def _plain_name(name: str) -> str:
    name = re.sub(r"(?<=\.)_orig_mod\.", "", name)
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name


def prefix_before(names: Collection[str], needed: Collection[str]) -> str:
    """Return the prefix that ends with a dot, or the empty one, under which `names` hold most of the needed names."""
    prefixes = {""} | {name[:place + 1] for name in names for place, letter in enumerate(name) if letter == "."}
    return max(sorted(prefixes, key=len), key=lambda prefix: sum(prefix + name in names for name in needed))


def load_tensors(network: nn.Module, state: dict[str, torch.Tensor], fault: str, advice: str,
                 assign: bool = False) -> None:
    """Load named tensors into a network. UserError if one is missing, has another shape, or is one too many.

    fault: the beginning of this sentence, such as the name of the file; advice: its end. assign: replace the network's
    tensors instead of copying into them, with those of its types.
    """
    own = tensors_in(network)
    faults = [
        ("lacks {} weights of the network", [name for name in own if name not in state and not name.endswith(COUNTER)]),
        ("has {} that the network lacks", [name for name in state if name not in own]),
        ("has {} of another shape", [name for name in own if name in state and own[name].shape != state[name].shape]),
    ]
    found = [f"{text.format(len(names))} (first: {names[0]})" for text, names in faults if names]
    if found:
        raise UserError(f"{fault} {', '.join(found)}; {advice}")
    state = {name: state[name].to(value.dtype) for name, value in own.items() if name in state}
    if assign:  # what the file lacks was left without values
        state |= {name: value.new_zeros(value.shape, device="cpu") for name, value in own.items() if name not in state}
    network.load_state_dict(state, strict=False, assign=assign)


def weights_digest(model: nn.Module) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 digest of a model's names and weights."""
    digest = hashlib.sha256()
    for name, value in tensors_in(model).items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
