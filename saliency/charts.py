"""Charts of a whole run: training curves, confusion matrix, comparison of methods, sanity check.

    save_figure(training_curves(rows), Path("curves.png"))       # save_figure is in saliency/figures.py
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from runtime.names import readable
from saliency.figures import COLOURS, STYLE, WHOLE_NUMBERS, panels

MARKERS = "osD^vPX*p"
MOST_WRITTEN = 20  # classes up to which a confusion matrix has its counts written into the cells


@rc_context(STYLE)
def confusion_matrix(matrix: np.ndarray | Sequence, classes: Sequence[str], title: str = "") -> Figure:
    """Draw counts (C, C), a row per true class and a column per predicted class, coloured by their share of the row.

    Counts and shares are written into the cells, unless there are more than MOST_WRITTEN classes; then the cells are
    small, and a bar explains the colours.
    """
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    names, written = [shortened(readable(name)) for name in classes], len(classes) <= MOST_WRITTEN
    cell, font = (0.6, None) if written else (0.11, 6)  # inches, points
    side, margin = cell * len(names) + 0.9, (0.1 if written else 0.06) * max(map(len, names))  # inches
    figure, axes = panels((side + margin, side + 0.7 * margin), title)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_yticks(range(len(names)), names, fontsize=font)
    turned = {"rotation": 40, "ha": "right"} if written else {"rotation": 90, "ha": "center", "va": "top"}
    axes.set_xticks(range(len(names)), names, fontsize=font, rotation_mode="anchor" if written else None, **turned)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if written:
        for (row, column), part in np.ndenumerate(share):
            text, colour = f"{matrix[row, column]}\n{part:.0%}", "white" if part > 0.55 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour)
    else:
        figure.colorbar(image, shrink=0.4, label="share of the clips of the true class")
    return figure


def shortened(name: str) -> str:
    """Return a name of a class, cut after 23 characters if it is longer than 24."""
    return name if len(name) <= 24 else f"{name[:23]}…"


@rc_context(STYLE)
def training_curves(rows: Sequence[Mapping[str, str | float]], title: str = "") -> Figure:
    """Draw loss and balanced accuracy per epoch, in training and validation; rows: as in log.csv."""
    figure, pair = panels((7.5, 2.9), title, 1, 2)
    epochs = [int(row["epoch"]) for row in rows]
    for axes, quantity in zip(pair, ("loss", "balanced_accuracy"), strict=True):
        for part, style, colour in (("train", "-o", COLOURS[0]), ("validation", "--s", COLOURS[1])):
            values = [float(row.get(f"{part}_{quantity}", "nan")) for row in rows]  # NaN draws no line
            axes.plot(epochs, values, style, color=colour, markersize=3, clip_on=False, label=part)
        axes.set(xlabel="epoch", ylabel=quantity.replace("_", " "),
                 ylim=(0, 1.02 if quantity == "balanced_accuracy" else None))
        axes.xaxis.set_major_locator(WHOLE_NUMBERS())
    axes.legend()
    return figure


@rc_context(STYLE)
def method_bars(scores: Mapping[str, Mapping[str, float]], baselines: Collection[str] = ()) -> Figure:
    """Draw the AUC of each method against optical flow with its confidence interval, the best method on top.

    scores: {method: {"mean", "low", "high"}}. Methods whose mean is NaN come last and are marked n/a. The bars of
    `baselines` are grey and hatched. A dotted line marks chance.
    """
    figure, axes = panels((6.5, 1.1 + 0.3 * len(scores)), "")
    order = sorted(reversed(scores), key=lambda name: np.nan_to_num(scores[name]["mean"], nan=-np.inf))
    for name in order:  # barh draws the first bar at the bottom
        mean, low, high = (scores[name][key] for key in ("mean", "low", "high"))
        look = {"color": "0.9", "edgecolor": "0.5", "hatch": "////"} if name in baselines else {"color": COLOURS[5]}
        axes.barh(name, np.nan_to_num(mean), 0.7, **look)
        axes.hlines(name, low, high, color="black", linewidth=1.5)
        axes.text(np.nanmax([mean, high, 0]), name, "  n/a" if np.isnan(mean) else f"  {mean:.3f}", va="center")
    axes.axvline(0.5, color="black", linestyle=":", linewidth=1)
    axes.annotate("chance", (0.5, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom")
    axes.set(xlabel="AUC against optical flow, mean over frames", ylim=(-0.6, len(scores) - 0.4))
    axes.margins(x=0.12)
    return figure


def sanity_pictures(checks: Mapping[str, Mapping]) -> dict[str, Figure]:
    """Return the charts of the rank correlations that saliency.sanity.check found: {name: figure}."""
    stages, over_clip, within = (checks["sanity"][kind] for kind in ("stages", "correlations", "within_frames"))
    return {"sanity": sanity_curves(stages, over_clip, "over the whole clip"),
            "sanity_within_frames": sanity_curves(stages, within, "within each frame, mean over frames")}


@rc_context(STYLE)
def sanity_curves(stages: Sequence[str], correlations: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Draw the rank correlation of maps with the trained model's maps, as more and more weights are randomised.

    correlations: {method: a number per stage}. A curve that stays high belongs to a method that does not depend on the
    randomised weights. NaN or None, which is undefined, leaves a gap; the legend counts the gaps.
    """
    figure, axes = panels((7.5, 3.6), title)
    curves = {method: np.array(values, dtype=float) for method, values in correlations.items()}  # None becomes NaN
    for (method, values), colour, marker in zip(curves.items(), cycle(COLOURS), cycle(MARKERS)):
        gaps = int(np.isnan(values).sum())
        label = f"{method} (undefined in {gaps} of {len(values)} stages)" if gaps else method
        axes.plot(values, label=label, color=colour, marker=marker, markersize=5)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(stages)), stages, rotation=25, ha="right", rotation_mode="anchor")
    axes.set(xlabel="weights randomised from the output down to this stage",
             ylabel="rank correlation with\nthe trained model's map")
    axes.set_ylim(min([-0.2, *(np.nanmin(values, initial=0) - 0.05 for values in curves.values())]), 1.05)
    figure.legend(loc="outside right upper")
    return figure
