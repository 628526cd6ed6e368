"""The annotation file: which clips there are, of which class, in which subset.

    {"labels": ["running", "walking"],
     "database": {"person01_running_d1_1": {"subset": "validation", "annotations": {"label": "running"}}, ...}}
"""

from pathlib import Path, PurePosixPath, PureWindowsPath
from reprlib import repr as shortened
from typing import NamedTuple

from data.datasets.split import SUBSETS
from runtime.files import read_json, write_json


class Annotation(NamedTuple):
    labels: list[str]  # the classes, in the order of the model's outputs
    clips: dict[str, tuple[str, str]]  # clip -> (subset, label), in the order of the file


def read_annotation(path):
    """The Annotation in a file. ValueError, saying what was found, where it has another form.

    A subset may be without clips. Names of clips and classes become names of folders: one that would lead out of the
    data folder is refused.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no annotation at {path}; make it with utils/generate_data.sh")
    content = read_json(path)
    labels = content.get("labels") if isinstance(content, dict) else None
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(labels, list) or not isinstance(database, dict):
        raise ValueError(f"{path} should hold a list 'labels' and an object 'database', found {shortened(content)}")
    if not labels or not all(isinstance(label, str) and _is_file_name(label) for label in labels):
        raise ValueError(f"{path}: 'labels' should be the names of the class folders, found {shortened(labels)}")
    if len(set(labels)) < len(labels):
        raise ValueError(f"{path}: 'labels' names a class twice: {shortened(labels)}")
    return Annotation(labels, {clip: _read_entry(path, clip, entry, labels) for clip, entry in database.items()})


def _read_entry(path, clip, entry, labels):
    if not _is_file_name(clip):
        raise ValueError(f"{path}: clip {shortened(clip)} is no plain folder name and might lead out of the data")
    subset = entry.get("subset") if isinstance(entry, dict) else None
    annotations = entry.get("annotations") if isinstance(entry, dict) else None
    label = annotations.get("label") if isinstance(annotations, dict) else None
    if subset not in SUBSETS:
        raise ValueError(f"{path}: clip {clip} has subset {shortened(subset)}, which is none of {', '.join(SUBSETS)}")
    if label not in labels:
        raise ValueError(f"{path}: clip {clip} has label {shortened(label)}, which is none of {shortened(labels)}")
    return subset, label


def _is_file_name(name):
    """Whether this is one component of a path on every system: no separator, drive, '..' or NUL."""
    plain = name == PurePosixPath(name).name == PureWindowsPath(name).name
    return plain and name not in ("", "..") and "\0" not in name


def write_annotation(path, labels, clips):
    """Write {clip: (subset, label)} in the form above, whole or not at all."""
    database = {
        clip: {"subset": subset, "annotations": {"label": label}} for clip, (subset, label) in clips.items()
    }
    for leftover in Path(path).parent.glob(f".{Path(path).stem}.part[0-9]*"):  # of a run that was killed
        leftover.unlink(missing_ok=True)
    write_json(path, {"labels": list(labels), "database": database})
