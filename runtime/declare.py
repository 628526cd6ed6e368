"""How registries declare what can be chosen on the command line without importing it.

A registry is a dictionary of entries. An entry names the function or class that does the work and lists the options
that it takes. The command line builds `choices` and flags from the entries alone, so `--help` answers without loading
PyTorch; the work is imported when it is first needed.

    METHODS = {"smoothgrad": Method("saliency.methods.smoothgrad:smoothgrad", "mean gradient of noisy copies",
                                    (Option("samples", int, 25, "noisy copies", least=1),))}
    load(METHODS["smoothgrad"].place)       # the function
"""

from importlib import import_module
from typing import Any, NamedTuple


class Option(NamedTuple):
    """One option of a method or a head: a keyword argument of it, and a flag on the command line.

    name: the keyword argument. type: int, float, str or bool; a bool is a switch. least, most: the range of numbers.
    flag: the name of the flag without its dashes, by default the name of the keyword argument. choices: the values
    allowed, all if empty.
    """

    name: str
    type: type
    default: Any
    help: str
    flag: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple = ()

    @property
    def destination(self) -> str:
        """The name of the parsed value in the namespace of argparse."""
        return self.flag or self.name


def load(place: str) -> Any:
    """Import and return what "package.module:name" names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
