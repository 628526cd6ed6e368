"""Run a function on many items, each in its own process, so that a process that dies or hangs costs only its item.

Video decoders are C code that reads files of unknown origin. Some files make them abort the process or never return.

    for path, frames, error in run_isolated(count_frames, paths, workers=4, time_limit=60):
        print(path, error or frames)

    read = IsolatedCalls(partial(Reader, path), time_limit=60)    # Reader(path) is made in the process and stays there
    first, second = read(0), read(1)                              # Reader(path)(0), Reader(path)(1)
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import SimpleNamespace
from typing import Any

from runtime.errors import UserError, sendable, told

# Forking takes milliseconds, and starting a new interpreter takes a third of a second. Forking is safe only on Linux.
CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
PATIENCE = 60  # seconds in which a process that has closed its connection ends, even on a very busy machine
PROGRESS = "progress"  # the message of `show_progress`; others are (result, None, error message or `sendable` error)
PROGRESS_INTERVAL = 1  # seconds between two such messages
_caller = SimpleNamespace(connection=None, told=0.0)  # in a process that works for another: who hears of its progress


def show_progress() -> None:
    """Tell the caller of this isolated process that its work goes on. Does nothing in any other process."""
    if _caller.connection and time.monotonic() - _caller.told > PROGRESS_INTERVAL:
        _caller.told = time.monotonic()
        _caller.connection.send(PROGRESS)


def run_isolated(function: Callable[[Any], Any], items: Iterable, workers: int, time_limit: float,
                 since_progress: bool = False) -> Iterator[tuple[Any, Any, str | None]]:
    """Yield (item, function(item), None), or (item, None, error message), in the order in which the items finish.

    At most `workers` processes run at once. Each works on one item and may take `time_limit` seconds; these are counted
    anew at each `show_progress` if `since_progress`. The error message reports what was wrong with the item (see
    runtime.errors.told), the death of the process or a timeout. All processes end with the generator or the caller.
    Raises UserError for fewer than one worker, and every other exception of the function.
    """
    if workers < 1:
        raise UserError(f"{workers} worker processes were asked for; give 1 or more")
    waiting, running = deque(items), {}  # running: connection -> (process, item, deadline)
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                connection, process = _start(function, waiting[0])
                running[connection] = process, waiting.popleft(), time.monotonic() + time_limit
            first_deadline = min(deadline for _, _, deadline in running.values())
            multiprocessing.connection.wait(list(running), timeout=max(0, first_deadline - time.monotonic()))
            for connection, (process, item, deadline) in list(running.items()):
                message = _receive(connection, process) if connection.poll() else None
                if message == PROGRESS and since_progress:
                    running[connection] = process, item, time.monotonic() + time_limit
                elif message in (None, PROGRESS) and time.monotonic() > deadline:
                    message = None, _too_late(time_limit, since_progress)
                if message not in (None, PROGRESS):
                    del running[connection]
                    _end(connection, process)
                    yield item, *message
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
    """Answer one call. This is the main function of the process."""
    _settle(connection)
    _answer(connection, function, item)


def _settle(connection: Connection) -> None:
    """Prepare a new process to work for its caller, at the other end of the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of the group; the caller ends this one
    threading.Thread(target=end_with_caller, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # silence the decoders; errors are sent through the connection
    _caller.connection = connection


def _answer(connection: Connection, function: Callable, *arguments: Any) -> None:
    """Send (function(*arguments), None), or (None, error message or `sendable` error) if there is an exception."""
    try:
        connection.send((function(*arguments), None))
    except Exception as error:
        sentence = told(error)
        connection.send((None, sendable(error) if sentence is None else " ".join(sentence.split())))


def end_with_caller() -> None:
    """Wait until the caller's process ends, then end this process."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _receive(connection: Connection, process: BaseProcess) -> Any:
    """Return the message that a process has sent, or (None, error message) if it has died. Raises faults of ours."""
    try:
        message = connection.recv()
    except (EOFError, OSError):  # the process died before it sent the whole message
        process.join(timeout=PATIENCE)
        code = process.exitcode
        cause = signal.strsignal(-code) if code and code < 0 else f"exit status {code}"
        return None, f"the process working on it died ({cause})"
    if message != PROGRESS and isinstance(message[1], tuple):
        error, trace = message[1]
        raise error from RuntimeError(trace)
    return message


def _too_late(time_limit: float, since_progress: bool) -> str:
    return f"{'made no progress for' if since_progress else 'took longer than'} {time_limit:g} seconds"


def _end(connection: Connection, process: BaseProcess) -> None:
    process.kill()
    process.join()
    process.close()
    connection.close()


class IsolatedCalls:
    """A function with a state, in a process of its own that answers one call after the other.

    make() is called in the process and returns the function. The process starts at the first call. It ends with this
    object, with the caller, and at an error; the next call then starts a new one.
    """

    def __init__(self, make: Callable[[], Callable], time_limit: float) -> None:
        self.make, self.time_limit, self._running, self._ending = make, time_limit, None, None

    def __call__(self, *arguments: Any) -> Any:
        """Return the result of the function.

        Raises UserError with the reason if the function finds its input wrong (see runtime.errors.told), if the process
        dies, or if it makes no progress (see `show_progress`) for `time_limit` seconds; and every other exception.
        """
        try:
            result, error = self._ask(arguments)
        except BaseException:  # such as Ctrl-C: the answer is still to come, so the next call must not receive it
            self.close()
            raise
        if error:
            self.close()
            raise UserError(error)
        return result

    def _ask(self, arguments: tuple) -> tuple[Any, str | None]:
        """Return (result, None) or (None, error message)."""
        if self._running is None:
            ours, theirs = CONTEXT.Pipe()
            process = CONTEXT.Process(target=_serve, args=(theirs, self.make), daemon=True)
            process.start()
            theirs.close()
            self._running = ours, process
            self._ending = weakref.finalize(self, _end_own, ours, process, os.getpid())
        connection, process = self._running
        with suppress(OSError):  # the process has died; `_receive` says how
            connection.send(arguments)
        message = PROGRESS
        while message == PROGRESS:
            if not connection.poll(self.time_limit):
                return None, _too_late(self.time_limit, since_progress=True)
            message = _receive(connection, process)
        return message

    def close(self) -> None:
        """End the process, if there is one."""
        if self._running:
            self._ending()
            self._running = None


def _serve(connection: Connection, make: Callable[[], Callable]) -> None:
    """Answer calls until the caller closes the connection. This is the main function of the process."""
    _settle(connection)
    made = cache(make)  # at the first call, so that its errors are sent too
    with suppress(EOFError):
        while True:
            _answer(connection, lambda *arguments: made()(*arguments), *connection.recv())


def _end_own(connection: Connection, process: BaseProcess, owner: int) -> None:
    """End a process, but only in the process that started it, because a fork of that one has copies of both."""
    if os.getpid() == owner:
        _end(connection, process)
