#!/usr/bin/env bash
# Check the project with ruff and then run all tests. The exit status is 1 if ruff or a test fails.
#   ./utils/test.sh                            make .venv, install requirements-dev.txt and run everything
#   ./utils/test.sh tests/test_kth.py -x       pass arguments to pytest
# The files of tests are divided among as many processes as there are cores, at most 4; each computes with one thread.
# Variables: TEST_VENV is the path of the virtual environment (default .venv), PYTHON the Python that makes it.
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
    echo "chromium or chromedriver is missing, so the browser tests of the report are skipped;" \
        "Debian: apt-get install chromium chromium-driver"
fi
status=0
"$python" -m ruff check . || status=1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export PYTEST_ADDOPTS="-n auto --maxprocesses 4 --dist loadfile ${PYTEST_ADDOPTS:-}"
"$python" -m pytest -q "$@" || status=1
print_activation
exit $status
