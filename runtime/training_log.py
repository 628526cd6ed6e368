"""The log of a training run: log.csv after each epoch, curves now and then, and TensorBoard's files."""

import shutil
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runtime.errors import UserError
from runtime.files import write_csv

DRAW_INTERVAL = 10  # seconds between two drawings of the curves, each of which takes half a second


class TrainingLog:
    """A function of the history, a dict per epoch, that brings the files in a folder up to date.

    draw: called with the history to draw its curves. tensorboard: also write a log for TensorBoard. ValueError if
    TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, draw: Callable[[list], None], tensorboard: bool = False):
        self.folder, self.draw, self.drawn, self.n_written = folder, draw, float("-inf"), 0
        self.events = None
        if tensorboard:
            check_tensorboard()
            shutil.rmtree(folder / "tensorboard", ignore_errors=True)  # all rows are written anew
            self.events = import_module("torch.utils.tensorboard").SummaryWriter(folder / "tensorboard")

    def __call__(self, history: list[dict[str, Any]]) -> None:
        write_csv(self.folder / "log.csv", [list(history[0]), *(row.values() for row in history)])
        if time.monotonic() - self.drawn > DRAW_INTERVAL:
            self.draw(history)
            self.drawn = time.monotonic()
        if self.events:
            for row in history[self.n_written:]:
                for name, value in row.items():
                    part, _, quantity = name.partition("_")  # train_loss
                    if quantity:
                        self.events.add_scalar(f"{quantity}/{part}", value, row["epoch"])
            self.events.flush()
        self.n_written = len(history)


def check_tensorboard() -> None:
    """Raise ValueError if TensorBoard is not installed."""
    if not find_spec("tensorboard"):
        raise UserError("--tensorboard was given, but TensorBoard is not installed; leave it out or install "
                        "tensorboard")
