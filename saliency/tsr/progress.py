"""The progress bar of TSR: one bar over all perturbations and over the directions that are pulled back."""

from typing import Protocol

from tqdm import tqdm


class Progress(Protocol):
    """A function that is told how much was done since the last call, and how much more there is to do.

    A perturbation and a direction of one frame count 1 each: both take a pass of every variant of one frame.
    """

    def __call__(self, done: float) -> None: ...
    def more(self, added: int) -> None: ...


class Silent:
    """A Progress that shows nothing."""

    def __call__(self, done: float) -> None: ...
    def more(self, added: int) -> None: ...


SILENT = Silent()


class Bar:
    """A tqdm bar as a Progress; its total grows when it is known how many directions follow."""

    def __init__(self, total: int):
        self.bar = tqdm(total=total, desc="TSR", unit="pass", leave=False, disable=None)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def __call__(self, done: float) -> None:
        self.bar.update(done)

    def more(self, added: int) -> None:
        """Add to the total; a negative number takes from it."""
        self.bar.total += added
        self.bar.refresh()
