"""Names of files that are no valid text, such as names that old zip files leave.

Python gives each byte that it cannot decode as a "surrogate" (PEP 383), such as "\\udce9" for the byte e9. With such a
name Python opens the file, but nothing can print or draw it.
"""

from typing import Any


def readable(text: str) -> str:
    """Return a text that can be printed and drawn, with escapes for bytes that are not UTF-8: "caf\\xe9"."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def readable_content(content: Any) -> Any:
    """Return JSON-like content with `readable` texts, keys of dictionaries included."""
    if isinstance(content, str):
        return readable(content)
    if isinstance(content, dict):
        return {readable_content(key): readable_content(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [readable_content(value) for value in content]
    return content
