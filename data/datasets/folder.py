"""Class folders of any videos.

Clips whose names contain a group as in UCF101 (v_jump_g07_c01) are split by group. Clips that are named as in KTH are
split by person.
"""

from pathlib import Path

from data.datasets.kth import KTH


class Folder(KTH):
    """A data set that differs from KTH only in its paths."""

    name = "folder"

    @property
    def raw_path(self) -> Path:
        return Path("data/raw_dataset/folder")
