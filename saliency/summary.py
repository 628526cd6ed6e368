"""The figures of a whole run: summaries over clips, as rows, text and a picture. Nothing here writes a file.

    summary = summarise_clips({"clip": {"gradient": {"auc_flow_frame": 0.8}, "random": {...}}})
    print(tables(summary))
"""

from saliency.charts import method_bars, sanity_curves
from saliency.explain import BASELINES
from saliency.metrics import format_table, summarise
from saliency.sanity import COLUMNS

TABLES = (  # columns of each table, sorted by the first
    ("auc_flow_frame", "cc_flow_frame", "nss_flow_frame", "time_spearman_flow", "last_quarter_share"),
    ("auc_mask_frame", "mass_accuracy_mask_frame", "rank_accuracy_mask_frame", "mask_share_frame",
     "time_auroc_visible"),
    ("insertion_frame_auc", "deletion_frame_auc", "insertion_patch_auc", "deletion_patch_auc"),
    ("insertion_patch_gain", "deletion_patch_gain", "insertion_frame_gain", "deletion_frame_gain"),
)


def checked_methods(metrics, path):
    """Return the content of a clip's metrics.json at `path`: {method: {metric: number or None}}.

    ValueError if it has another form.
    """
    rows = list(metrics.values()) if isinstance(metrics, dict) else [metrics]
    return _checked(metrics, rows, "auc_flow_frame", path)


def checked_profile(metrics, path):
    """Return the content of a clip's metrics.json at `path`, {metric: number or None}; errors as above."""
    return _checked(metrics, [metrics], "last_quarter_share", path)


def _checked(metrics, rows, needed, path):
    if not rows or not all(_is_row(row, needed) for row in rows):
        raise ValueError(f"{path} does not hold the metrics of a clip; remove {path.parent} and run again")
    return metrics


def _is_row(row, needed):
    """Whether it is {metric: number or None} with the metric that is needed."""
    return isinstance(row, dict) and needed in row and all(
        value is None or (isinstance(value, int | float) and abs(value) < 1e300) for value in row.values()
    )


def summarise_clips(rows):
    """{clip: {method: {metric: value}}} -> {method: {metric: summary over the clips that have it}}."""
    methods = dict.fromkeys(method for row in rows.values() for method in row)
    return {method: summarise([row[method] for row in rows.values() if method in row]) for method in methods}


def csv_rows(summary):
    """The summary as the rows of a table, a header first."""
    rows = [("method", "metric", "mean", "low", "high", "n", "n_nan")]
    for method, metrics in summary.items():
        rows += [[method, metric, *values.values()] for metric, values in metrics.items()]
    return rows


def tables(summary, over="clips"):
    """The summary as text: the columns of TABLES that it has. over: what the means are over."""
    rows = [{"method": method, **metrics} for method, metrics in summary.items()]
    known = {metric for metrics in summary.values() for metric in metrics}
    columns = [[column for column in table if column in known] for table in TABLES]
    text = [format_table(rows, ["method", *some]) for some in columns if some]
    if "insertion_patch_gain" in known:
        text.append("gain: how much better than deleting and inserting in random order, whose area is the row random")
    baselines = f"; {', '.join(BASELINES)} are baselines" if BASELINES[0] in summary else ""
    text.append(f"mean over {over} [95 % interval, {over} drawn anew]{baselines}")
    return "\n\n".join(text)


def bars(summary):
    """The methods' agreement with flow as a Figure."""
    return method_bars({method: metrics["auc_flow_frame"] for method, metrics in summary.items()}, BASELINES)


def sanity_pictures(report):
    """What `saliency.sanity.check` found as Figures, by name: rank correlations per stage."""
    stages, over_clip, within = (report["sanity"][kind] for kind in ("stages", "correlations", "within_frames"))
    return {"sanity": sanity_curves(stages, over_clip, "over the whole clip"),
            "sanity_within_frames": sanity_curves(stages, within, "within each frame, mean over frames")}


def sanity_tables(report):
    """What `saliency.sanity.check` found as text: rank correlations per stage, agreement with flow, sentences."""
    stages = report["sanity"]["stages"]

    def curves(kind):
        rows = [{"method": method} | dict(zip(stages, values, strict=True))
                for method, values in report["sanity"][kind].items()]  # fmt: skip
        return format_table(rows, ["method", *stages], sort_by=stages[-1])

    heads = [{"method": method, **figures} for method, figures in report["random_head"].items()]
    return "\n".join([
        "\nrank correlation with the trained model's map, weights randomised from the top down to:",
        curves("correlations"),
        "\nthe same within each frame, mean over frames: what is not due to the profile in time",
        curves("within_frames"),
        "\nAUC against optical flow per frame, of the trained model and with a random head; only the difference is",
        "evidence about the classifier. correlation: of the two maps, and the same within each frame",
        format_table(heads, ["method", *COLUMNS], sort_by="difference"),
        *report["sentences"],
    ])  # fmt: skip
