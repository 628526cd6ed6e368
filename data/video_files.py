"""The files that --video means: files, and the videos in folders."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from data.video import VIDEO_SUFFIXES
from runtime.errors import UserError
from runtime.sentences import first_names


def video_files(paths: Sequence[Path] | None) -> list[Path] | None:
    """Return the files that `paths` name, each once, in their order; for a folder the videos in it, by name.

    None, for the clips of the data set, remains None. Warns of files in a folder that are left out. Raises UserError if
    a folder holds no video. A file that does not exist remains, because the other ones can be read.
    """
    if paths is None:
        return None
    files = {}  # {file without links: as it was given first}
    for path in paths:
        for file in _files_in(path) if path.is_dir() else [path]:
            files.setdefault(file.resolve(), file)
    return list(files.values())


def _files_in(folder: Path) -> list[Path]:
    """Return the videos in a folder, by name."""
    entries = sorted(folder.glob("[!.]*"))
    videos = [path for path in entries if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    others = [path.name for path in entries if path not in videos]
    if not videos:
        raise UserError(f"--video {folder} is a folder without videos ({', '.join(VIDEO_SUFFIXES)}); give video files "
                        "or a folder that holds them")
    if others:
        warnings.warn(f"--video {folder}: {len(others)} files or folders in it are no videos and are left out: "
                      f"{first_names(others)}", stacklevel=3)
    return videos
