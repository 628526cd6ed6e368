"""The files that --video means: files, and the videos in folders."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from data.video import VIDEO_SUFFIXES
from runtime.errors import UserError
from runtime.sentences import first_names

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\]")  # http:/ as a path has it; a drive has a single letter


def video_files(paths: Sequence[Path] | None) -> list[Path] | None:
    """Return the files that `paths` name, each once, in their order; for a folder the videos in it, by name.

    None, for the clips of the data set, remains None. Warns of files in a folder that are left out.
    Raises ValueError if a path is an address or a camera, or a folder without videos. A file that does not exist
    remains, because the other ones can be read.
    """
    if paths is None:
        return None
    files = {}  # {file without links: as it was given first}
    for path in paths:
        for file in _files_in(path) if path.is_dir() else [path]:
            files.setdefault(file.resolve(), file)
        if ADDRESS.match(str(path)) or (path.name.isdecimal() and not path.exists()):
            raise UserError(f"--video {path}: only files are read, no camera and no address; save the video to a file "
                            "and give that")
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"--video {path} is neither a file nor a folder; give a video file")
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
