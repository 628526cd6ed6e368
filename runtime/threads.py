"""The threads that PyTorch computes with: how many there are, and how they wait for each other.

    prepare(None)       # before PyTorch is imported
    n_cores()           # 2

PyTorch's threads wait for each other thousands of times per clip. OpenMP lets them spin while they wait, which keeps
their core busy. On a machine with other work, the spinning threads take the time of the thread they wait for, and
everything becomes many times slower. Threads that sleep do no harm there, but on a quiet machine waking them up costs
time. So threads sleep at once if other work is running when a script starts, and else they spin for a short time
before they sleep. docs/speed.md has the figures.
"""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # variables that say how the threads of OpenMP wait
COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # variables that say how many there are
SLEEP = "OMP_WAIT_POLICY", "passive"
SPIN_BRIEFLY = "GOMP_SPINCOUNT", "10000"  # tens of microseconds; GNU's default is 30 billion rounds, which never end
LOOKS, PAUSE = 5, 0.004  # how often, and with how many seconds between, `others_run` looks; the fewest processes count
LOADS = Path("/proc/loadavg")
GROUPS, MOUNTS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def prepare(threads: int | None = None) -> None:
    """Set the environment from which PyTorch reads its number of threads. Call this before PyTorch is imported.

    threads: the number to use; None keeps PyTorch's own number, or the CPU limit of the control group (of a container,
    for example) where that is lower, because PyTorch does not know it. Variables that the user has set stay, except
    that `threads` is used instead of OMP_NUM_THREADS.
    """
    if not any(name in os.environ for name in WAITING):
        name, value = SLEEP if others_run() else SPIN_BRIEFLY
        os.environ[name] = value
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    elif not any(name in os.environ for name in COUNTS) and n_cores() < _n_allowed():
        os.environ["OMP_NUM_THREADS"] = str(n_cores())


def others_run() -> bool:
    """Return whether other processes compute at this moment; True where the system does not tell.

    The fourth field of /proc/loadavg is "3/512" if 3 of 512 threads are running, this one included. The load averages
    beside it look back a minute, so they would count the user's command before this one as other work.
    """
    running = []
    for _ in range(LOOKS):
        try:
            running.append(int(LOADS.read_text().split()[3].partition("/")[0]))
        except (OSError, ValueError, IndexError):  # no Linux
            return True
        time.sleep(PAUSE)
    return min(running) > 1


def n_cores() -> int:
    """Return the number of processor cores that this process may use, at least 1.

    This is the number of cores that it may run on (its affinity), or the CPU limit of its control group if that is
    lower, rounded up.
    """
    return max(1, math.ceil(min([_n_allowed(), *_limits()])))


def _n_allowed() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _limits() -> Iterator[float]:
    """Yield the CPU limits, in cores, of this process's control groups and of those that contain them.

    Version 2 has the limit in cpu.max ("150000 100000" or "max 100000"), version 1 in two files. A container may see
    its own group as the root, or a path of the host that it cannot see. So all levels up to the root are looked at.
    """
    try:
        lines = GROUPS.read_text().splitlines()
    except OSError:  # there are no control groups
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = MOUNTS / controllers
        path = mount / group.lstrip("/")
        for folder in (path, *path.parents):
            if not folder.is_relative_to(mount):
                break
            limit = _limit_in(folder)
            if limit:
                yield limit


def _limit_in(folder: Path) -> float | None:
    """Return the CPU limit of one control group in cores, or None if it has none."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if float(quota) > 0:
                return float(quota) / float(period)
        except (OSError, ValueError):  # absent, or "max"
            continue
    return None


def busy() -> str:
    """Return a sentence about other work on this machine if it is more than the cores can do, or an empty text."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = os.cpu_count() or 1
    if load <= cores + 1:
        return ""
    return f"this machine is busy (load {load:.1f} for {cores} cores), so this takes longer than usual"
