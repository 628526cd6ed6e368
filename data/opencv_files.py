"""Open video files with OpenCV whatever their names are.

OpenCV takes names as text in UTF-8. Given another name, versions up to 5.0 end the process by a segmentation fault, and
4.10 and older refuse the bytes of a name. Such a file is therefore opened by a symbolic link with a plain name.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2


def open_capture(path: str | Path, options: Sequence[int] = ()) -> cv2.VideoCapture:
    """Return a capture that reads a video file; options: as in cv2.VideoCapture."""
    with _plain_name(path) as name:
        return cv2.VideoCapture(name, cv2.CAP_ANY, list(options))


def open_writer(path: str | Path, backend: int, codec: str, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    """Return a writer of a video file. codec: four letters. size: (width, height)."""
    with _plain_name(path) as name, _silence():
        return cv2.VideoWriter(name, backend, cv2.VideoWriter_fourcc(*codec), fps, size)


@contextmanager
def _silence() -> Iterator[None]:
    """Throw away what is written to this process's standard error, by C code too, in the block.

    Every time OpenCV opens a WebM file, it writes there that it had to look up the codec elsewhere.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _plain_name(path: str | Path) -> Iterator[str]:
    """Yield a name of the file that OpenCV can open, which is valid in the block. The file need not exist.

    Raises OSError if the name is not UTF-8 and no link can be made.
    """
    name = _as_utf8(path)
    if name is not None:
        yield name
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"video{_as_utf8(Path(path).suffix) or ''}"
        link.symlink_to(Path(path).absolute())
        name = _as_utf8(link)
        if name is None:
            raise OSError(f"OpenCV cannot open {path}, whose name is not UTF-8, by a link in {folder}; rename the "
                          "file, or let TMPDIR name a folder whose name is ASCII")
        yield name


def _as_utf8(path: str | Path) -> str | None:
    """Return the bytes of a name as text, or None if they are not UTF-8. OpenCV turns the text into the same bytes."""
    try:
        return os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        return None
