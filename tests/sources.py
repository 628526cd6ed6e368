"""The files of the project, for tests of its structure."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.runs import ROOT


@cache
def project_files():
    """Return the files that git tracks or would track, as paths relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("git does not know this folder", allow_module_level=True)
    return [Path(name) for name in sorted(set(listed.stdout.splitlines())) if (ROOT / name).is_file()]


def files_of_kind(*suffixes):
    """Return the project's files with one of the suffixes."""
    return [path for path in project_files() if path.suffix in suffixes and path.parts[0] != "shared"]


@cache
def product_modules():
    """Return {name: source} of all modules but those of the tests."""
    return {module_name(path): (ROOT / path).read_text() for path in files_of_kind(".py") if path.parts[0] != "tests"}


def module_name(path):
    """Return the name under which a file is imported."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_script(source):
    """Return whether a source is that of a script."""
    return '__name__ == "__main__"' in source
