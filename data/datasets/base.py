"""The description of a data set: default paths, names and ranges of its videos, and its split.

A data set is a file in this folder with a subclass of DataSet, and a line in the registry data/datasets/__init__.py.
"""

from pathlib import Path
from typing import ClassVar

from data.datasets.split import split_groups, split_persons
from runtime.errors import UserError


class DataSet:
    """Default paths, names, ranges and split of a data set. The methods here suit class folders of any videos."""

    name: str
    official_split: ClassVar[dict[str, tuple[int, ...]]] = {}  # {subset: numbers of the persons}
    mirrors: ClassVar[bool] = False  # whether the mirror image of a clip has the same class, so that training uses it
    color: ClassVar[bool] = True  # whether clips are cut in colour

    @property
    def raw_path(self) -> Path:
        """The class folders of videos."""
        return Path("data/raw_dataset") / self.name

    @property
    def trimmed_path(self) -> Path:
        """The class folders of clips of a fixed length."""
        return Path(f"data/{self.name}_trimmed")

    @property
    def image_path(self) -> Path:
        """The class folders of clips, each a folder of numbered images."""
        return Path("data") / self.name / "image_data"

    @property
    def annotation_path(self) -> Path:
        """The annotation file (data.annotation)."""
        return Path("data") / self.name / "annotation" / f"{self.name}1.json"

    def sequence_name(self, stem: str) -> str:
        """Return the name under which the clips and the ranges of a video are known; stem: of the video's file."""
        return stem

    def read_ranges(self, path: Path) -> dict[str, list[tuple[int, int]]]:
        """Return {name of a video: [(first, last)]}, 1-based and inclusive, from a file of ranges."""
        raise UserError(f"the data set {self.name} has no file of ranges, but {path} was given; leave it out")

    def person_of(self, clip: str) -> int | None:
        """Return the number of the person from the name of a clip, or None if the name does not contain it."""
        return None

    def is_drawn(self, person: int) -> bool:
        """Return whether the number belongs to a drawn person, who serves training only."""
        return False

    def group_of(self, clip: str) -> str | None:
        """Return the group (a person or a scene) from the name of a clip, or None if the name does not contain it."""
        return None

    def training_group(self, clip: str) -> tuple:
        """Return the groups of a clip from the largest to the smallest: real or drawn, then the person.

        Training draws each group equally often, so that neither many drawn people nor a person with many clips count
        more than the others.
        """
        person = self.person_of(clip)
        return () if person is None else ("drawn" if self.is_drawn(person) else "real", person)

    def split(self, clips: dict[str, str], sources: dict[str, str], validation: list[int] | None = None,
              testing: list[int] | None = None, seed: int = 0,
              kept: dict[str, str] | None = None) -> tuple[dict[str, str], list[str]]:
        """Assign every clip to a subset, so that no person, group or video is in two subsets.

        clips: {clip: class}. sources: {clip: class/name of its video}; a clip that is missing counts as a video.
        validation, testing: numbers of persons that replace the official split. kept: {group or video: subset} of
        an earlier split, in which these stay.
        Returns ({clip: subset}, sentences about clips that had to be split by video).
        Raises UserError if a subset that is needed would be empty, or if the persons do not fit the clips.
        """
        by_person = self.official_split or testing or validation is not None
        person_of = {clip: person for clip in clips if by_person and (person := self.person_of(clip)) is not None}
        drawn = {person for person in person_of.values() if self.is_drawn(person)}
        named = sorted(drawn & {*(validation or []), *(testing or [])})
        if named:
            raise UserError(f"person {named[0]} is drawn (its number says so), and drawn people serve training only; "
                            "name real persons")
        real = set(person_of.values()) - drawn
        if not real and (validation or testing):
            raise UserError("persons are named for a subset, but no clip has a name like person01_walking_d1_1; leave "
                            "out --validation_persons and --testing_persons")
        subset_of = split_persons(real, self.official_split, validation, testing) | dict.fromkeys(drawn, "training")
        subsets = {clip: subset_of[person] for clip, person in person_of.items()}
        group_of = {clip: group for clip in clips if clip not in subsets and (group := self.group_of(clip))}
        if group_of:
            subsets |= split_groups(group_of, seed, kept or {})
        problems = []
        for label in sorted(set(clips.values())):
            video_of = {clip: sources.get(clip, clip) for clip in clips if clips[clip] == label and clip not in subsets}
            if video_of:
                subsets |= split_groups(video_of, seed, kept or {})
                problems.append(f"{label}: {len(video_of)} clips without person or group are split by video; a person "
                                "or a scene that is in several videos can be in several subsets; to prevent this, name "
                                "the group in the file names (_g01_)")
        return subsets, problems
