"""Flags of the command line: numbers in a range, and the options that registries declare."""

import argparse
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runtime.declare import Option

LARGEST = 2**31 - 1  # of whole numbers, so that no library overflows
EXPORTS = ("gif", "png")  # kinds of files that saliency/export.py writes


def number(convert: Callable[[str], Any], least: float, most: float, complaint: str) -> Callable[[str], Any]:
    """Return a type for argparse: what `convert` makes of a text, from `least` to `most`; others get the complaint."""
    def parse(text):
        with suppress(ValueError):
            if least <= convert(text) <= most:
                return convert(text)
        raise argparse.ArgumentTypeError(f"{text} is {complaint}")

    return parse


class OneOrMore(argparse.Action):
    """Keeps a single value as a text and several values as a list, so that recipes of earlier runs stay valid."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, values[0] if len(values) == 1 else values)


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


def add_declared(group: argparse._ArgumentGroup, options: tuple[Option, ...]) -> None:
    """Add a flag for each option that a registry declares."""
    for option in options:
        flag = f"--{option.destination}"
        if option.type is bool:
            group.add_argument(flag, action="store_true", default=option.default, help=option.help)
        else:
            group.add_argument(flag, type=_declared_type(option), default=option.default,
                               choices=option.choices or None, metavar=None if option.choices else option.name.upper(),
                               help=option.help)


def _declared_type(option: Option) -> Callable[[str], Any]:
    if option.type is str:
        return str
    least = -LARGEST if option.least is None else option.least
    most = LARGEST if option.most is None else option.most
    kind = "a whole number" if option.type is int else "a number"
    return number(option.type, least, most, f"not {kind} from {least:g} to {most:g}")
