"""Whether results of frames and results of features belong on one page: they must explain the same model and data."""

from pathlib import Path
from typing import Any

from runtime.errors import UserError
from runtime.files import read_json
from runtime.recipe import WEIGHTS

MODEL = {"resume_path", "model", WEIGHTS}  # keys of the digests of a checkpoint, and of a network of the user


def read_recipe(folder: Path) -> dict[str, Any]:
    """Return the content of opts.json in a result folder, or an empty dictionary if there is none that can be read."""
    try:
        content = read_json(folder / "opts.json")
    except (OSError, UserError):
        return {}
    return content if isinstance(content, dict) else {}


def why_apart(frames: dict[str, Any], features: dict[str, Any]) -> str | None:
    """Return a sentence that says why two recipes (runtime.recipe) do not belong together, or None if they do.

    The digests of the model (MODEL), of the annotation and of each video that both have must be equal. A recipe without
    a digest of its model belongs to nothing.
    """
    one, other = (recipe.get("inputs") or {} for recipe in (frames, features))
    if not isinstance(one, dict) or not isinstance(other, dict) or not MODEL & one.keys() or not MODEL & other.keys():
        return "an opts.json does not say which checkpoint was explained"
    if any(one.get(name) != other.get(name) for name in MODEL):
        return "the checkpoints differ"
    videos = {name for name in one if name.startswith("video ")}
    shared = (one.keys() & other.keys()) - MODEL
    if bool(videos) != any(name.startswith("video ") for name in other) or any(one[name] != other[name]
                                                                             for name in shared):
        return "the data differ"
    return None
