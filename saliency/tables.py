"""Tables as aligned plain text.

    print(format_table(rows, ["method", "auc_flow_frame"]))        # rows: a dict per clip or method
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.sentences import first_names
from saliency.averages import has_interval


def format_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], sort_by: str | None = None) -> str:
    """Return `rows` as text with the keys `columns` as headings, sorted from the highest value of `sort_by` down.

    sort_by: by default the second column; "" keeps the order of the rows. Rows without a value there come last. Values
    are text, numbers, or the dicts that saliency.averages.summarise returns; those are shown as mean and interval,
    `0.912 [0.880, 0.940]`, or as mean and values, `0.912 (0.900, 0.924)`.
    """
    sort_by = columns[1] if sort_by is None else sort_by

    def sort_key(row):
        value = row.get(sort_by)
        value = value["mean"] if isinstance(value, dict) else value
        return np.inf if value is None or np.isnan(value) else -value

    lines = [list(columns)]
    lines += [[_cell(row.get(column)) for column in columns] for row in sorted(rows, key=sort_key)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _cell(value: Any) -> str:
    """Return the text of a cell: a summary with its interval, a fraction with three decimals, `-` for no value."""
    if isinstance(value, dict):
        values = value.get("values") or []
        listed = f" ({', '.join(map(_cell, values))})" if len(values) > 1 else ""
        return _cell(value["mean"]) + (f" [{value['low']:.3f}, {value['high']:.3f}]" if has_interval(value) else listed)
    fraction = isinstance(value, float | np.floating)
    if value is None or (fraction and np.isnan(value)):
        return "-"
    return f"{value:.3f}" if fraction else str(value)


def fewer_clips(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return a sentence about the methods whose cells are over fewer clips than others in their column; or ""."""
    counts = {column: {row["method"]: row[column]["n"] for row in rows if isinstance(row.get(column), dict)}
              for column in columns}
    found = [f"{column} of {name}: {n} of {max(own.values())}" for column, own in counts.items()
             for name, n in own.items() if 0 < n < max(own.values())]
    return f"Not all rows are about the same clips. Clips with a value: {first_names(found)}." if found else ""
