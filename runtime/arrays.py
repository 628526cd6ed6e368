"""Reading .npz files, which may be damaged or written by somebody else.

    frames = read_npz("saliency.npz", ["frames"])["frames"]
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from runtime.errors import UserError


def read_npz(path: str | Path, names: Iterable[str] | None = None, most_bytes: int | None = None) -> dict:
    """Return {name: array} of an .npz file, for the arrays `names` or for all; nothing in it is unpickled.

    Raises UserError with the reason if the file or an array cannot be read, or if an array has more than `most_bytes`.
    For damaged bytes, numpy and the modules that it uses raise exceptions of ten kinds, among them RuntimeError and
    tokenize.TokenError; all of them count.
    """
    try:
        arrays = np.load(path, allow_pickle=False)
        if not isinstance(arrays, NpzFile):
            raise UserError("it is one array and no .npz file")
        with arrays:
            names = arrays.files if names is None else names
            if most_bytes and any(arrays.zip.getinfo(f"{name}.npy").file_size > most_bytes for name in names):
                raise UserError(f"more than {most_bytes >> 30} GiB")
            return {name: arrays[name] for name in names}
    except Exception as error:
        raise UserError(str(error) or type(error).__name__) from error
