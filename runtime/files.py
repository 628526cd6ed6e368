"""Files that are either whole or not there: written under a temporary name, flushed, then renamed.

    with whole_file("results/metrics.json") as path:
        path.write_text("{}")
"""

import csv
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: without the guard of `sole_writer`
    fcntl = None

MAX_JSON = 256 << 20  # bytes


def by_name(named):
    """{name: path} of pairs (name, path). ValueError where two paths have one name, which one result would have too."""
    paths = {}
    for name, path in named:
        if name in paths:
            raise ValueError(f"{paths[name]} and {path} have one name, {name}, as their results would; rename one")
        paths[name] = path
    return paths


def _make(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write into {folder} ({error.strerror}); choose another folder") from error


def _temporary(path):
    """A hidden name beside `path` that keeps its suffix, because OpenCV chooses the format by it."""
    _make(path.parent)
    return path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")


def _flush(path):
    """Make sure that what was written lies on the disk, so that no crash leaves a name without its content."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def whole_file(path):
    """Yield a temporary path; after the block it takes the place of `path`, or is removed if the block failed."""
    path = Path(path)
    temporary = _temporary(path)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    finally:
        _remove(temporary)


@contextmanager
def whole_folder(path):
    """Like `whole_file` for a folder of files: yields an empty one that takes the place of `path` after the block."""
    path = Path(path)
    temporary = _temporary(path)
    before = temporary.with_name(temporary.name + ".old")
    _remove(temporary)
    temporary.mkdir()
    try:
        yield temporary
        for written in temporary.iterdir():
            _flush(written)
        if path.exists():  # out of sight before it is taken apart, which a kill could interrupt
            path.replace(before)
        temporary.replace(path)
    finally:
        _remove(temporary)
        _remove(before)


def _remove(path):
    """A file, a folder, or nothing where there is none."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def read_json(path):
    """The parsed file. ValueError, with the place, where it is not JSON, and where it is larger than MAX_JSON bytes."""
    if Path(path).stat().st_size > MAX_JSON:
        raise ValueError(f"{path} is larger than {MAX_JSON >> 20} MiB, more than any of this project; check the path")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); write it again") from error


def as_json(content):
    """What a JSON file would hold: lists for tuples, text for paths, None for numbers that are not finite."""
    return json.loads(json.dumps(content, default=os.fspath), parse_constant=lambda name: None)


def write_json(path, content):
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(as_json(content), indent=1) + "\n", encoding="utf-8")


def write_csv(path, rows):
    """Write rows, each a list of values, as a CSV file, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


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
        _remove(leftover)
