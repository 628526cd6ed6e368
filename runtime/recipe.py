"""The recipe of a result: options, versions, commit and digests of the input files, saved beside it as opts.json.

    write_recipe("results/inference", vars(args))     # ValueError if the folder holds results of another recipe
"""

import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from runtime.errors import UserError
from runtime.files import as_json, read_json, write_json

PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "matplotlib")  # their versions are recorded
# Options that do not change the result for one clip. Runs that share a result folder may differ in them.
INCIDENTAL = {
    "overwrite", "num_workers", "use_cuda", "gpu", "n_epochs", "result_path", "clips", "limit", "subset", "video",
    "memory_gb", "no_overlay", "sanity", "sanity_clips", "sanity_draws", "save_interval", "tensorboard",
    "feature_cache", "frame_results", "threads", "export", "export_frames", "verbose",
}
WEIGHTS = "weights"  # the key of the digest of a model's weights among those of the input files
INPUTS = {  # options that may name input files, and the words for another such file
    "resume_path": "another checkpoint", "annotation_path": "other data", "model": "another --model",
    WEIGHTS: "other weights of the network",
    "backbone_weights": "other --backbone_weights", "pretrain_path": "another --pretrain_path",
}
MOST_TOLD = 4  # differences that a message names


def write_recipe(folder: str | Path, options: dict[str, Any], weights: str | None = None) -> None:
    """Write opts.json into a result folder; arguments and errors as in `checked_recipe`."""
    write_json(Path(folder) / "opts.json", checked_recipe(folder, options, weights))


def checked_recipe(folder: str | Path, options: dict[str, Any], weights: str | None = None) -> dict[str, Any]:
    """Return the recipe for a result folder, including the digests of inputs that earlier runs used.

    options: {name: value} of the command line. weights: a digest of the model's weights, for a network of the user,
    whose weights may come from anywhere. Raises ValueError if the folder holds results made with other options or
    other input files, unless the option `overwrite` is true.
    """
    current, path = recipe(options), Path(folder) / "opts.json"
    current["inputs"] |= {} if weights is None else {WEIGHTS: weights}
    if options["overwrite"] or not path.is_file():
        return current
    content = read_json(path)
    earlier = content if isinstance(content, dict) else {}
    before, inputs, given = earlier.get("options"), earlier.get("inputs", {}), current["options"]
    if not isinstance(before, dict) or not isinstance(inputs, dict):
        raise UserError(f"{path} does not hold the options of an earlier run; choose another --result_path, or pass "
                        "--overwrite")
    files = [name for name, digest in current["inputs"].items() if inputs.get(name, digest) != digest]
    other = [_other_file(name, before.get(name), given.get(name)) for name in files]
    other += [f"--{name} {before[name]} (now {given[name]})" for name in sorted(given.keys() - INCIDENTAL - set(files))
              if before.get(name, given[name]) != given[name]]
    if other:
        more = f" and {len(other) - MOST_TOLD} more" if len(other) > MOST_TOLD else ""
        raise UserError(f"{folder} was made with {', '.join(other[:MOST_TOLD])}{more}; choose another --result_path, "
                        "or pass --overwrite to replace its results")
    return current | {"inputs": inputs | current["inputs"]}


def _other_file(name: str, before: Any, now: Any) -> str:
    """Return the words for an input file that is not that of the earlier run; name: as in INPUTS, or a video."""
    what = INPUTS.get(name, f"another file of --{name}")
    return what if None in (before, now) else f"{what}, whose content has changed" if before == now else (
        f"{what}, {before} (now {now})")


def recipe(options: dict[str, Any]) -> dict[str, Any]:
    """Return {"options", "versions", "commit", "inputs"} as plain JSON values.

    versions: {package: version, or None if it is not installed}. inputs: {option: digest of its file}; the key of a
    video is "video" and the stem of its file.
    """
    files = {name: options.get(name) for name in INPUTS}
    own, _, _ = str(options.get("model")).rpartition(":")  # "FILE.py:FUNCTION", a network of the user
    files["model"] = own if own.endswith(".py") else None
    files |= {f"video {path.stem}": path for path in options.get("video") or []}  # clips are named after the stem
    # If a package is installed twice, Python imports the first one found. Reversed, that one is entered last and stays.
    found = reversed(list(metadata.distributions()))
    versions = {package.name: package.version for package in found}
    return {
        "options": as_json(dict(sorted(options.items()))),
        "versions": {"python": platform.python_version()} | {name: versions.get(name) for name in PACKAGES},
        "commit": _commit(),
        "inputs": {name: file_digest(path) for name, path in files.items() if path and Path(path).is_file()},
    }


def file_digest(path: str | Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 digest of a file."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def _commit() -> str | None:
    """Return the git commit of the project, or None if git or its repository is missing."""
    try:
        git = ["git", "rev-parse", "HEAD"]
        found = subprocess.run(git, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    except OSError:  # git is not installed
        return None
    return found.stdout.strip() or None
