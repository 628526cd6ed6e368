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


def shared(options: dict[str, tuple[Option, ...]]) -> list[Option]:
    """Return one option for each flag that owners such as heads declare, for the command line.

    options: {owner: its options}. Owners that share a flag may differ in its default, so the default of the result is
    None and its help names those of the owners.
    """
    flags = {}
    for owner, declared in options.items():
        for option in declared:
            flags.setdefault(option.destination, {})[owner] = option
    merged = []
    for owners in flags.values():
        option, values = next(iter(owners.values())), {owner: each.default for owner, each in owners.items()}
        merged.append(option._replace(default=None, help=f"{option.help} ({told_defaults(values)})"))
    return merged


def told_defaults(values: dict[str, Any]) -> str:
    """Return the defaults of owners as words: {"a": 1, "b": 2, "c": 1} -> "default: 1 for a, c; 2 for b"."""
    owners = {}
    for owner, value in values.items():
        owners.setdefault(value, []).append(owner)
    return "default: " + "; ".join(f"{value} for {', '.join(names)}" for value, names in owners.items())


def load(place: str) -> Any:
    """Import the object at `place`, which is "package.module:name", and return it."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
