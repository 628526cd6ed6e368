"""Progress of long work: a bar in a terminal, and without a terminal a line on stderr at most every minute.

    for clip in each(clips, "explaining", "clip"): ...
    with Progress(total, "sanity", "map", announce=True) as progress: progress.update()

A line without a terminal names all bars that are open, the outermost first:

    explaining: 2 of 20 clips, 4:10 elapsed, about 37:30 left; TSR: 900 of 2,016 steps

Work that ends within a minute prints no line. With torchrun, only the first process prints, and it counts its share.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm import tqdm

from runtime.sentences import counted

PAUSE = 60  # seconds between two lines, and before the first one
now = time.monotonic  # the clock; tests replace it
_open: list["Progress"] = []  # the bars that are open, the outermost first


class Progress:
    """A bar of `total` steps, each called a `unit`. Use it in a with statement and call `update` after each step.

    announce: after the first step, print how long all steps will take, and how long for all steps of the outermost bar.
    This is said once during the outermost bar. options: further ones of tqdm, such as `initial`.
    """

    def __init__(self, total: int | None, description: str, unit: str, announce: bool = False, **options: Any):
        self.bar = tqdm(total=total, desc=description, unit=unit, disable=None, **options)
        self.total, self.description, self.unit, self.announce = total, description, unit, announce
        self.first = self.done = options.get("initial", 0)  # steps
        self.started = self.told = now()
        self.announced = set()  # descriptions of the bars inside this one that have been announced

    def __enter__(self) -> "Progress":
        _open.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        _open.remove(self)
        self.bar.close()

    def update(self, steps: float = 1) -> None:
        """Count finished steps, or parts of steps."""
        self.done += steps
        self.bar.update(steps)
        if self.announce and self.description not in _open[0].announced:
            _open[0].announced.add(self.description)
            self._say(self.forecast())
        outermost = _open[0]
        if self.bar.disable and now() - outermost.told >= PAUSE:
            outermost.told = now()
            self._say("; ".join(bar.state() for bar in _open))

    def set_postfix(self, values: dict[str, str]) -> None:
        """Show further values behind the bar."""
        self.bar.set_postfix(values)

    def state(self) -> str:
        """Return how many steps are done, the time that has passed, and about how much is left."""
        elapsed, steps = now() - self.started, self.done - self.first
        if self.total is None:
            return f"{self.description}: {counted(round(self.done), self.unit)}, {_clock(elapsed)} elapsed"
        left = f", about {_clock(elapsed / steps * (self.total - self.done))} left" if steps else ""
        return (f"{self.description}: {round(self.done):,} of {counted(self.total, self.unit)}, {_clock(elapsed)} "
                f"elapsed{left}")

    def forecast(self) -> str:
        """Return about how long all steps take, judged by those done, and how long those of the outermost bar."""
        seconds = (now() - self.started) / (self.done - self.first) * (self.total - self.first)
        text = f"{self.description}: {counted(self.total, self.unit)} take about {in_words(seconds)}"
        outer, left = _open[0], (_open[0].total or 0) - _open[0].done
        return text if outer is self or left < 2 else (
            f"{text}, and about {in_words(seconds * left)} for the {counted(left, outer.unit)} that are left")

    def _say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)


def each(items: Iterable, description: str, unit: str) -> Iterator:
    """Yield the items and show progress."""
    with Progress(len(items) if isinstance(items, Sized) else None, description, unit) as progress:
        for item in items:
            yield item
            progress.update()


def in_words(seconds: float) -> str:
    """Return a duration in the unit that fits it, such as "40 seconds", "12 minutes" or "3.5 hours"."""
    if seconds < 100:
        return counted(max(1, round(seconds)), "second")
    minutes = seconds / 60
    return counted(round(minutes), "minute") if minutes < 100 else f"{minutes / 60:.1f} hours"


def _clock(seconds: float) -> str:
    """Return a duration as 4:10 (minutes and seconds) or 1:04:10."""
    return tqdm.format_interval(seconds)
