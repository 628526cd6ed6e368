"""Errors that a user can mend, which become one line, and faults of the project, which keep their traceback."""

import re

from runtime.sentences import shortened

OUT_OF_MEMORY = re.compile("out of memory|insufficient memory|allocate|storage size calculation overflowed", re.I)


class UserError(ValueError):
    """Wrong input, with one sentence for the user: what was given, what was found and what to do.

    Every other exception, but for OSError and exhausted memory, is a fault of the project and keeps its traceback.
    """


def told(error: Exception) -> str | None:
    """Return the line in which an exception ends a run, or None if it is a fault of the project."""
    text = str(error).rstrip()
    if "Traceback (" in text:  # from a process of PyTorch's that loads clips: its last line is the sentence
        text = text.splitlines()[-1].partition(": ")[2]
    if isinstance(error, UserError | OSError):
        return text or type(error).__name__
    if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(text):
        return (f"out of memory ({shortened(text or type(error).__name__)}); choose smaller sizes (clips, batches, "
                "layers), or a machine with more")
    return None
