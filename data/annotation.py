"""The annotation file, which lists the clips with their class and subset.

    {"labels": ["running", "walking"],
     "database": {"person01_running_d1_1": {"subset": "validation", "annotations": {"label": "running"}}, ...},
     "passages": {"person11_running_d1_1_passage": {"subset": "training",
                                                    "annotations": {"label": "running", "visible": [23, 57]}}, ...},
     "empty": {"person11_running_d1_empty_1": {"subset": "training"}, ...},
     "frame_rate": 25.0}

`passages`, `empty` and `frame_rate`, in frames per second, may be missing. The first two list clips that serve
training, see utils/trim_videos.py; `visible` gives the first and the last frame that show the person, 1-based.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from reprlib import repr as shortened
from typing import Any, NamedTuple

from data.datasets.split import SUBSETS
from runtime.errors import UserError
from runtime.files import read_json, write_json


class Annotation(NamedTuple):
    """The content of an annotation file."""

    labels: list[str]  # the classes, in the order of the model's outputs
    clips: dict[str, tuple[str, str]]  # {clip: (subset, label)}, in the order of the file
    passages: dict[str, tuple[str, str, tuple[int, int]]]  # {passage: (subset, label, (first, last) with the person)}
    empty: dict[str, str]  # {empty clip: subset}
    frame_rate: float | None = None  # of all clips, in frames per second


def read_annotation(path: str | Path) -> Annotation:
    """Return the annotation in a file. A subset may have no clips.

    Raises FileNotFoundError if there is no such file, and ValueError if it has another form. Names of clips and classes
    become names of folders, so a name that would lead out of the data folder is an error.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no annotation at {path}; check the path, or make it with utils/generate_data.sh")
    content = read_json(path)
    labels = content.get("labels") if isinstance(content, dict) else None
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(labels, list) or not isinstance(database, dict):
        raise UserError(f"{path} should hold a list 'labels' and an object 'database', found {shortened(content)}; "
                        "check the path")
    if not labels or not all(isinstance(label, str) and _is_file_name(label) for label in labels):
        raise UserError(f"{path}: 'labels' should be the names of the class folders, found {shortened(labels)}; "
                        "correct the file")
    if len(set(labels)) < len(labels):
        raise UserError(f"{path}: 'labels' names a class twice: {shortened(labels)}; correct the file")
    passages, empty = content.get("passages", {}), content.get("empty", {})
    if not isinstance(passages, dict) or not isinstance(empty, dict):
        raise UserError(f"{path}: 'passages' and 'empty' should be objects; write the file again with "
                        "utils/annotate_kth.py")
    return Annotation(
        labels, {clip: _read_entry(path, clip, entry, labels) for clip, entry in database.items()},
        {clip: (*_read_entry(path, clip, entry, labels), _read_visible(path, clip, entry))
         for clip, entry in passages.items()},
        {clip: _read_subset(path, clip, entry) for clip, entry in empty.items()}, _read_rate(path, content))


def _read_rate(path: str | Path, content: dict[str, Any]) -> float | None:
    """Return the frame rate that an annotation file names, or None."""
    rate = content.get("frame_rate")
    if rate is not None and (type(rate) not in (int, float) or not 0 < rate < 1000):
        raise UserError(f"{path}: 'frame_rate' should be a number of frames per second, found {shortened(rate)}; "
                        "correct the file")
    return None if rate is None else float(rate)


def _read_entry(path: str | Path, clip: str, entry: Any, labels: list[str]) -> tuple[str, str]:
    """Return (subset, label) of an entry of the database, and raise ValueError if it has another form."""
    subset = _read_subset(path, clip, entry)
    annotations = entry.get("annotations")
    label = annotations.get("label") if isinstance(annotations, dict) else None
    if label not in labels:
        raise UserError(f"{path}: clip {clip} has label {shortened(label)}, which is none of {shortened(labels)}; "
                        "correct the file")
    return subset, label


def _read_subset(path: str | Path, clip: str, entry: Any) -> str:
    """Return the subset of an entry, and raise ValueError if the entry or its name has another form."""
    if not _is_file_name(clip):
        raise UserError(f"{path}: clip {shortened(clip)} is not a plain folder name and could lead out of the data "
                        "folder; rename it")
    subset = entry.get("subset") if isinstance(entry, dict) else None
    if subset not in SUBSETS:
        raise UserError(f"{path}: clip {clip} has subset {shortened(subset)}, which is none of {', '.join(SUBSETS)}; "
                        "correct the file")
    return subset


def _read_visible(path: str | Path, clip: str, entry: dict[str, Any]) -> tuple[int, int]:
    """Return the frames of a passage that show the person, (first, last), and raise ValueError for another form."""
    visible = entry["annotations"].get("visible")
    whole = isinstance(visible, list) and len(visible) == 2 and all(type(frame) is int for frame in visible)
    if not whole or not 1 <= visible[0] <= visible[1]:
        raise UserError(f"{path}: passage {clip} has 'visible' {shortened(visible)}, which are no two frames, the "
                        "first and the last; correct the file")
    return visible[0], visible[1]


def _is_file_name(name: str) -> bool:
    """Return whether `name` is one component of a path on every system: no separator, drive, '..' or NUL."""
    plain = name == PurePosixPath(name).name == PureWindowsPath(name).name
    return plain and name not in ("", "..") and "\0" not in name


def write_annotation(path: str | Path, labels: Iterable[str], clips: dict[str, tuple[str, str]],
                     passages: dict[str, tuple[str, str, tuple[int, int]]] | None = None,
                     empty: dict[str, str] | None = None, frame_rate: float | None = None) -> None:
    """Write an annotation file, completely or not at all. The arguments have the form of the fields of Annotation."""
    database = {
        clip: {"subset": subset, "annotations": {"label": label}} for clip, (subset, label) in clips.items()
    }
    for leftover in Path(path).parent.glob(f".{Path(path).stem}.part[0-9]*"):  # left by a run that was killed
        leftover.unlink(missing_ok=True)
    content = {"labels": list(labels), "database": database}
    if passages:
        content["passages"] = {
            clip: {"subset": subset, "annotations": {"label": label, "visible": list(visible)}}
            for clip, (subset, label, visible) in passages.items()
        }
    if empty:
        content["empty"] = {clip: {"subset": subset} for clip, subset in empty.items()}
    if frame_rate:
        content["frame_rate"] = frame_rate
    write_json(path, content)
