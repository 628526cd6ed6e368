"""Reading .npz files, which may be damaged or written by somebody else.

    with npz_file("saliency.npz") as arrays:
        frames = arrays["frames"]
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from runtime.errors import UserError


@contextmanager
def npz_file(path: str | Path) -> Iterator[NpzFile]:
    """Open an .npz file for the block; nothing in it is unpickled.

    Raises ValueError with the reason if the file or an array cannot be read. For damaged bytes, numpy and the modules
    that it uses raise exceptions of ten kinds, among them RuntimeError and tokenize.TokenError; all of them count.
    """
    try:
        arrays = np.load(path, allow_pickle=False)
        if not isinstance(arrays, NpzFile):
            raise UserError("it is one array and no .npz file")
        with arrays:
            yield arrays
    except Exception as error:
        raise UserError(str(error) or type(error).__name__) from error
