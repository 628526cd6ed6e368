"""What a run prints: its summary over the clips, the decisions and the random heads, as text. Nothing writes a file.

    print(tables(content["summary"], content["groups"]))        # content: saliency.results.run.summarise_run
"""

from typing import Any

from runtime.sentences import counted
from saliency.baselines import BASELINES
from saliency.results.averages import LEAST_GROUPS, Cell, Groups, fewer_clips, format_table, has_interval, units_of
from saliency.results.columns import column
from saliency.results.run import Summary
from saliency.sanity import COLUMNS

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

def tables(summary: Summary, groups: Groups | None = None) -> str:
    """Return the summary as text: each of TABLES with the columns that the summary has; groups: those of the clips."""
    rows = [{"method": method, **metrics} for method, metrics in summary.items()]
    known = {metric for metrics in summary.values() for metric in metrics}
    text = []
    for columns in ([name for name in table if name in known] for table in TABLES):
        if columns:
            table = format_table(rows, ["method", *columns], columns[0])
            text.append(f"{table}\n{fewer_clips(rows, columns)}".rstrip())
    if "insertion_patch_gain" in known:
        text.append("gain: how much better the area is than that of random order, the row random; below 0 is worse")
    if known & {"sufficiency_frame", "infidelity"}:
        text.append("lower is better: sufficiency, log_odds, infidelity, max_sensitivity")
    return "\n\n".join([*text, _caption(summary, groups)])


def _caption(summary: Summary, groups: Groups | None) -> str:
    """Return what the numbers of the tables are: means with intervals, means with values, or single values."""
    known = [name for name in BASELINES if name in summary]
    baselines = f"; {', '.join(known)} are baselines" if known else ""
    cells, units = [cell for metrics in summary.values() for cell in metrics.values()], units_of(groups)
    if any(map(has_interval, cells)):
        return f"mean over clips [95 % interval, which takes the {units} as independent]{baselines}"
    if any(cell["n"] > 1 for cell in cells):
        return (f"mean over clips (value of each of the {units}; fewer than {LEAST_GROUPS} are too few for an interval)"
                f"{baselines}")
    return f"values of one clip; one clip is too few for an interval{baselines}"


def zero_maps(summary: Summary) -> list[str]:
    """Return a sentence for each method whose map is 0 everywhere in some clips."""
    cells = {name: row.get("map_is_zero", {"mean": 0}) for name, row in summary.items() if name not in BASELINES}
    return [f"the map of {name} is 0 everywhere in {round(cell['mean'] * cell['n'])} of {counted(cell['n'], 'clip')}, "
            f"so it tells no pixels or frames apart there{NO_POSITIVE if name == 'grad_cam' else ''}"
            for name, cell in cells.items() if cell["mean"] > 0]


def when_table(over_clips: dict[str, Cell]) -> str:
    """Return the numbers of saliency.when, averaged over clips, as text; "score" is S(clip) - S(background)."""
    several = any(cell["n"] > 1 for cell in over_clips.values())
    mean = "mean [95 % interval]" if any(map(has_interval, over_clips.values())) else "mean (values)" if several else \
        "value"
    lines = [{"when": column(name).words, mean: cell, "clips": cell["n"]}
             for name, cell in over_clips.items() if name != "difference"]
    return format_table(lines, ["when", mean, "clips"]) + "\n"


def sanity_tables(checks: dict[str, Any]) -> str:
    """Return the result of saliency.sanity.check as text: rank correlations, agreement with flow, and sentences."""
    stages, text = checks["sanity"]["stages"], []
    for kind, words in (("correlations", "over the whole clip"), ("within_frames", "within each frame")):
        rows = [{"method": method} | dict(zip(stages, values, strict=True))
                for method, values in checks["sanity"][kind].items()]
        text += [f"\nRank correlation with the trained model's map {words}, weights random from the output down to:",
                 format_table(rows, ["method", *stages], stages[-1])]
    heads = [{"method": method, **columns} for method, columns in checks["random_head"].items()]
    return "\n".join([*text, "\nAUC per frame against optical flow; only the difference is about the classifier:",
                      format_table(heads, ["method", *COLUMNS], "difference"), *checks["sentences"]])
