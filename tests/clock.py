"""A clock for runtime.isolated that passes only while nothing but hanging work is left.

With it a test of a time limit does not depend on how busy the machine is: work that goes on is never too late, and
work that hangs is too late at once.
"""

import signal
from types import SimpleNamespace

from runtime import isolated


def hang(*_):
    """Wait for ever, as a decoder does that has lost its way."""
    while True:
        signal.pause()


def stop_clock(monkeypatch, hangs):
    """Replace the clock of runtime.isolated. hangs(item) says whether the work on an item never ends."""
    running, now = {}, 0
    start, end = isolated._start, isolated._end

    def noted_start(function, item):
        connection, process = start(function, item)
        running[connection] = item
        return connection, process

    def noted_end(connection, process):
        running.pop(connection, None)  # the processes of IsolatedCalls are not counted
        end(connection, process)

    def monotonic():
        nonlocal now
        now += 10**6 * all(map(hangs, running.values()))
        return now

    monkeypatch.setattr(isolated, "_start", noted_start)
    monkeypatch.setattr(isolated, "_end", noted_end)
    monkeypatch.setattr(isolated, "time", SimpleNamespace(monotonic=monotonic))
