"""Declarations of what can be chosen on the command line, for registries that must not import what they offer.

A registry is a dictionary of entries. An entry names the function or class that does the work and lists its options.
The command line builds `choices` and flags from the entries alone, so `--help` answers without loading PyTorch. The
function or class is imported when it is first needed.

    METHODS = {"smoothgrad": Method("saliency.methods.smoothgrad:smoothgrad", "mean gradient of noisy copies",
                                    (Option("samples", int, 25, "noisy copies", least=1),))}
    load(METHODS["smoothgrad"].place)       # the function
"""

from importlib import import_module
from typing import Any, NamedTuple


class Option(NamedTuple):
    """An option of a method or a head: one of its keyword arguments, and the flag for it on the command line."""

    name: str  # the keyword argument
    type: type  # int, float, str or bool; a bool is a switch
    default: Any
    help: str
    flag: str = ""  # the flag without its dashes; empty if it equals the keyword argument
    least: float | None = None  # the smallest number allowed
    most: float | None = None  # the largest number allowed
    choices: tuple = ()  # the values allowed; empty if all are

    @property
    def destination(self) -> str:
        """The name of the parsed value in the namespace of argparse."""
        return self.flag or self.name


def load(place: str) -> Any:
    """Import the object at `place`, which is "package.module:name", and return it."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
