"""Summarise a run over its clips: as rows, as text and as figures. Nothing here writes a file.

    over_clips = summarise_clips({"clip": {"gradient": {"auc_flow_frame": 0.8}, "random": {...}}})
    print(tables(over_clips))
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from runtime.errors import UserError
from runtime.names import readable
from runtime.sentences import counted
from saliency.averages import LEAST_GROUPS, Groups, has_interval, summarise_named, units_of
from saliency.baselines import BASELINES
from saliency.charts import method_bars, sanity_curves
from saliency.sanity import COLUMNS, METRIC
from saliency.tables import fewer_clips, format_table

TABLES = (  # the columns of each printed table; the rows are sorted by the first one
    ("auc_flow_frame", "cc_flow_frame", "nss_flow_frame", "time_spearman_flow", "last_quarter_share"),
    ("auc_mask_frame", "mass_accuracy_mask_frame", "rank_accuracy_mask_frame", "mask_share_frame",
     "time_auroc_visible", "time_aup_visible", "time_aur_visible"),
    ("insertion_frame_auc", "deletion_frame_auc", "insertion_patch_auc", "deletion_patch_auc"),
    ("insertion_patch_gain", "deletion_patch_gain", "insertion_frame_gain", "deletion_frame_gain"),
    ("comprehensiveness_frame", "sufficiency_frame", "log_odds_frame", "aopc_comprehensiveness_frame",
     "aopc_sufficiency_frame"),
    ("comprehensiveness_patch", "sufficiency_patch", "log_odds_patch", "aopc_comprehensiveness_patch",
     "aopc_sufficiency_patch"),
    ("max_sensitivity", "infidelity"),
    ("sparseness", "time_sparseness"),
)

NO_POSITIVE = "; its channels speak nowhere for the class: try another --layer, or --signed to see evidence against it"

WHEN = "when"  # the row of a clip's metrics that saliency.when gives; the other rows are methods
WHEN_LINES = {
    "sufficient_frames": "frames of the shortest interval that keeps 90 percent of the score",
    "background_frames": "frames of the shortest interval whose absence takes it or changes the class",
    "freeze_frames": "frames of the shortest interval whose standing still does",
    "reverse_frames": "frames of the shortest interval whose running backwards does",
    "decided": "first frame from which on the class stays, with the background after it",
    "decided_shorter": "first frame from which on the class stays, if the clip ends there",
    "order_effect": "share of the score that is lost when the whole clip runs backwards",
    "order_flips": "share of clips whose predicted class changes when the whole clip runs backwards",
    "order_part": "share of clips with an interval whose running backwards takes it or changes the class",
    "largest_error": "largest standard error of a Shapley value, as a share of the score",
}

Summary = dict[str, dict[str, dict[str, float]]]  # {method: {metric: result of saliency.averages.summarise}}


def checked_methods(metrics: Any, path: Path) -> dict[str, dict[str, float | None]]:
    """Return the content of a clip's metrics.json if it has the form {method: {metric: number or None}}.

    The row WHEN may be there too. path: of the file. ValueError if the content has another form, or if the name of a
    method cannot be printed.
    """
    rows = dict(metrics) if isinstance(metrics, dict) else {}
    when = rows.pop(WHEN, {})
    if not rows or not all(_is_row(row) and "last_quarter_share" in row for row in rows.values()) or not _is_row(when) \
            or any(readable(name) != name for name in rows):
        raise _other_form(path)
    return metrics


def checked_profile(metrics: Any, path: Path) -> dict[str, float | None]:
    """Return the content of a clip's metrics.json if it has the form {metric: number or None}; else ValueError."""
    if not _is_row(metrics) or "last_quarter_share" not in metrics:
        raise _other_form(path)
    return metrics


def _other_form(path: Path) -> UserError:
    return UserError(f"{path} does not hold the metrics of a clip; remove {path.parent} and run again")


def _is_row(row: Any) -> bool:
    """Return whether `row` has the form {metric: number or None}."""
    return isinstance(row, dict) and all(
        value is None or (isinstance(value, int | float) and abs(value) < 1e300) for value in row.values()
    )


def summarise_clips(rows: dict[str, dict[str, dict[str, float | None]]], groups: Groups | None = None) -> Summary:
    """Summarise {clip: {method: {metric: value}}} over the clips that have a value; groups: see saliency.averages."""
    methods = dict.fromkeys(method for row in rows.values() for method in row)
    return {method: summarise_named({clip: row[method] for clip, row in rows.items() if method in row}, groups)
            for method in methods}


def csv_rows(summary: Summary) -> list[list | tuple]:
    """Return the rows of metrics.csv, the header first; what has no value is empty."""
    columns = ("mean", "low", "high", "n", "n_nan", "groups")
    rows = [("method", "metric", *columns)]
    for method, metrics in summary.items():
        rows += [[method, metric, *("" if np.isnan(cell[column]) else cell[column] for column in columns)]
                 for metric, cell in metrics.items()]
    return rows


def tables(summary: Summary, over: str = "clips", groups: Groups | None = None) -> str:
    """Return the summary as text: each of TABLES with the columns that the summary has.

    over: the items that were averaged. groups: those of the clips, for the words about the intervals.
    """
    rows = [{"method": method, **metrics} for method, metrics in summary.items()]
    known = {metric for metrics in summary.values() for metric in metrics}
    columns = [[column for column in table if column in known] for table in TABLES]
    text = [f"{format_table(rows, ['method', *some])}\n{fewer_clips(rows, some)}".rstrip() for some in columns if some]
    if "insertion_patch_gain" in known:
        text.append("gain: how much better the area is than that of random order, the row random; below 0 is worse")
    if known & {"sufficiency_frame", "infidelity"}:
        text.append("lower is better: sufficiency, log_odds, infidelity, max_sensitivity")
    known = [name for name in BASELINES if name in summary]
    baselines = f"; {', '.join(known)} are baselines" if known else ""
    cells, units = [cell for metrics in summary.values() for cell in metrics.values()], units_of(groups)
    what, units = "a single value has no interval; mean", over if units == "clips" else units
    if any(map(has_interval, cells)):
        what = f"mean [95 % interval, which takes the {units} as independent]"
    elif any(cell["n"] > 1 for cell in cells):
        what = f"mean (value of each of the {units}; fewer than {LEAST_GROUPS} are too few for an interval)"
    text.append(f"{what} over {over}{baselines}")
    return "\n\n".join(text)


def zero_maps(summary: Summary) -> list[str]:
    """Return a sentence for each method whose map is 0 everywhere in some clips."""
    cells = {name: row.get("map_is_zero", {"mean": 0}) for name, row in summary.items() if name not in BASELINES}
    return [f"the map of {name} is 0 everywhere in {round(cell['mean'] * cell['n'])} of {counted(cell['n'], 'clip')}, "
            f"so it tells no pixels or frames apart there{NO_POSITIVE if name == 'grad_cam' else ''}"
            for name, cell in cells.items() if cell["mean"] > 0]


def when_table(over_clips: dict[str, dict[str, float]]) -> str:
    """Return the numbers of saliency.when, averaged over clips, as text; "score" is S(clip) - S(background)."""
    correlations = {name: f"rank correlation of Shapley values with {name.removeprefix('spearman_')} per frame"
                    for name in over_clips if name.startswith("spearman_")}
    mean = "mean [95 % interval]" if any(map(has_interval, over_clips.values())) else "mean (values)"
    lines = [{"when": text, mean: over_clips[name], "clips": over_clips[name]["n"]}
             for name, text in (WHEN_LINES | correlations).items() if name in over_clips]
    return format_table(lines, ["when", mean, "clips"], sort_by="") + "\n"


def bars(summary: Summary) -> Figure:
    """Return the chart of the methods' agreement with flow."""
    return method_bars({method: metrics[METRIC] for method, metrics in summary.items() if METRIC in metrics}, BASELINES)


def sanity_pictures(checks: dict) -> dict[str, Figure]:
    """Return the charts of the rank correlations that saliency.sanity.check found: {name: figure}."""
    stages, over_clip, within = (checks["sanity"][kind] for kind in ("stages", "correlations", "within_frames"))
    return {"sanity": sanity_curves(stages, over_clip, "over the whole clip"),
            "sanity_within_frames": sanity_curves(stages, within, "within each frame, mean over frames")}


def sanity_tables(checks: dict) -> str:
    """Return the result of saliency.sanity.check as text: rank correlations, agreement with flow, and sentences."""
    return "\n".join([
        "\nRank correlation with the trained model's map over the whole clip. Weights are randomised from the output",
        "down to the stage of the column.",
        _curves_table(checks["sanity"]["stages"], checks["sanity"]["correlations"]),
        "\nRank correlation within each frame, mean over frames. A fixed profile over time does not raise it.",
        _curves_table(checks["sanity"]["stages"], checks["sanity"]["within_frames"]),
        random_head_table(checks["random_head"]),
        *checks["sentences"],
    ])


def random_head_table(random_head: dict[str, dict]) -> str:
    """Return what saliency.sanity.random_head_agreement found as text."""
    rows = [{"method": method, **columns} for method, columns in random_head.items()]
    return "\n".join([
        "\nAUC per frame against optical flow, of the trained model and of its backbone with a random head. Only the",
        "difference is evidence about the classifier. correlation and within_frames are rank correlations between the",
        "maps of the two models.",
        format_table(rows, ["method", *COLUMNS], sort_by="difference"),
    ])


def _curves_table(stages: list[str], curves: dict[str, list[float]]) -> str:
    """Return a table with a row per method and a column per stage, sorted by the last stage."""
    rows = [{"method": method, **dict(zip(stages, values, strict=True))} for method, values in curves.items()]
    return format_table(rows, ["method", *stages], sort_by=stages[-1])
