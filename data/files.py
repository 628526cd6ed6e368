"""Files that are either whole or not there: written under a temporary name, flushed, then renamed.

    with whole_file("results/metrics.json") as path:
        path.write_text("{}")
"""

import json
import math
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: without the guard of `sole_writer`
    fcntl = None


def _temporary(path):
    """A hidden name beside `path` that keeps its suffix, because OpenCV chooses the format by it."""
    return path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")


def _make(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write into {folder} ({error.strerror}); choose another folder") from error


@contextmanager
def whole_file(path):
    """Yield a temporary path; after the block it takes the place of `path`, or is removed if the block failed."""
    path = Path(path)
    _make(path.parent)
    temporary = _temporary(path)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path):
    """Like `whole_file` for a folder: yields an empty one that takes the place of `path` after the block."""
    path = Path(path)
    _make(path.parent)
    temporary = _temporary(path)
    before = temporary.with_name(temporary.name + ".old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():  # out of sight before it is taken apart, which a kill could interrupt
            path.replace(before)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)


def read_json(path):
    """The parsed file. ValueError, with the place, where it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); write it again") from error


def write_json(path, content):
    """Write plain values; numbers that are not finite, which JSON does not know, become null."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(_finite(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def sole_writer(folder):
    """Keep other runs from writing into `folder` during the block; clear what killed processes left half-written.

    OSError where another run is at work there, or the folder cannot be written. The lock goes with the process, however
    it ends.
    """
    folder = Path(folder)
    _make(folder)
    try:
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise OSError(f"cannot write into {folder} ({error.strerror}); choose another folder") from error
    with lock:
        try:
            if fcntl:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(f"another run is writing into {folder}; wait for it or choose another folder") from error
        _clear(folder)
        try:
            yield
        finally:
            _clear(folder)


def _clear(folder):
    for leftover in [*folder.glob(".*.part[0-9]*"), *folder.glob("*/.*.part[0-9]*")]:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
