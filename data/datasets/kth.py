"""The KTH action data set (Schuldt, Laptev and Caputo, ICPR 2004): names, split by person, ranges.

    parse_name("person01_running_d1_uncomp")              # (1, "running", "d1")
    read_sequences("00sequences.txt")["person01_running_d1"]  # [(1, 35), (95, 130), (202, 235), (295, 335)]
"""

import re
from pathlib import Path

from data.datasets.base import DataSet

OFFICIAL_SPLIT = {  # by person, so that nobody is on both sides
    "training": (11, 12, 13, 14, 15, 16, 17, 18),
    "validation": (19, 20, 21, 23, 24, 25, 1, 4),
    "testing": (22, 2, 3, 5, 6, 7, 8, 9, 10),
}
GROUP = re.compile(r"_(g\d+)(?:_|$)")  # as in UCF101: v_jump_g07_c01
NAME = re.compile(r"person(\d{2})_([a-z]+)_(d[1-4])(?=_|$)")
SEQUENCE = re.compile(r"\s*(\S+)\s+frames\s+(\S.*)")
RANGE = re.compile(r"(\d{1,9})\s*-\s*(\d{1,9})")


def parse_name(stem):
    """(person, action, scenario) of the name of a KTH video or of a clip cut from one, None for any other name."""
    match = NAME.match(stem)
    return match and (int(match[1]), match[2], match[3])


def sequence_name(stem):
    """The name under which the range file knows a video: person01_running_d1_uncomp -> person01_running_d1."""
    return stem.removesuffix("_uncomp")


def read_sequences(path):
    """The ranges of frames in which somebody acts, by video, from 00sequences.txt or a file of the same form.

    Returns {name: [(first, last), ...]}, 1-based and inclusive, sorted by time. Ranges may overlap and be of any
    length; prose and entries marked as missing are passed over. ValueError for a reversed range or no range at all.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file of ranges at {path}; give KTH's 00sequences.txt, or 'none' to do without")
    sequences = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        match = SEQUENCE.fullmatch(line)
        ranges = [(int(first), int(last)) for first, last in RANGE.findall(match[2])] if match else []
        for first, last in ranges:
            if not 1 <= first <= last:
                raise ValueError(f"{path}, line {number}: {first}-{last} is not a range of frames, counted from 1")
        if ranges:
            sequences[match[1]] = sorted(sequences.get(match[1], []) + ranges)
    if not sequences:
        raise ValueError(f"{path} holds no line like 'person01_running_d1 frames 1-35, 95-130'; give 00sequences.txt")
    return sequences


class KTH(DataSet):
    """Names and split of KTH. Clips with other names are split by group, if they name one as in UCF101, or by video."""

    name = "kth"
    official_split = OFFICIAL_SPLIT

    @property
    def raw_path(self) -> Path:
        return Path("data/raw_dataset/kth_data")

    def sequence_name(self, stem: str) -> str:
        return sequence_name(stem)

    def read_ranges(self, path: Path) -> dict[str, list[tuple[int, int]]]:
        return read_sequences(path)

    def person_of(self, clip: str) -> int | None:
        found = parse_name(clip)
        return found and found[0]

    def group_of(self, clip: str) -> str | None:
        found = GROUP.search(clip)
        return found and found[1]
