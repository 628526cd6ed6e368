"""The annotation file, which lists the clips with their class and subset.

    {"labels": ["running", "walking"],
     "database": {"person01_running_d1_1": {"subset": "validation", "annotations": {"label": "running"}}, ...},
     "passages": {"person11_running_d1_1_passage": {"subset": "training",
                                                    "annotations": {"label": "running", "visible": [23, 57]}}, ...},
     "empty": {"person11_running_d1_empty_1": {"subset": "training"}, ...},
     "frame_rate": 25.0}

`passages`, `empty` and `frame_rate`, in frames per second, may be missing. The first two list clips that serve
training, see utils/trim_videos.py; `visible` gives the first and the last frame that show the person, 1-based. An entry
may also name the video that its clip was cut from, "source": "running/person01_running_d1_uncomp.avi", and have a
digest of its images, "images": "0123456789abcdef".
"""

import re
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
    sources: dict[str, str] = {}  # noqa: RUF012 {clip, passage or empty clip: class/file of its video}
    digests: dict[str, str] = {}  # noqa: RUF012 {clip, passage or empty clip: data.images.digest}

    def source_of(self, clip: str) -> str:
        """Return the video that a clip was cut from; if it is not known, by the name of the clip without its numbers.

        utils/trim_videos.py names clips <video>_<range> or <video>_<range>_<window>, and does not pad the numbers.
        """
        label = (self.clips.get(clip) or self.passages.get(clip) or ("", ""))[1]
        return self.sources.get(clip, f"{label}/{source_by_name(clip)}")


def source_by_name(clip: str) -> str:
    """Return the name of a clip without the numbers that utils/trim_videos.py appends to the name of the video."""
    return re.sub(r"(_[1-9][0-9]?){1,2}$", "", clip.removesuffix("_passage"))


def read_annotation(path: str | Path) -> Annotation:
    """Return the annotation in a file. A subset may have no clips.

    Raises FileNotFoundError if there is no such file, and UserError if it has another form. Names of clips and classes
    become names of folders, so a name that would lead out of the data folder is an error.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no annotation at {path}; check the path, or make it with utils/generate_data.sh")
    content = read_json(path)
    fault = _fault(content)
    if fault:
        raise UserError(f"{path}: {fault}; correct the file, or write it again with utils/annotate_kth.py")
    clips, passages, empty = (content.get(part, {}) for part in ("database", "passages", "empty"))
    rate = content.get("frame_rate")
    return Annotation(
        content["labels"],
        {clip: (entry["subset"], entry["annotations"]["label"]) for clip, entry in clips.items()},
        {clip: (entry["subset"], entry["annotations"]["label"], tuple(entry["annotations"]["visible"]))
         for clip, entry in passages.items()},
        {clip: entry["subset"] for clip, entry in empty.items()}, None if rate is None else float(rate),
        *({clip: entry[name] for part in (clips, passages, empty) for clip, entry in part.items() if name in entry}
          for name in ("source", "images")))


def _fault(content: Any) -> str | None:
    """Return what is wrong with the content of an annotation file, or None."""
    parts = content if isinstance(content, dict) else {}
    labels, rate = parts.get("labels"), parts.get("frame_rate", 25)
    database, passages, empty = parts.get("database"), parts.get("passages", {}), parts.get("empty", {})
    if not isinstance(labels, list) or not all(isinstance(part, dict) for part in (database, passages, empty)):
        return ("it should hold a list 'labels' and an object 'database', and 'passages' and 'empty' should be "
                f"objects, found {shortened(content)}")
    if not labels or not all(map(_is_file_name, labels)) or len(set(labels)) < len(labels):
        return f"'labels' should be the names of the class folders, each once, found {shortened(labels)}"
    if type(rate) not in (int, float) or not 0 < rate < 1000:
        return f"'frame_rate' should be a number of frames per second, found {shortened(rate)}"
    entries = [(clip, entry, part) for part in (database, passages, empty) for clip, entry in part.items()]
    for clip, entry, part in entries:
        about = entry.get("annotations") if isinstance(entry, dict) else None
        about = about if isinstance(about, dict) else {}
        if not _is_file_name(clip):
            return f"clip {shortened(clip)} is not a plain folder name and could lead out of the data folder"
        if not isinstance(entry, dict) or entry.get("subset") not in SUBSETS:
            return f"clip {clip} should have one of the subsets {', '.join(SUBSETS)}, found {shortened(entry)}"
        if not all(isinstance(entry.get(name, ""), str) for name in ("source", "images")):
            return f"clip {clip} has a source or a digest that is no text"
        if part is not empty and about.get("label") not in labels:
            return f"clip {clip} has label {shortened(about.get('label'))}, which is none of {shortened(labels)}"
        if part is passages and not _is_span(about.get("visible")):
            return f"passage {clip} has 'visible' {shortened(about.get('visible'))}, which are no two frames"
    return None


def _is_span(frames: Any) -> bool:
    """Return whether these are a first and a last frame, counted from 1."""
    return (isinstance(frames, list) and len(frames) == 2 and all(type(frame) is int for frame in frames)
            and 1 <= frames[0] <= frames[1])


def _is_file_name(name: Any) -> bool:
    """Return whether `name` is one component of a path on every system: no separator, drive, '..' or NUL."""
    if not isinstance(name, str) or name in ("", "..") or "\0" in name:
        return False
    return name == PurePosixPath(name).name == PureWindowsPath(name).name


def write_annotation(path: str | Path, labels: Iterable[str], clips: dict[str, tuple[str, str]],
                     passages: dict[str, tuple[str, str, tuple[int, int]]] | None = None,
                     empty: dict[str, str] | None = None, frame_rate: float | None = None,
                     sources: dict[str, str] | None = None, digests: dict[str, str] | None = None) -> None:
    """Write an annotation file, completely or not at all. The arguments have the form of the fields of Annotation."""
    content = {"labels": list(labels), "database": {
        clip: {"subset": subset, "annotations": {"label": label}} for clip, (subset, label) in clips.items()}}
    more = {
        "passages": {clip: {"subset": subset, "annotations": {"label": label, "visible": list(visible)}}
                     for clip, (subset, label, visible) in (passages or {}).items()},
        "empty": {clip: {"subset": subset} for clip, subset in (empty or {}).items()}, "frame_rate": frame_rate}
    content |= {name: value for name, value in more.items() if value}
    for name, values in (("source", sources or {}), ("images", digests or {})):
        for part in ("database", "passages", "empty"):
            for clip in content.get(part, {}).keys() & values.keys():
                content[part][clip][name] = values[clip]
    write_json(path, content)
