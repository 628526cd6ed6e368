"""Options that methods and heads declare, and types of values that flags of the command line take.

    METHODS = {"smoothgrad": Method(smoothgrad, "mean gradient of noisy copies",
                                    (Option("samples", int, 25, "noisy copies", least=1),))}

An option is a keyword argument of a method or a head. opts.Parser.declare makes the flag, and refuses one that nothing
uses; `values_of` gives the keyword arguments back.
"""

import argparse
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

LARGEST = 2**31 - 1  # of whole numbers, so that no library overflows
MOST_THREADS = 1024
EXPORTS = ("gif", "png")  # kinds of files that saliency/export.py writes


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


def values_of(args: argparse.Namespace, options: tuple[Option, ...]) -> dict[str, Any]:
    """Return {keyword argument: value} of the options of one owner; what was not given has the owner's default."""
    values = {option.name: getattr(args, option.destination) for option in options}
    return {option.name: option.default if values[option.name] is None else values[option.name] for option in options}


def add_flag(group: argparse._ArgumentGroup, option: Option, defaults: dict[str, Any]) -> None:
    """Add the flag of an option. defaults: {owner: default}; if they differ, that of the flag is None."""
    more, values = {}, set(defaults.values())
    if option.type is bool:
        more["action"] = "store_true"
    elif option.choices:
        more["choices"] = option.choices
    else:
        more |= {"metavar": option.name.upper(), "type": option.type if option.type is str else number(
            option.type, -LARGEST if option.least is None else option.least,
            LARGEST if option.most is None else option.most)}
    line = option.help if len(values) == 1 else f"{option.help} ({told_defaults(defaults)})"
    group.add_argument(f"--{option.destination}", default=option.default if len(values) == 1 else None, help=line,
                       **more)


def told_defaults(values: dict[str, Any]) -> str:
    """Return the defaults of owners as words: {"a": 1, "b": 2, "c": 1} -> "default: 1 for a, c; 2 for b"."""
    owners = {}
    for owner, value in values.items():
        owners.setdefault(value, []).append(owner)
    return "default: " + "; ".join(f"{value} for {', '.join(names)}" for value, names in owners.items())


def number(convert: type, least: float, most: float = LARGEST) -> Callable[[str], Any]:
    """Return a type for argparse: an int or a float from `least` to `most`."""
    def parse(text: str) -> Any:
        with suppress(ValueError):
            if least <= convert(text) <= most:
                return convert(text)
        kind = "a whole number" if convert is int else "a number"
        raise argparse.ArgumentTypeError(f"{text} is not {kind} from {least:.10g} to {most:.10g}")

    return parse


def cache_folder(text: str) -> Path | None:
    """Return the folder that a value of --feature_cache names, or None for none."""
    return None if text == "none" else Path(text)


def frame_range(text: str) -> tuple[int, int]:
    """Return (first, last) of a range of frames such as "5-20" or "7", counted from 1: a type for argparse."""
    first, _, last = text.partition("-")
    with suppress(ValueError):
        if 1 <= int(first) <= int(last or first) <= LARGEST:
            return int(first), int(last or first)
    raise argparse.ArgumentTypeError(f"{text} is no range of frames such as 5-20, counted from 1")
