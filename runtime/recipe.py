"""What a result was made with, kept beside it as opts.json: options, versions, commit, contents of the files used.

    keep_recipe("results/inference", vars(args))     # refuses a folder that was made otherwise
"""

import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from runtime.files import as_json, read_json, write_json

PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "matplotlib")  # None where it is not installed
# Options that may differ between the runs that share a result folder: they do not change what is computed.
INCIDENTAL = {
    "overwrite", "num_workers", "use_cuda", "gpu", "n_epochs", "result_path", "clips", "limit", "subset", "video",
    "memory_gb", "no_overlay", "sanity", "sanity_clips", "sanity_draws", "save_interval", "log_interval", "tensorboard",
}
INPUTS = ("annotation_path", "resume_path", "backbone_weights", "pretrain_path")  # files that a result depends on


def keep_recipe(folder, options):
    """Write opts.json into a result folder, see `checked_recipe`."""
    write_json(Path(folder) / "opts.json", checked_recipe(folder, options))


def checked_recipe(folder, options):
    """The recipe of a result folder. ValueError where what is there was made with other options or inputs.

    options: {name: value} of the command line; with `overwrite` among them what was there before does not count.
    """
    now, path = recipe(options), Path(folder) / "opts.json"
    if options["overwrite"] or not path.is_file():
        return now
    content = read_json(path)
    content = content if isinstance(content, dict) else {}
    before, inputs = content.get("options"), content.get("inputs", {})
    if not isinstance(before, dict) or not isinstance(inputs, dict):
        raise ValueError(f"{path} does not tell how its folder was made; give another --result_path, or --overwrite")
    for name in sorted(now["options"].keys() - INCIDENTAL):
        given = now["options"][name]
        if before.get(name, given) != given:
            raise ValueError(f"{folder} was made with --{name} {before[name]}, now {given} is given; give the same "
                             "options, another --result_path, or --overwrite")
    for name, digest in now["inputs"].items():
        if inputs.get(name, digest) != digest:
            raise ValueError(f"{folder} was made when --{name} {now['options'].get(name, '')} had another content; "
                             "give another --result_path, or --overwrite")
    return now | {"inputs": inputs | now["inputs"]}


def recipe(options):
    """{"options", "versions", "commit", "inputs": {option, or video and its stem: digest}}, plain JSON values."""
    files = {name: options.get(name) for name in INPUTS}
    files |= {f"video {path.stem}": path for path in options.get("video") or []}  # clips are named after the stem
    found = reversed(list(metadata.distributions()))  # of two versions of a package the first is imported
    versions = {package.name: package.version for package in found}
    return {
        "options": as_json(dict(sorted(options.items()))),
        "versions": {"python": platform.python_version()} | {name: versions.get(name) for name in PACKAGES},
        "commit": _commit(),
        "inputs": {name: _digest(path) for name, path in files.items() if path and Path(path).is_file()},
    }


def _digest(path):
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def _commit():
    try:
        git = ["git", "rev-parse", "HEAD"]
        found = subprocess.run(git, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    except OSError:  # no git here
        return None
    return found.stdout.strip() or None
