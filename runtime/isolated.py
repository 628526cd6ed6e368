"""Run a function on many items in processes of their own, so that one that dies or hangs costs only its item.

Decoders are C code fed with files from anywhere: some abort the process, some never return.

    for path, frames, error in run_isolated(count_frames, paths, workers=4, time_limit=60):
        print(path, error or frames)
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections import deque

# Forking takes milliseconds, a fresh interpreter a third of a second; elsewhere than on Linux forking is not safe.
CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else None)


def n_cores():
    """The number of processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_isolated(function, items, workers, time_limit):
    """Yield (item, function(item), None) or (item, None, what went wrong) in the order in which items are finished.

    At most `workers` processes at once, each for one item and for `time_limit` seconds at most. Exceptions, death of
    the process and running out of time are told as a text. All processes end with the generator or with the caller.
    """
    if workers < 1:
        raise ValueError(f"{workers} worker processes were asked for; give 1 or more")
    waiting, running = deque(items), {}  # connection -> (process, item, deadline)
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                connection, process = _start(function, waiting[0])
                running[connection] = process, waiting.popleft(), time.monotonic() + time_limit
            first_deadline = min(deadline for _, _, deadline in running.values())
            multiprocessing.connection.wait(list(running), timeout=max(0, first_deadline - time.monotonic()))
            for connection, (process, item, deadline) in list(running.items()):
                if connection.poll():
                    outcome = _receive(connection, process)
                elif time.monotonic() > deadline:
                    outcome = None, f"took longer than {time_limit:g} seconds"
                else:
                    continue
                del running[connection]
                _end(connection, process)
                yield item, *outcome
    finally:
        for connection, (process, _, _) in running.items():
            _end(connection, process)


def _start(function, item):
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_work, args=(theirs, function, item), daemon=True)
    process.start()
    theirs.close()  # now only the process holds it: when it dies, our end reads end of file
    return ours, process


def _work(connection, function, item):
    """What the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the caller ends us
    threading.Thread(target=_end_with_caller, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders write there; what went wrong is told through the pipe
    try:
        connection.send((function(item), None))
    except Exception as error:
        text = " ".join(str(error).split())
        expected = text and isinstance(error, (ValueError, OSError))
        connection.send((None, text if expected else f"{type(error).__name__}: {text}"))


def _end_with_caller():
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _receive(connection, process):
    try:
        return connection.recv()
    except (EOFError, OSError):  # it ended before its answer, or in the middle of it
        process.join(timeout=1)
        code = process.exitcode
        cause = signal.strsignal(-code) if code and code < 0 else f"exit status {code}"
        return None, f"the process working on it died ({cause})"


def _end(connection, process):
    process.kill()
    process.join()
    process.close()
    connection.close()
