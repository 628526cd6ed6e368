"""One HTML file from its parts: a body, styles, scripts, and lines of JSON as data."""

import json
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from runtime.names import readable_content
from saliency.figures import DIVERGING, HEAT, PERCENTILE


def document_around_data(title: str, sources: tuple[str, ...]) -> tuple[str, str]:
    """Return the text of a page before its data and after it.

    sources: files of this folder. The first is the body; the others are styles (.css) and scripts (.js) in their order.
    """
    document, body, *parts = (Path(__file__).with_name(name).read_text(encoding="utf-8")
                              for name in ("document.html", *sources))
    style, script = ("\n".join(part for name, part in zip(sources[1:], parts, strict=True) if name.endswith(suffix))
                     for suffix in (".css", ".js"))
    filled = Template(document).substitute(title=title, body=body, style=style, script=script, data="\0")
    before, after = filled.split("\0")
    return before, after


def json_line(content: Any) -> str:
    """Return one line of JSON with readable names. It has no "<", which could end the script element around it."""
    return json.dumps(readable_content(content), allow_nan=False).replace("<", "\\u003c") + "\n"


def scale_colours() -> dict[str, Any]:
    """Return the colours of maps for the last line of the data, and the percentile where their scales end."""
    colours = {name: [to_hex(colour) for colour in colormaps[scale](np.linspace(0, 1, 256))]
               for name, scale in (("heat", HEAT), ("diverging", DIVERGING))}
    return {"percentile": PERCENTILE, "colours": colours}
