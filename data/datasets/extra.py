"""Names of the clips that serve training only: passages and empty clips, see utils/trim_videos.py.

Their folders lie beside the class folders and begin with an underscore.
"""

EMPTY = "_empty"
PASSAGE = "_passage_"  # followed by the class


def passage_folder(label: str) -> str:
    """Return the name of the folder with the passages of a class."""
    return f"{PASSAGE}{label}"


def is_extra(folder: str) -> bool:
    """Return whether a folder holds clips that serve training only."""
    return folder == EMPTY or folder.startswith(PASSAGE)
