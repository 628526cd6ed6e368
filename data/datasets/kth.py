"""The KTH action data set (Schuldt, Laptev and Caputo, ICPR 2004): names, split by person, ranges.

    parse_name("person01_running_d1_uncomp")              # (1, "running", "d1")
    read_sequences("00sequences.txt")["person01_running_d1"]  # [(1, 35), (95, 130), (202, 235), (295, 335)]
"""

import re
from pathlib import Path

from data.datasets.base import DataSet
from runtime.errors import UserError

PERSONS = 25  # larger numbers are free for drawn people
OFFICIAL_SPLIT = {  # {subset: numbers of the persons}, so that no person is in two subsets
    "training": (11, 12, 13, 14, 15, 16, 17, 18),
    "validation": (19, 20, 21, 23, 24, 25, 1, 4),
    "testing": (22, 2, 3, 5, 6, 7, 8, 9, 10),
}
GROUP = re.compile(r"_g(\d+)(?:_|$)")  # as in UCF101: v_jump_g07_c01
NAME = re.compile(r"person(\d{2})_([a-z]+)_(d[1-4])(?=_|$)")
SEQUENCE = re.compile(r"\s*(\S+)\s+frames\s+(\S.*)")
RANGE = re.compile(r"(\d{1,9})\s*-\s*(\d{1,9})")


def parse_name(stem: str) -> tuple[int, str, str] | None:
    """Return (person, action, scenario) from the name of a KTH video or its clip, or None for any other name."""
    match = NAME.match(stem)
    if match is None:
        return None
    return int(match[1]), match[2], match[3]


def group_in_name(name: str) -> str | None:
    """Return the group in the name of a video or clip: g07 for v_jump_g07_c01 and v_jump_g7_c01. None without one."""
    found = GROUP.search(name)
    return f"g{int(found[1]):02d}" if found else None


def sequence_name(stem: str) -> str:
    """Return the name of a video in the file of ranges: person01_running_d1_uncomp -> person01_running_d1."""
    return stem.removesuffix("_uncomp")


def read_sequences(path: str | Path) -> dict[str, list[tuple[int, int]]]:
    """Return the ranges of frames in which a person acts, from 00sequences.txt or a file of the same form.

    Returns {name: [(first, last), ...]}, 1-based and inclusive, sorted by time. Ranges may overlap and have any length.
    Lines of prose and entries marked as missing are ignored.
    Raises FileNotFoundError if there is no such file, and ValueError if a range is reversed or there is no range.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file of ranges at {path}; check the path of 00sequences.txt, or give 'none' to "
                                "find the ranges from motion")
    sequences = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        match = SEQUENCE.fullmatch(line)
        ranges = [(int(first), int(last)) for first, last in RANGE.findall(match[2])] if match else []
        for first, last in ranges:
            if not 1 <= first <= last:
                raise UserError(f"{path}, line {number}: {first}-{last} is not a range of frames counted from 1; "
                                "correct the file")
        if ranges:
            sequences[match[1]] = sorted(sequences.get(match[1], []) + ranges)
    if not sequences:
        raise UserError(f"{path} holds no line like 'person01_running_d1 frames 1-35, 95-130'; give KTH's "
                        "00sequences.txt")
    return sequences


class KTH(DataSet):
    """The KTH data set. Clips with other names are split by group if their names contain one, otherwise by video."""

    name = "kth"
    official_split = OFFICIAL_SPLIT
    mirrors = True
    color = False
    sequence_name, read_ranges = staticmethod(sequence_name), staticmethod(read_sequences)

    @property
    def raw_path(self) -> Path:
        return Path("data/raw_dataset/kth_data")

    def person_of(self, clip: str) -> int | None:
        found = parse_name(clip)
        return found[0] if found else None

    def is_drawn(self, person: int) -> bool:
        return person > PERSONS

    def group_of(self, clip: str) -> str | None:
        return group_in_name(clip)
