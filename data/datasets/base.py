"""What the project needs to know about a data set: where its files lie, the ranges of its videos, and its split.

A data set is a file in this folder with a subclass of DataSet, and a line in the registry data/datasets/__init__.py.
Importing these files does not import PyTorch or OpenCV.
"""

from pathlib import Path
from typing import ClassVar

from data.datasets.split import split_groups, split_persons


class DataSet:
    """Default paths, names, ranges and split of a data set. The defaults here serve for class folders of any videos."""

    name: str
    official_split: ClassVar[dict[str, tuple[int, ...]]] = {}  # subset -> persons

    @property
    def raw_path(self) -> Path:
        """Class folders of videos."""
        return Path("data/raw_dataset") / self.name

    @property
    def trimmed_path(self) -> Path:
        """Class folders of clips of a fixed length."""
        return Path(f"data/{self.name}_trimmed")

    @property
    def image_path(self) -> Path:
        """Class folders of clips as numbered images."""
        return Path("data") / self.name / "image_data"

    @property
    def annotation_path(self) -> Path:
        return Path("data") / self.name / "annotation" / f"{self.name}1.json"

    def sequence_name(self, stem: str) -> str:
        """Return the name of a video, from the stem of its file, that its clips and its ranges are known by."""
        return stem

    def read_ranges(self, path: Path) -> dict[str, list[tuple[int, int]]]:
        """Return {name of a video: [(first, last)]} from a file of ranges, 1-based and inclusive."""
        raise ValueError(f"the data set {self.name} has no files of ranges, but {path} was given; leave it out")

    def person_of(self, clip: str) -> int | None:
        """Return the number of the person in a clip, from its name; None if the name does not tell."""
        return None

    def group_of(self, clip: str) -> str | None:
        """Return the group (a person or a scene) of a clip, from its name; None if the name does not tell."""
        return None

    def split(self, clips: dict[str, str], sources: dict[str, str], validation: list[int] | None = None,
              testing: list[int] | None = None, seed: int = 0) -> tuple[dict[str, str], list[str]]:
        """Assign each of {clip: class} to a subset so that no person, group or video is in two of them.

        sources: {clip: the video it was cut from}, as far as known. validation, testing: persons, instead of the
        official split. Returns ({clip: subset}, sentences about clips that had to be split by video).
        """
        person_of = {clip: person for clip in clips if (person := self.person_of(clip)) is not None}
        if not person_of and (validation or testing):
            raise ValueError("persons are named for a subset, but no clip has a name like person01_walking_d1_1")
        subset_of = split_persons(set(person_of.values()), self.official_split, validation, testing)
        subsets = {clip: subset_of[person] for clip, person in person_of.items()}
        group_of = {clip: group for clip in clips if clip not in subsets and (group := self.group_of(clip))}
        if group_of:
            subsets |= split_groups(group_of, seed)
        problems = []
        for label in sorted(set(clips.values())):
            video_of = {clip: sources.get(clip, clip) for clip in clips if clips[clip] == label and clip not in subsets}
            if video_of:
                subsets |= split_groups(video_of, seed)
                problems.append(f"{label}: {len(video_of)} clips without person or group are split by video; a person "
                                "or a scene that is in several videos can be on both sides of the split, so name the "
                                "group in the file names (_g01_) to prevent it")
        return subsets, problems
