"""Charts of a whole run: how training went, what was confused, how methods compare.

    save_figure(training_curves(rows), Path("curves.png"))
"""

from itertools import cycle

import numpy as np
from matplotlib import rc_context

from saliency.figures import COLOURS, STYLE, WHOLE_NUMBERS, panels

MARKERS = "osD^vPX*p"


@rc_context(STYLE)
def confusion_matrix(matrix, classes, title=""):
    """Counts (C, C), rows the true class and columns the predicted one, coloured by their share of the row."""
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    names = [name if len(name) <= 24 else f"{name[:23]}…" for name in classes]
    side, margin = 0.6 * len(names) + 0.9, 0.1 * max(map(len, names))  # inches
    figure, axes = panels((side + margin, side + 0.7 * margin), title)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (row, column), part in np.ndenumerate(share):
        text, colour = f"{matrix[row, column]}\n{part:.0%}", "white" if part > 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    return figure


@rc_context(STYLE)
def training_curves(rows, title=""):
    """Loss and accuracy per epoch; rows as in log.csv: epoch, train_loss, train_accuracy and, if any, validation_..."""
    figure, pair = panels((7.5, 2.9), title, 1, 2)
    epochs = [int(row["epoch"]) for row in rows]
    for axes, quantity in zip(pair, ("loss", "accuracy"), strict=True):
        for part, style, colour in (("train", "-o", COLOURS[0]), ("validation", "--s", COLOURS[1])):
            values = [float(row.get(f"{part}_{quantity}", "nan")) for row in rows]  # no validation, no line
            axes.plot(epochs, values, style, color=colour, markersize=3, clip_on=False, label=part)
        axes.set(xlabel="epoch", ylabel=quantity, ylim=(0, 1.02 if quantity == "accuracy" else None))
        axes.xaxis.set_major_locator(WHOLE_NUMBERS())
    axes.legend()
    return figure


@rc_context(STYLE)
def method_bars(scores, baselines=()):
    """AUC of each method against optical flow, the best on top, with confidence intervals.

    scores: {method: {"mean", "low", "high"}}; the bars of `baselines` are grey and hatched. A dotted line shows what an
    uninformed map has. NaN goes last, written as n/a.
    """
    figure, axes = panels((6.5, 1.1 + 0.3 * len(scores)), "")
    order = sorted(reversed(scores), key=lambda name: np.nan_to_num(scores[name]["mean"], nan=-np.inf))
    for name in order:  # from the lowest bar up
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


@rc_context(STYLE)
def sanity_curves(stages, correlations, title=""):
    """Rank correlation of a map with the map of the same model, its weights randomised: method -> one number per stage.

    A curve that stays up belongs to a method that does not depend on those weights. NaN leaves a gap, a method without
    any number is left out.
    """
    figure, axes = panels((7.5, 3.6), title)
    curves = {method: values for method, values in correlations.items() if np.isfinite(values).any()}
    for (method, values), colour, marker in zip(curves.items(), cycle(COLOURS), cycle(MARKERS)):
        axes.plot(values, label=method, color=colour, marker=marker, markersize=5)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(stages)), stages, rotation=25, ha="right", rotation_mode="anchor")
    axes.set(xlabel="weights randomised, from the top down to", ylabel="rank correlation with\nthe trained model's map")
    axes.set_ylim(min([-0.2, *(np.nanmin(values, initial=0) - 0.05 for values in curves.values())]), 1.05)
    figure.legend(loc="outside right upper")
    return figure
