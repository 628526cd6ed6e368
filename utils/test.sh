#!/usr/bin/env bash
# Check the project: ruff, then the whole suite of tests. Fails if either does.
#   ./utils/test.sh                            makes .venv, installs requirements-dev.txt, runs everything
#   ./utils/test.sh tests/test_tsr.py -x       arguments go to pytest
# Variables: TEST_VENV, the place of the virtual environment, PYTHON, what it is made with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source utils/environment.sh
if [[ ${1:-} == --help ]]; then
    print_header utils/test.sh
    exit
fi
venv=${TEST_VENV:-.venv}
use_environment requirements-dev.txt

if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
    echo "no chromium and chromedriver: the report's tests will skip (Debian: apt-get install chromium chromium-driver)"
fi
status=0
"$python" -m ruff check . || status=1
"$python" -m pytest -q "$@" || status=1
exit $status
