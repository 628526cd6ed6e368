"""Parts of our one-line messages: texts of other programs, counts, and lists of names."""

import textwrap

CUT = " ..."  # at the end of a text that was cut


def shortened(text: object, width: int = 120) -> str:
    """Return a text in one line of at most `width` characters, which ends after a whole word and with " ..." if cut.

    A first word that is longer than the line is cut all the same.
    """
    line = " ".join(str(text).split())
    if len(line.partition(" ")[0]) + len(CUT) > width:
        return line if len(line) <= width else line[:width - len(CUT)] + CUT
    return textwrap.shorten(line, width, placeholder=CUT)


def in_short(error: BaseException) -> str:
    """Return the type of an error and the first line of its text, without a cut inside a word."""
    text = shortened((str(error).strip().splitlines() or [""])[0], 160)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def counted(number: int, noun: str) -> str:
    """Return a count with its noun, such as "1 clip" or "1,200 clips"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def first_names(names: list[str], shown: int = 3) -> str:
    """Return the first names in a list as text, and how many more there are."""
    text = ", ".join(names[:shown])
    if len(names) > shown:
        text += f" and {len(names) - shown} more"
    return text
