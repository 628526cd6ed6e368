"""Splits that come with a data set: the lists of UCF101 and HMDB51, and lists of your own in one of their forms.

    listed = read_split_files(["trainlist01.txt", "testlist01.txt"])
    listed["Archery", "v_Archery_g01_c01"]                           # "testing"
    subsets, problems = split_by_files(clips, sources, listed, validation_share=0.1, seed=0)

UCF101 (Soomro, Zamir and Shah, 2012): trainlist01.txt and testlist01.txt hold lines such as
"Archery/v_Archery_g08_c01.avi 3"; the number may be missing. classInd.txt holds lines such as "3 Archery" and adds
nothing to them.
HMDB51 (Kuehne, Jhuang, Garrote, Poggio and Serre, ICCV 2011): wave_test_split1.txt holds lines such as "name.avi 1",
with 1 for training, 2 for testing and 0 for a video that this split does not use.
"""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from data.datasets.kth import group_in_name
from data.datasets.split import in_random_order
from runtime.errors import UserError
from runtime.sentences import first_names, shortened

UCF_LINE = re.compile(r"([^/\\]+)[/\\]([^/\\]+)\.\w+(?:\s+\d+)?")
HMDB_LINE = re.compile(r"([^/\\]+)\.\w+\s+([012])")
CLASS_LINE = re.compile(r"\d+\s+[^/\\.]+")
UCF_FILES = {"train": "training", "val": "validation", "test": "testing"}  # start of the file's name: subset
HMDB_FILE = re.compile(r"(.+)_test_split\d+\.txt")
HMDB_SUBSETS = {"0": None, "1": "training", "2": "testing"}

Video = tuple[str, str]  # (class, name of the video's file without its suffix)
Listed = dict[Video, str | None]  # {video: subset, None if the split does not use it}


def read_split_files(paths: Iterable[str | Path]) -> Listed:
    """Return the subset of each listed video, None for a video that the split does not use.

    Raises FileNotFoundError if a file is missing, and UserError if a line has another form, if the files contradict
    each other, or if they list no video.
    """
    listed = {}
    for path in map(Path, paths):
        if not path.is_file():
            raise FileNotFoundError(f"--split_files {path}: no such file; give the text files of the split")
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")  # the names may have any bytes
        for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
            if not line or CLASS_LINE.fullmatch(line):
                continue
            video, subset = _read_line(line, path, number)
            if listed.setdefault(video, subset) != subset:
                raise UserError(f"{'/'.join(video)} is {listed[video] or 'not used'} in one of the split files, but "
                                f"{subset or 'not used'} in {path}; give the files of one split only")
    if not any(listed.values()):
        raise UserError("--split_files: the files list no video; give trainlist01.txt and testlist01.txt of UCF101, "
                        "or the files <class>_test_split1.txt of HMDB51")
    return listed


def _read_line(line: str, path: Path, number: int) -> tuple[Video, str | None]:
    """Return the video and the subset in a line of a file."""
    ucf, hmdb, of_class = UCF_LINE.fullmatch(line), HMDB_LINE.fullmatch(line), HMDB_FILE.fullmatch(path.name)
    subset = next((part for start, part in UCF_FILES.items() if path.name.lower().startswith(start)), None)
    if ucf and subset:
        return (ucf[1].strip(), ucf[2]), subset
    if hmdb and of_class:
        return (of_class[1], hmdb[1]), HMDB_SUBSETS[hmdb[2]]
    raise UserError(f"{path}, line {number}: {shortened(line, 80)!r} is neither '<class>/<video>.avi 1' in a file such "
                    "as trainlist.txt, vallist.txt or testlist.txt (UCF101), nor '<video>.avi 1' with 0, 1 or 2 in a "
                    "file <class>_test_split1.txt (HMDB51); correct the line, or the name of the file")


def split_by_files(clips: dict[str, str], sources: dict[str, str], listed: Listed, validation_share: float = 0.0,
                   seed: int = 0) -> tuple[dict[str, str], list[str]]:
    """Assign the clips of listed videos to their subsets; all clips of a video are in the same subset.

    clips: {clip: class}. sources: {clip: class/file of the video it was cut from}; for a clip that is missing there,
    the video is found by its name. validation_share: share of the groups in training that becomes the validation
    subset, in all classes; which ones depends on the seed.
    Returns ({clip: subset}, sentences about videos that are left out or missing). Raises UserError if no clip is for
    training.
    """
    video_of = {clip: _video_of(clip, label, sources, listed) for clip, label in clips.items()}
    subsets = {clip: listed[video] for clip, video in video_of.items() if listed.get(video)}
    here, used = set(video_of.values()), {video for video, subset in listed.items() if subset}
    if "training" not in subsets.values():
        raise UserError(f"none of the {len(used)} videos in the split files is for training and has clips; the videos "
                        f"with clips are {_names(here)}, the listed ones {_names(used)}; check --split_files, and "
                        "that the class folders have the names in the lists")
    problems = [f"{len(videos)} {told}: {_names(videos)}" for videos, told in (
        (here - listed.keys(), "videos with clips are not in the split files and are left out"),
        (here & (listed.keys() - used), "videos with clips are not used by this split and are left out"),
        (used - here, f"of {len(used)} listed videos have no clips"),
    ) if videos]
    if validation_share:
        group_of = {clip: group_in(video_of[clip]) for clip, subset in subsets.items() if subset == "training"}
        groups = in_random_order(group_of.values(), seed)
        taken = groups[:max(1, round(validation_share * len(groups)))]
        subsets |= {clip: "validation" for clip, group in group_of.items() if group in taken}
    return subsets, problems


def _video_of(clip: str, label: str, sources: dict[str, str], listed: Listed) -> Video:
    """Return the video of a clip, from the record of trimming or from the clip's name: <video>, <video>_1 or _1_2."""
    if clip in sources:
        path = PurePosixPath(sources[clip])
        return path.parent.name, path.name.rpartition(".")[0]
    names = [clip, re.sub(r"_\d+$", "", clip), re.sub(r"_\d+_\d+$", "", clip)]
    return next(((label, name) for name in names if (label, name) in listed), (label, clip))


def group_in(video: Video) -> str:
    """Return the group of a video: g07 as in UCF101, the title of the film as in HMDB51, or its own name.

    HMDB51 names a video after the film that it was cut from, its class, and facts about the picture.
    """
    label, name = video
    return group_in_name(name) or name.partition(f"_{label}_")[0] or name


def _names(videos: Iterable[Video]) -> str:
    return first_names(["/".join(video) for video in sorted(videos)])
