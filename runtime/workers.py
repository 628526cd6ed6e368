"""Work of this process that other processes do: many files at the same time, or pictures while a model computes.

    for path, found, error in in_parallel(find_windows, paths, count=4): ...       # error: why a file gave nothing

    with writers(2) as submit:
        for clip in clips:
            submit(draw, clip)      # returns while the clip is drawn; at most two tasks wait
    # here everything is done

The processes are forked where that is safe, ignore Ctrl-C and end with this process.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from runtime.errors import told
from runtime.processes import world

# Forking takes milliseconds, and starting a new interpreter takes a third of a second. Forking is safe only on Linux.
CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
MOST_WRITERS = 2  # processes; more are not kept busy by one process that computes
MOST_WAITING = 2  # tasks whose arguments take memory until a process is free


def n_cores() -> int:
    """Return the number of processor cores that this process may run on, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def useful_writers(tasks: int, threads: int | None = None) -> int:
    """Return how many processes help with `tasks` tasks, of which each takes about as long as this process needs.

    threads: the number that the user allows, or None. One core does all work in one process, and so does one task.
    """
    cores = threads or max(1, n_cores() // world())
    return min(MOST_WRITERS, tasks) if cores > 1 and tasks > 1 else 0


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Start `count` processes. Leaving the block waits for their tasks. OSError if one of them dies."""
    try:
        with ProcessPoolExecutor(count, CONTEXT, _begin) as pool:
            pool.submit(os.getpid).result()  # forks all processes now, before anything is computed
            yield pool
    except BrokenProcessPool as error:
        raise OSError("a process that worked for this one died, perhaps for want of memory; what is complete is kept: "
                      "run the same command to go on, with --threads 1 or --workers 1 to do without such processes"
                      ) from error


def _begin() -> None:
    """Prepare a new process: Ctrl-C reaches all processes of a group, and this one ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _done(function: Callable, arguments: tuple) -> tuple[Any, list[tuple[type[Warning], str]]]:
    """Return function(*arguments) and the warnings of the call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        result = function(*arguments)
    return result, [(each.category, str(each.message)) for each in caught]


def _attempt(function: Callable[[Any], Any], item: Any) -> tuple[Any, str | None]:
    """Return (function(item), None), or (None, the sentence) of an error that users can mend."""
    try:
        return function(item), None
    except Exception as error:
        sentence = told(error)
        if sentence is None:
            raise
        return None, " ".join(sentence.split())


def _warn_again(told_there: list[tuple[type[Warning], str]]) -> None:
    for category, text in told_there:
        warnings.warn(text, category, stacklevel=2)


def in_parallel(function: Callable[[Any], Any], items: Sequence, count: int) -> Iterator[tuple[Any, Any, str | None]]:
    """Yield (item, function(item), None), or (item, None, error message), in the order in which the items finish.

    count: processes. One item, or one process, is worked on in this process. The error message says what was wrong
    with the item; every other exception is raised.
    """
    if min(count, len(items)) < 2:
        for item in items:
            yield item, *_attempt(function, item)
        return
    with _pool(min(count, len(items))) as pool:
        running = {pool.submit(_done, _attempt, (function, item)): item for item in items}
        try:
            for future in as_completed(running):
                outcome, told_there = future.result()
                _warn_again(told_there)
                yield running[future], *outcome
        finally:
            for future in running:
                future.cancel()


@contextmanager
def writers(count: int) -> Iterator[Callable[..., None]]:
    """Yield submit(function, *arguments), which has the function called by one of `count` processes, or by this one.

    An error of a task is raised by a later `submit` or at the end of the block. If the block ends with an exception,
    such as Ctrl-C, the tasks that were submitted are finished before.
    """
    if not count:
        yield lambda function, *arguments: function(*arguments)
        return
    with _pool(count) as pool:
        waiting = deque()

        def collect() -> None:
            _warn_again(waiting.popleft().result()[1])

        def submit(function: Callable[..., None], *arguments: Any) -> None:
            while len(waiting) >= count + MOST_WAITING:
                collect()
            waiting.append(pool.submit(_done, function, arguments))

        yield submit
        while waiting:
            collect()
