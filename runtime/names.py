"""Names of files that are no valid text: names that old zip files leave, and all names beyond ASCII under `LC_ALL=C`.

Python gives each byte that it cannot decode as a "surrogate" (PEP 383), such as "\\udce9" for the byte e9. With such a
name Python opens the file, but nothing can print or draw it, and the same name differs between locales.

    readable("caf\\udce9")               # 'caf\\\\xe9', for people
    portable("\\udcc3\\udca4")            # 'ä', for files that are read again: the bytes c3 a4 are UTF-8
    local("ä")                          # the name under which this process finds the file
"""

import os
from collections.abc import Callable
from typing import Any


def portable(text: str) -> str:
    """Return a text as it is in every locale: bytes that are UTF-8 are decoded, other bytes stay surrogates."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text


def local(text: str) -> str:
    """Return a text in the form that names of files have in this process; the reverse of `portable`."""
    try:
        return os.fsdecode(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return text


def readable(text: str) -> str:
    """Return a text that can be printed and drawn: `portable`, with escapes for the bytes that are not UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def convert_texts(content: Any, convert: Callable[[str], str]) -> Any:
    """Return JSON-like content with convert(text) in place of each text, keys of dictionaries included."""
    if isinstance(content, str):
        return convert(content)
    if isinstance(content, dict):
        return {convert_texts(key, convert): convert_texts(value, convert) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [convert_texts(value, convert) for value in content]
    return content
