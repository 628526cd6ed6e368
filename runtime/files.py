"""Files and folders that are either complete or absent: written under a temporary name, flushed, then renamed.

    with whole_file("results/metrics.json") as path:
        path.write_text("{}")
"""

import csv
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.errors import UserError
from runtime.names import readable_content

try:
    import fcntl
except ImportError:  # Windows has no such module, so `sole_writer` takes no lock there
    fcntl = None


def index_by_name(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return {name: path} for pairs (name, path).

    Raises ValueError if two paths have the same name, because their results would be written to the same place.
    """
    paths = {}
    for name, path in pairs:
        if name in paths:
            raise UserError(f"{paths[name]} and {path} have the same name, {name}, so one result would overwrite the "
                            "other; rename one of the two")
        paths[name] = path
    return paths


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write into {folder} ({error.strerror}); choose another folder") from error


def _temporary_path(path: Path) -> Path:
    """Return a hidden name beside `path`, with the same suffix, because OpenCV chooses the format by the suffix."""
    _make_folder(path.parent)
    return path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")


def _flush(path: Path) -> None:
    """Force the content of a file onto the disk, so that a crash after the renaming cannot leave an empty file."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path. After the block it replaces `path`; if the block fails, it is removed."""
    path = Path(path)
    temporary = _temporary_path(path)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    finally:
        _remove(temporary)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder for files. After the block it replaces the folder `path`.

    If the block fails, the temporary folder is removed and `path` stays as it was.
    """
    path = Path(path)
    temporary = _temporary_path(path)
    old = temporary.with_name(temporary.name + ".old")
    _remove(temporary)
    temporary.mkdir()
    try:
        yield temporary
        for written in temporary.iterdir():
            _flush(written)
        if path.exists():  # rename it before deleting its files, because a kill could interrupt the deletion
            path.replace(old)
        temporary.replace(path)
    finally:
        _remove(temporary)
        _remove(old)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def read_json(path: str | Path) -> Any:
    """Return the content of a JSON file. Raises UserError if it is not valid JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); check the path or create the file again") from error


def as_json(content: Any) -> Any:
    """Return `content` as a JSON file gives it back: tuples as lists, paths as text, NaN and infinity as None."""
    return json.loads(json.dumps(content, default=os.fspath), parse_constant=lambda name: None)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as a JSON file (see `as_json`), completely or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(as_json(content), indent=1) + "\n", encoding="utf-8")


def write_csv(path: str | Path, rows: Iterable[Sequence]) -> None:
    """Write rows, each a list of values, as a CSV file in UTF-8 (`readable` texts), completely or not at all."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(map(readable_content, map(list, rows)))


@contextmanager
def sole_writer(folder: str | Path) -> Iterator[None]:
    """Keep other runs from writing into `folder` during the block, and remove what killed processes left unfinished.

    Raises OSError if another run is writing there or if the folder cannot be written. The operating system releases the
    lock when the process ends, even if it is killed.
    """
    folder = Path(folder)
    _make_folder(folder)
    with (folder / ".lock").open("w") as lock:
        try:
            if fcntl:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise OSError(f"another run is writing into {folder}; wait for it or choose another folder") from error
        except OSError as error:  # on some network drives
            warnings.warn(f"the file system of {folder} has no locks ({error.strerror}), so start only one run at a "
                          "time", stacklevel=3)
        _remove_leftovers(folder)
        try:
            yield
        finally:
            _remove_leftovers(folder)


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` and in its folders."""
    for leftover in [*folder.glob(".*.part[0-9]*"), *folder.glob("*/.*.part[0-9]*")]:
        _remove(leftover)
