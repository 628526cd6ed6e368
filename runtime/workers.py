"""A few processes that do work of this process while it goes on.

    with Workers(2) as workers:
        for clip in clips:
            workers.submit(draw, clip)      # returns as soon as one of the two is free
    # here everything is done

Each process does one task at a time, and none waits in a queue, so memory is bounded. With no processes, `submit` does
the work itself. Functions and arguments are sent with pickle.
"""

import multiprocessing.connection
import pickle
import signal
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from runtime.errors import sendable
from runtime.isolated import CONTEXT, PATIENCE, end_with_caller
from runtime.processes import world
from runtime.threads import n_cores

MOST = 2  # processes; more are not kept busy by one process that computes


def useful_workers(tasks: int, threads: int | None = None) -> int:
    """Return how many processes help with `tasks` tasks, of which each takes about as long as this process needs.

    threads: the number that the user allows, or None. One core does all work in one process, and so does one task.
    """
    cores = threads or max(1, n_cores() // world())
    return min(MOST, tasks) if cores > 1 and tasks > 1 else 0


class Workers:
    """Processes that start with this object and end with the block; ends of tasks have no order.

    An error of a task is raised by the next `submit` or at the end of the block. If the block ends with an exception,
    such as Ctrl-C, the tasks that have begun are finished before.
    """

    def __init__(self, count: int) -> None:
        self._processes, self._idle, self._busy, self._failed = {}, [], [], None
        for _ in range(count):
            ours, theirs = CONTEXT.Pipe()
            process = CONTEXT.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._processes[ours] = process
            self._idle.append(ours)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type | None, *details: Any) -> None:
        try:
            while self._busy:
                self._collect()
            for connection in self._idle:
                with suppress(OSError):
                    connection.send_bytes(b"")  # the process ends
                self._processes[connection].join(PATIENCE)
        finally:
            for connection, process in self._processes.items():
                process.kill()
                process.join()
                connection.close()
        if kind is None:
            self._raise()

    def submit(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call function(*arguments) in a process that is free, or wait until one is. Raises errors of earlier tasks."""
        if not self._processes:
            function(*arguments)
            return
        task = pickle.dumps((function, arguments))
        while not self._idle and self._busy:
            self._collect()
        self._raise()
        connection = self._idle.pop()
        self._busy.append(connection)
        with suppress(OSError):  # the process has died; `_collect` says how
            connection.send_bytes(task)

    def _collect(self) -> None:
        """Wait until tasks end, and note the first error."""
        for connection in multiprocessing.connection.wait(self._busy):
            self._busy.remove(connection)
            try:
                failed, warned = pickle.loads(connection.recv_bytes())
                self._idle.append(connection)
            except (EOFError, OSError):
                failed, warned = (self._death(connection), ""), []
            for category, text in warned:
                warnings.warn(text, category, stacklevel=2)
            self._failed = self._failed or failed

    def _death(self, connection: Connection) -> OSError:
        process = self._processes[connection]
        process.join(PATIENCE)
        code = process.exitcode
        cause = signal.strsignal(-code) if code and code < 0 else f"exit status {code}"
        return OSError(f"a process that draws and writes results died ({cause}); what is complete is kept: run the "
                       "same command to go on, with --threads 1 to do without such processes")

    def _raise(self) -> None:
        """Raise the first error of a task, once."""
        if self._failed:
            (error, trace), self._failed = self._failed, None
            raise error from (RuntimeError(trace) if trace else None)


def _serve(connection: Connection) -> None:
    """Do tasks until the caller sends none. This is the main function of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of the group; the caller decides
    threading.Thread(target=end_with_caller, daemon=True).start()
    with suppress(EOFError):  # the caller has died
        while content := connection.recv_bytes():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("default")
                failed = _attempt(content)
            told = [(each.category, str(each.message)) for each in caught]
            connection.send_bytes(pickle.dumps((failed, told)))


def _attempt(content: bytes) -> tuple[Exception, str] | None:
    """Do a task and return (error, its traceback), or None."""
    try:
        function, arguments = pickle.loads(content)
        function(*arguments)
    except Exception as error:
        return sendable(error)
    return None
