# Functions for demo.sh and test.sh, which source this file in the root of the project.
#   venv=.venv; source utils/environment.sh; use_environment requirements.txt; ...; print_activation

use_environment() { # make the virtual environment $venv or use the existing one, install the packages, and set $python
    local wanted base stamp="$venv/installed-$1" begin=$SECONDS
    if [[ -e $venv && ! -f $venv/pyvenv.cfg ]]; then
        fail "$venv exists and is no virtual environment; remove it or choose another place"
    fi
    python=$venv/bin/python
    if ! "$python" -c "" 2>/dev/null; then
        base=$(find_python) || exit 2
        "$base" -m venv --clear --without-pip "$venv" || fail "$base could not make a virtual environment in $venv"
    fi
    is_recent "$python" || fail "$venv has a Python older than 3.10; remove it and run again"
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m ensurepip --default-pip >/dev/null || fail "no pip for $venv; Debian: apt-get install python3-venv"
    fi
    wanted=$(cat requirements.txt "$1") # the stamp holds what was installed before
    if [[ ! -f $stamp || $(<"$stamp") != "$wanted" ]]; then
        echo "installing $1 into $venv; this takes minutes, because PyTorch is large"
        "$python" -m pip install --quiet --disable-pip-version-check -r "$1" ||
            fail "$1 could not be installed; check the network and run again"
        echo "$wanted" >"$stamp"
    fi
    echo "environment $venv: $((SECONDS - begin)) s"
}

print_activation() { # print how to activate $venv, unless it is active in the shell that called the script
    if [[ ! ${VIRTUAL_ENV:-} -ef $venv ]]; then
        echo "to run the scripts yourself, activate the environment once in your shell:"
        echo "source $venv/bin/activate"
    fi
}

find_python() { # print the name of a Python that is recent enough
    local name
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python3.10}; do
        if is_recent "$name"; then
            echo "$name"
            return
        fi
    done
    fail "Python 3.10 or later is needed, but ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>&1 || true);" \
        "choose another with PYTHON=/path/to/python3"
}

is_recent() {
    "$1" -c "import sys; sys.exit(sys.version_info < (3, 10))" >/dev/null 2>&1
}

fail() {
    echo "$0: error: $*" >&2
    exit 2
}

print_header() { # print the comment at the head of a script, without the # signs
    sed -n '2,/^set /s/^# \{0,1\}//p' "$1"
}
