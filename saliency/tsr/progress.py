"""The progress bar of TSR: one bar over all perturbations and over the directions that are pulled back."""

from typing import Protocol

from runtime import progress


class Progress(Protocol):
    """A function that is told how much was done since the last call, and how much more there is to do.

    A perturbation counts 1: it takes a pass of every variant of one frame. A direction takes a pass of one variant and
    counts 1 divided by the number of variants.
    """

    def __call__(self, done: float) -> None: ...
    def more(self, added: float) -> None: ...


class Silent:
    """A Progress that shows nothing."""

    def __call__(self, done: float) -> None: ...
    def more(self, added: float) -> None: ...


SILENT = Silent()


class Bar(progress.Progress):
    """The Progress of a run (runtime.progress) as one of TSR: its total grows when more work is known to follow."""

    def __init__(self, total: int):
        super().__init__(total, "TSR", "step", leave=False)
        self.expected: float = total  # the total before it is rounded

    def __call__(self, done: float) -> None:
        self.update(done)

    def more(self, added: float) -> None:
        """Add to the total; a negative number takes from it."""
        self.expected += added
        self.total = round(self.expected)
