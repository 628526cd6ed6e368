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

import random
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from data.datasets.kth import GROUP
from runtime.errors import UserError
from runtime.names import readable
from runtime.sentences import first_names, shortened

UCF_LINE = re.compile(r"([^/\\]+)[/\\]([^/\\]+\.\w+)(?:\s+\d+)?")
HMDB_LINE = re.compile(r"([^/\\]+\.\w+)\s+([012])")
CLASS_LINE = re.compile(r"\d+\s+[^/\\.]+")
UCF_FILES = {"train": "training", "val": "validation", "test": "testing"}  # start of the file's name: subset
HMDB_FILE = re.compile(r"(.+)_test_split\d+\.txt")
HMDB_SUBSETS = {"0": None, "1": "training", "2": "testing"}

Video = tuple[str, str]  # (class, name of the video's file without its suffix)
Listed = dict[Video, str | None]  # {video: subset, None if the split does not use it}


def read_split_files(paths: Iterable[str | Path]) -> Listed:
    """Return the subset of each listed video, None for a video that the split does not use.

    Raises FileNotFoundError if a file is missing, and ValueError if a line has another form, if the files contradict
    each other, or if they list no video.
    """
    listed, file_of = {}, {}
    for path in map(Path, paths):
        for video, subset in _read_file(path).items():
            if listed.get(video, subset) != subset:
                raise UserError(f"{'/'.join(video)} is {listed[video] or 'not used'} in {file_of[video]}, but "
                                f"{subset or 'not used'} in {path}; give the files of one split only")
            listed[video], file_of[video] = subset, path
    if not any(listed.values()):
        raise UserError("--split_files: the files list no video; give trainlist01.txt and testlist01.txt of UCF101, "
                        "or the files <class>_test_split1.txt of HMDB51")
    return listed


def _read_file(path: Path) -> Listed:
    """Return the videos in one file; see `read_split_files`."""
    if not path.is_file():
        raise FileNotFoundError(f"--split_files {path}: no such file; give the text files of the split")
    listed = {}
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")  # the names may have any bytes
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        if found := UCF_LINE.fullmatch(line):
            subset = next((part for start, part in UCF_FILES.items() if path.name.lower().startswith(start)), None)
            if subset is None:
                raise UserError(f"{path} lists videos as UCF101 does, but its name does not say which subset they "
                                "are; rename it to trainlist.txt, vallist.txt or testlist.txt")
            listed[found[1].strip(), _stem(found[2])] = subset
        elif found := HMDB_LINE.fullmatch(line):
            name = HMDB_FILE.fullmatch(path.name)
            if name is None:
                raise UserError(f"{path} lists videos as HMDB51 does, but its name does not say their class; rename "
                                "it to <class>_test_split1.txt")
            listed[name[1], _stem(found[1])] = HMDB_SUBSETS[found[2]]
        elif line and not CLASS_LINE.fullmatch(line):
            raise UserError(f"{path}, line {number}: {shortened(line, 80)!r} is neither '<class>/<video>.avi 1' as in "
                            "UCF101, nor '<video>.avi 1' with 0, 1 or 2 as in HMDB51; correct the file")
    return listed


def _stem(name: str) -> str:
    """Return the name of a file without its last suffix, whatever else it contains."""
    return name.rpartition(".")[0]


def split_by_files(clips: dict[str, str], sources: dict[str, str], listed: Listed, validation_share: float = 0.0,
                   seed: int = 0) -> tuple[dict[str, str], list[str]]:
    """Assign the clips of listed videos to their subsets; all clips of a video are in the same subset.

    clips: {clip: class}. sources: {clip: class/file of the video it was cut from}; for a clip that is missing there,
    the video is found by its name. validation_share: share of the groups in training that becomes the validation
    subset; which ones depends on the seed.
    Returns ({clip: subset}, sentences about videos that are left out or missing, and about groups on both sides).
    Raises ValueError if no clip is for training, or if the share cannot be taken.
    """
    video_of = {clip: _video_of(clip, label, sources, listed) for clip, label in clips.items()}
    subsets = {clip: listed[video] for clip, video in video_of.items() if listed.get(video)}
    here = set(video_of.values())
    used = {video for video, subset in listed.items() if subset}
    if "training" not in subsets.values():
        raise UserError(f"none of the {len(used)} videos in the split files is for training and has clips; the videos "
                        f"with clips are {_names(here)}, the listed ones {_names(used)}; check --split_files, and "
                        "that the class folders have the names in the lists")
    problems = [f"{len(videos)} {told}: {_names(videos)}" for videos, told in (
        (here - listed.keys(), "videos with clips are not in the split files and are left out"),
        (here & (listed.keys() - used), "videos with clips are not used by this split and are left out"),
        (used - here, f"of {len(used)} listed videos have no clips"),
    ) if videos]
    sides = {}
    for clip, subset in subsets.items():
        if found := GROUP.search(video_of[clip][1]):
            sides.setdefault((clips[clip], found[1]), set()).add(subset)
    torn = {group for group, parts in sides.items() if len(parts) > 1}
    if torn:
        problems.append(f"{len(torn)} groups are in more than one subset by the split files: {_names(torn)}")
    if validation_share:
        subsets |= _take_validation(subsets, video_of, validation_share, seed)
    return subsets, problems


def _video_of(clip: str, label: str, sources: dict[str, str], listed: Listed) -> Video:
    """Return the video of a clip, from the record of trimming or from the clip's name: <video>, <video>_1 or _1_2."""
    if clip in sources:
        path = PurePosixPath(sources[clip])
        return path.parent.name, _stem(path.name)
    names = [clip, re.sub(r"_\d+$", "", clip), re.sub(r"_\d+_\d+$", "", clip)]
    return next(((label, name) for name in names if (label, name) in listed), (label, clip))


def _take_validation(subsets: dict[str, str], video_of: dict[str, Video], share: float, seed: int) -> dict[str, str]:
    """Return {clip: "validation"} for a share of the groups in training, the same groups in all classes."""
    if "validation" in subsets.values():
        raise UserError("--validation_share was given, but the split files list videos for validation; leave it out")
    group_of = {clip: group_in(video_of[clip]) for clip, subset in subsets.items() if subset == "training"}
    without = {video_of[clip] for clip, group in group_of.items() if group is None}
    if without:
        raise UserError(f"--validation_share takes whole groups, but {len(without)} videos have none in their names "
                        f"({_names(without)}); name it as UCF101 does (_g01_), or list videos in a vallist.txt")
    groups = sorted(set(group_of.values()), key=lambda group: random.Random(f"{seed} {readable(group)}").random())
    count = max(1, round(share * len(groups)))
    if count >= len(groups):
        raise UserError(f"--validation_share {share:g} takes {count} of {len(groups)} groups, so none is left for "
                        "training; give a smaller share")
    return {clip: "validation" for clip, group in group_of.items() if group in groups[:count]}


def group_in(video: Video) -> str | None:
    """Return the group in the name of a video: g07 as in UCF101, or the title of the film as in HMDB51; None without.

    HMDB51 names a video after the film that it was cut from, its class, and facts about the picture.
    """
    label, name = video
    if found := GROUP.search(name):
        return found[1]
    title, separator, _ = name.partition(f"_{label}_")
    return title if separator and title else None


def _names(videos: Iterable[Video]) -> str:
    return first_names(["/".join(video) for video in sorted(videos)])
