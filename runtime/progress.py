"""Progress of long work by tqdm: a bar in a terminal; elsewhere a line on stderr every minute, from the first one on.

    for clip in each(clips, "explaining", "clip"): ...
    with Progress(total, "sanity", "map", announce=True) as progress: progress.update()
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

from tqdm import tqdm

from runtime.sentences import counted

PAUSE = 60  # seconds between two lines, and before the first one
_announced: set[str] = set()  # descriptions of the bars whose time has been said in this process


class Progress(tqdm):
    """A bar of `total` steps, each called a `unit`. Use it in a with statement and call `update` after each step.

    announce: after the first step, print how long all steps will take, once for each description. options: further ones
    of tqdm, such as `initial`.
    """

    def __init__(self, total: int | None, description: str, unit: str, announce: bool = False, **options: Any):
        self.in_terminal = sys.stderr.isatty()
        seldom = {} if self.in_terminal else {"mininterval": PAUSE, "maxinterval": PAUSE, "delay": PAUSE}
        super().__init__(desc=description, total=total, unit=f" {unit}", **seldom | options)
        if not self.in_terminal:
            self._instances.discard(self)  # so that tqdm.write does not draw it
        self.noun, self.announce = unit, announce and description not in _announced

    def update(self, steps: float = 1) -> None:
        """Count finished steps, or parts of steps."""
        super().update(steps)
        if self.announce and self.total and not self.disable:
            self.announce = False
            _announced.add(self.desc)
            done = self.format_dict["elapsed"] / (self.n - self.initial)
            write = tqdm.write if self.in_terminal else print
            write(f"{self.desc}: {counted(self.total, self.noun)} take about "
                  f"{in_words(done * (self.total - self.initial))}", file=sys.stderr)


def each(items: Iterable, description: str, unit: str) -> Iterator:
    """Yield the items and show progress."""
    with Progress(len(items) if isinstance(items, Sized) else None, description, unit) as progress:
        for item in items:
            yield item
            progress.update()


def duration(work: Callable[[], Any]) -> float:
    """Return how many seconds work() takes beside no other process: the smaller of wall time and processor time.

    On a busy machine the wall time is that of the other processes too; several threads add up in the processor time.
    """
    began, spent = time.perf_counter(), time.process_time()
    work()
    return min(time.perf_counter() - began, time.process_time() - spent)


def in_words(seconds: float) -> str:
    """Return a duration in the unit that fits it, such as "40 seconds", "12 minutes" or "3.5 hours"."""
    if seconds < 100:
        return counted(max(1, round(seconds)), "second")
    minutes = seconds / 60
    return counted(round(minutes), "minute") if minutes < 100 else f"{minutes / 60:.1f} hours"
