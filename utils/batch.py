"""Work on many videos, and the record of the videos made and the options used. The scripts of utils/ share these.

A record is {"options": {...}, "videos": {key: entry}}. The key of a video is class/file. Its entry is None or a
dictionary whose fields depend on the script.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import opts
from data.video import VIDEO_SUFFIXES
from runtime.errors import UserError
from runtime.files import read_json, write_json
from runtime.names import readable
from runtime.progress import Progress
from runtime.sentences import first_names
from runtime.workers import in_parallel, n_cores

MASKS = ".masks.npz"  # masks of drawn people, which belong to their videos

Entry = dict[str, Any] | None


def add_work_options(parser: argparse.ArgumentParser, overwrite: str) -> None:
    """Add the options that `work_through` needs, and --overwrite with `overwrite` as its help."""
    parser.add_argument("--workers", type=opts.positive_int, default=n_cores(),
                        help="how many files are processed at the same time")
    parser.add_argument("--overwrite", action="store_true", help=overwrite)


def list_videos(folder: Path) -> list[str]:
    """Return the keys (class/file) of the videos in the class folders of `folder`, sorted."""
    return [path.relative_to(folder).as_posix() for path in sorted(folder.glob("[!.]*/[!.]*"))
            if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]


def warn_of_others(folder: Path) -> None:
    """Warn of what `list_videos` leaves out: videos beside the class folders, and other files or folders in these."""
    beside = [path.name for path in sorted(folder.glob("[!.]*")) if path.suffix.lower() in VIDEO_SUFFIXES]
    videos = set(list_videos(folder))
    inside = [name for path in sorted(folder.glob("[!.]*/[!.]*"))
              if (name := path.relative_to(folder).as_posix()) not in videos and not name.endswith(MASKS)]
    if beside:
        opts.warn(f"{len(beside)} videos lie beside the class folders of {folder} and are left out: "
                  f"{first_names(beside)}")
    if inside:
        opts.warn(f"{len(inside)} files or folders in the class folders of {folder} are no videos and are left out: "
                  f"{first_names(inside)}")


def read_record(path: Path, fields: dict[str, type]) -> dict[str, Any] | None:
    """Return the record in a file, or None if there is no such file; fields: {name: type} of the entries.

    Raises UserError if the file has another form.
    """
    if not path.is_file():
        return None
    record = read_json(path)
    if not _has_fields(record, {"options": dict, "videos": dict}) or not all(
            entry is None or _has_fields(entry, fields) for entry in record["videos"].values()):
        raise UserError(f"{path} is not a record of this script; remove it and the videos beside it, or give another "
                        "folder")
    return record


def _has_fields(content: Any, fields: dict[str, type]) -> bool:
    """Return whether `content` is a dictionary with these fields of these types."""
    return isinstance(content, dict) and all(isinstance(content.get(name), kind) for name, kind in fields.items())


class Record:
    """The record of the videos in a folder, kept in a file of that folder. Attribute `videos`: {key: entry}.

    path: the file. options: those that the videos are made with. fields: {name: type} of the entries. overwrite: remove
    all videos of the folder and start a new record. keys_are_files: the keys name the files in the folder; otherwise
    they name the files from which those in the folder were made.
    Raises ValueError if the folder holds files that this script did not make, or was filled with other options.
    """

    def __init__(self, path: Path, options: dict[str, Any], fields: dict[str, type], overwrite: bool = False,
                 keys_are_files: bool = False) -> None:
        self.path, self.options = path, options
        before, folder = read_record(path, fields), path.parent
        present = {file.relative_to(folder).as_posix(): file
                   for pattern in ("*/*.avi", "*/*.masks.npz", "00sequences.txt")
                   for file in sorted(folder.glob(pattern))}
        for name in present:
            if not before or (keys_are_files and name.endswith(".avi") and name not in before["videos"]):
                raise UserError(f"{folder} holds {name}, which this script did not make (it is not in {path.name}); "
                                "give another folder")
        if overwrite:
            for file in present.values():
                file.unlink()
        if overwrite or not before:
            before = {"options": options, "videos": {}}
        for name, value in options.items():
            if before["options"].get(name, value) != value:
                raise UserError(f"{path}: made with {name} {before['options'].get(name)}, but now it is {value}; give "
                                "the same options, another folder, or --overwrite")
        self.videos: dict[str, Entry] = before["videos"]

    def update(self, entries: Mapping[str, Entry]) -> None:
        """Add or replace {key: entry}, and write the whole record, sorted by key."""
        self.videos |= entries
        write_json(self.path, {"options": self.options, "videos": dict(sorted(self.videos.items()))})


def work_through(keys: Collection[str], kept: Collection[str], function: Callable[[str], Entry],
                 args: argparse.Namespace, noun: str, verb: str, record: Record | None = None) -> None:
    """Call function(key) for all `keys` that are not in `kept`, several at the same time, and record the results.

    noun, verb: words for the output, as "videos", "trimmed". Warns of every failure and prints counts by class. Raises
    UserError if all keys fail.
    """
    errors, todo = {}, [key for key in keys if key not in kept]
    with Progress(len(todo), f"{noun} {verb}", "file") as progress:
        for key, result, error in in_parallel(function, todo, args.workers):
            if error:
                errors[key] = error
            elif record:
                record.update({key: result})
            progress.update()
    for key in sorted(errors):
        opts.warn(f"{key}: {errors[key]}")
    counts = {kind: Counter(key.split("/")[0] for key in group)
              for kind, group in (("all", keys), ("kept", kept), ("failed", errors))}
    for label, total in sorted(counts["all"].items()):
        n_kept, n_failed = counts["kept"][label], counts["failed"][label]
        print(f"{readable(label)}: {total - n_kept - n_failed} {noun} {verb}, {n_kept} kept from before, {n_failed} "
              "skipped")
    if len(errors) == len(keys):
        last = max(errors)
        raise UserError(f"none of the {len(keys)} {noun} could be {verb}; {last}: {errors[last]}")
