"""Class folders of any videos.

Clips whose names contain a group as in UCF101 (v_jump_g07_c01) are split by group. Clips that are named as in KTH are
split by person, but neither by the official split of KTH, nor are persons above 25 drawn.
"""

from pathlib import Path

from data.datasets.kth import KTH


class Folder(KTH):
    """Videos of anything, of which some may be named as those of KTH or UCF101."""

    name = "folder"
    official_split = {}  # noqa: RUF012
    mirrors = False
    color = True

    @property
    def raw_path(self) -> Path:
        return Path("data/raw_dataset/folder")

    def is_drawn(self, person: int) -> bool:
        return False

    def group_of(self, clip: str) -> str | None:
        person = self.person_of(clip)
        return super().group_of(clip) if person is None else f"person {person}"
