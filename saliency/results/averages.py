"""Means that leave out values that are not finite, means over clips with intervals over people or videos, and tables.

    summarise([{"auc": 0.8}, {"auc": 0.6}])["auc"]        # {"mean": 0.7, "low": nan, "high": nan, "n": 2, ...}
    print(format_table(rows, ["method", "auc_flow_frame"]))        # rows: a dict per clip or method
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from runtime.sentences import counted, first_names

LEAST_GROUPS = 5  # with fewer groups there is no interval
UNITS = {"person": "people", "video": "videos"}  # the first word of a group's name, and what such groups are

T_QUANTILES = (  # the 0.975 quantiles of Student's t with 1 to 24 degrees of freedom
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064)

Groups = Mapping[str, str]  # {clip: its group, such as "person 3" or "video walk.avi"}
Cell = Mapping[str, Any]  # what `summarise` returns for a metric; a number that is not finite may be NaN or None


def finite_mean(values: Sequence[float] | np.ndarray) -> float:
    """Return the mean of the finite ones of values (n,), or NaN if there are none."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def t_quantile(freedom: int) -> float:
    """Return the 0.975 quantile of Student's t with so many degrees of freedom, to 0.002."""
    return T_QUANTILES[freedom - 1] if freedom <= len(T_QUANTILES) else 1.96 + 2.5 / freedom


def summarise(rows: Sequence[Mapping], groups: Sequence[Hashable] | None = None) -> dict[str, dict]:
    """Return the mean over clips of every metric, with a 95 % interval.

    rows: one dict {metric: number or None} per clip; entries that are not numbers are left out. groups: the person or
    video of each clip; clips of one group are alike, and groups count as independent. By default a clip is a group.
    Returns {metric: {"mean", "low", "high", "n", "n_nan", "groups"}}. n counts the clips with a finite value, n_nan the
    others, and groups the groups of the n clips. With fewer than LEAST_GROUPS groups, low and high are NaN, and
    "values" lists the mean of each group.

    The interval is mean +- t * error: error is the jackknife estimate that leaves out one group at a time (Cameron and
    Miller, "A Practitioner's Guide to Cluster-Robust Inference", Journal of Human Resources 2015, section VI.B), t the
    0.975 quantile of Student's t with one degree of freedom less than there are groups. Simulated coverage with 5, 10
    and 20 groups: normal values 0.95 each, uniform 0.94 to 0.95; skewed values have less, exponential 0.88, 0.90 and
    0.92, log-normal 0.83, 0.84 and 0.87. Groups of 1 to 12 normal clips: 0.92, 0.93 and 0.94. The interval has no width
    if all groups have the same value.
    """
    names = dict.fromkeys(name for row in rows for name in row if isinstance(row[name], int | float | np.number | None))
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups or ()))}
    codes = np.array([numbers[group] for group in groups]) if groups is not None else np.arange(len(rows))
    return {name: _cell(np.array([row.get(name) for row in rows], dtype=np.float64), codes) for name in names}


def _cell(values: np.ndarray, codes: np.ndarray) -> dict:
    """Return the cell of one metric, see `summarise`; values (clips,) and the numbers of their groups (clips,)."""
    known = np.isfinite(values)
    counts = np.bincount(codes[known])
    sums = np.bincount(codes[known], values[known])[counts > 0]
    counts = counts[counts > 0]
    n, groups, mean, low, high = int(known.sum()), len(counts), finite_mean(values), float("nan"), float("nan")
    if groups >= LEAST_GROUPS:
        shifts = (sums - counts * mean) / (n - counts)  # of the mean, when one group is left out
        margin = t_quantile(groups - 1) * float(np.sqrt((groups - 1) / groups * (shifts**2).sum()))
        low, high = mean - margin, mean + margin
    cell = {"mean": mean, "low": low, "high": high, "n": n, "n_nan": len(values) - n, "groups": groups}
    return cell if groups >= LEAST_GROUPS else cell | {"values": (sums / counts).tolist()}


def summarise_named(rows: Mapping[str, Mapping], groups: Groups | None = None) -> dict[str, dict]:
    """Return `summarise` of {clip: row}; a clip that is not in groups is a group of its own."""
    return summarise(list(rows.values()), [(groups or {}).get(clip, clip) for clip in rows])


def is_number(value: Any) -> bool:
    """Return whether there is a finite value: NaN is written as null."""
    return value is not None and bool(np.isfinite(value))


def has_interval(cell: Cell | None) -> bool:
    """Return whether a cell has an interval, which fewer than LEAST_GROUPS groups do not allow."""
    return is_number((cell or {}).get("low"))


def side(cell: Cell, chance: float = 0.0) -> int | None:
    """Return where the interval of a mean lies: 1 above chance, -1 below, 0 around it; None if there is no interval."""
    return int(cell["low"] > chance) - int(cell["high"] < chance) if has_interval(cell) else None


def units_of(groups: Groups | None) -> str:
    """Return what the intervals treat as independent: "people", "videos", "groups", or "clips" without groups."""
    kinds = {UNITS.get(group.partition(" ")[0], "groups") for group in (groups or {}).values()} or {"clips"}
    return kinds.pop() if len(kinds) == 1 else "groups"


def sample_text(clips: int, groups: int, units: str) -> str:
    """Return the size of a sample in words, such as "3 clips of 2 people"; units: see `units_of`."""
    if units == "clips" and groups >= clips:
        return counted(clips, "clip")
    one = {many: word for word, many in UNITS.items()}.get(units, "group")
    return f"{counted(clips, 'clip')} of {groups:,} {one if groups == 1 else units if units != 'clips' else 'groups'}"


def too_few(cell: Cell, units: str) -> str:
    """Return the beginning of a sentence about clips that are too few for an interval; units: see `units_of`."""
    return f"{sample_text(cell['n'], cell['groups'], units)} {'is' if cell['n'] == 1 else 'are'} too few to"


def amount(cell: Cell, show: Callable[[float], str] = "{:.3f}".format) -> str:
    """Return a mean and its interval as text; without an interval, the values."""
    if has_interval(cell):
        return f"{show(cell['mean'])} [{show(cell['low'])}, {show(cell['high'])}]"
    return " and ".join(map(show, cell.get("values") or [cell["mean"]]))


def format_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], sort_by: str = "") -> str:
    """Return `rows` as aligned text with the keys `columns` as headings, sorted from the highest of `sort_by` down.

    sort_by: "" keeps the order of the rows. Rows without a value there come last. Values are text, numbers, or cells;
    cells are shown as mean and interval, `0.912 [0.880, 0.940]`, or as mean and values, `0.912 (0.900, 0.924)`.
    """
    def sort_key(row):
        value = row.get(sort_by)
        value = value["mean"] if isinstance(value, dict) else value
        return -value if is_number(value) else np.inf

    lines = [list(columns)]
    lines += [[_text(row.get(column)) for column in columns] for row in sorted(rows, key=sort_key)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _text(value: Any) -> str:
    """Return the text of a cell: a summary with its interval, a fraction with three decimals, `-` for no value."""
    if isinstance(value, dict):
        values = value.get("values") or []
        listed = f" ({', '.join(map(_text, values))})" if len(values) > 1 else ""
        return _text(value["mean"]) + (f" [{value['low']:.3f}, {value['high']:.3f}]" if has_interval(value) else listed)
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
