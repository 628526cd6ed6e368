"""The figures of a whole run: summaries over clips, as rows, text and a picture. Nothing here writes a file.

    summary = over_clips({"clip": {"gradient": {"auc_flow_frame": 0.8}, "random": {...}}})   # {method: {metric: ...}}
    print(tables(summary))
"""

from saliency.explain import BASELINES
from saliency.figures import method_bars
from saliency.metrics import format_table, summarise

TABLES = (  # columns of each table, sorted by the first
    ("auc_flow_frame", "cc_flow_frame", "nss_flow_frame", "time_spearman_flow", "last_quarter_share"),
    ("auc_mask_frame", "mass_accuracy_mask_frame", "rank_accuracy_mask_frame", "mask_share_frame",
     "time_auroc_visible"),
    ("insertion_frame_auc", "deletion_frame_auc", "insertion_patch_auc", "deletion_patch_auc"),
)
CSV_HEADER = ("method", "metric", "mean", "low", "high", "n", "n_nan")


def over_clips(rows):
    """{clip: {method: {metric: value}}} -> {method: {metric: summary over the clips that have it}}."""
    methods = dict.fromkeys(method for row in rows.values() for method in row)
    return {method: summarise([row[method] for row in rows.values() if method in row]) for method in methods}


def csv_rows(summary):
    """The summary as rows under CSV_HEADER."""
    return [[method, metric, *values.values()]
            for method, metrics in summary.items() for metric, values in metrics.items()]  # fmt: skip


def tables(summary):
    """The summary as text: the columns of TABLES that it has."""
    rows = [{"method": method, **metrics} for method, metrics in summary.items()]
    known = {metric for metrics in summary.values() for metric in metrics}
    columns = [[column for column in table if column in known] for table in TABLES]
    text = [format_table(rows, ["method", *some]) for some in columns if some]
    text.append(f"mean over clips [95 % interval, clips drawn anew]; {', '.join(BASELINES)} are baselines")
    return "\n\n".join(text)


def bars(summary):
    """The methods' agreement with flow as a Figure."""
    best = [metrics["auc_flow_frame"] for metrics in summary.values()]
    means, lows, highs = ([row[key] for row in best] for key in ("mean", "low", "high"))
    return method_bars(list(summary), means, lows, highs, BASELINES, "AUC against optical flow, mean over frames")


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
        "evidence about the classifier. correlation: of the two maps",
        format_table(heads, ["method", "trained", "random_head", "difference", "correlation"], sort_by="difference"),
        *report["sentences"],
    ])  # fmt: skip
