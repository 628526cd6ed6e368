"""Check that the packages of requirements.txt are installed, before a missing one ends in a traceback."""

import sys
from importlib.util import find_spec

PACKAGES = ("torch", "torchvision", "cv2", "av", "PIL", "numpy", "matplotlib", "tqdm")  # import names


def require(packages: tuple[str, ...] = PACKAGES) -> None:
    """End the program with one line on stderr and status 2 if a package is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        print(f"{sys.argv[0]}: error: packages are missing from this Python ({sys.executable}): {', '.join(missing)}; "
              "run `source .venv/bin/activate` if utils/demo.sh or utils/test.sh has made .venv, otherwise run "
              "`pip install -r requirements.txt`", file=sys.stderr)
        raise SystemExit(2)
