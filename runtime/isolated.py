"""Run a function on many items, each in its own process, so that a process that dies or hangs costs only its item.

Video decoders are C code that reads files of unknown origin. Some files make them abort the process or never return.

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
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

# Forking takes milliseconds, and starting a new interpreter takes a third of a second. Forking is safe only on Linux.
CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
PATIENCE = 60  # seconds in which a process that has closed its connection ends, even on a very busy machine


def run_isolated(function: Callable[[Any], Any], items: Iterable, workers: int,
                 time_limit: float) -> Iterator[tuple[Any, Any, str | None]]:
    """Yield (item, function(item), None), or (item, None, error message), in the order in which the items finish.

    At most `workers` processes run at once. Each works on one item and may take `time_limit` seconds. The error message
    reports an exception, the death of the process or a timeout. All processes end with the generator or the caller.
    Raises ValueError for fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"{workers} worker processes were asked for; give 1 or more")
    waiting, running = deque(items), {}  # running: connection -> (process, item, deadline)
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


def _start(function: Callable[[Any], Any], item: Any) -> tuple[Connection, BaseProcess]:
    """Start a process for one item. Returns the connection that will deliver the outcome, and the process."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_work, args=(theirs, function, item), daemon=True)
    process.start()
    theirs.close()  # now only the process holds this end, so our end reads end of file when the process dies
    return ours, process


def _work(connection: Connection, function: Callable[[Any], Any], item: Any) -> None:
    """Send (function(item), None) or (None, error message). This is the main function of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of the group; the caller ends this one
    threading.Thread(target=_end_with_caller, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # silence the decoders; errors are sent through the connection
    try:
        connection.send((function(item), None))
    except Exception as error:
        text = " ".join(str(error).split())
        expected = text and isinstance(error, (ValueError, OSError))
        connection.send((None, text if expected else f"{type(error).__name__}: {text}"))


def _end_with_caller() -> None:
    """Wait until the caller's process ends, then end this process."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _receive(connection: Connection, process: BaseProcess) -> tuple[Any, str | None]:
    """Return (result, None) or (None, error message) from a process that has sent its outcome or has died."""
    try:
        return connection.recv()
    except (EOFError, OSError):  # the process died before it sent the whole outcome
        process.join(timeout=PATIENCE)
        code = process.exitcode
        cause = signal.strsignal(-code) if code and code < 0 else f"exit status {code}"
        return None, f"the process working on it died ({cause})"


def _end(connection: Connection, process: BaseProcess) -> None:
    process.kill()
    process.join()
    process.close()
    connection.close()
