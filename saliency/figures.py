"""Figures: arrays in, a matplotlib Figure (or video frames) out. Nothing here needs a display or pyplot's global state.

    figure = frame_grid(frames, maps, flow, "person22_walking_d1")
    save_figure(figure, "grid.pdf")

Frames are numbered from 1, like the image files. A colour scale spans a whole clip, never one frame, and ends at a high
percentile, so that a few bright pixels do not darken the rest; the colour bar says so. Line colours are those of Okabe
and Ito (2008), distinct for colour-blind readers; markers and hatches repeat what they say.
"""

import os
from pathlib import Path

import cv2
import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.colors import CenteredNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

PERCENTILE = 99.5
MOST_FEATURES = 400  # rows of a heat map that still have a pixel of their own
HEAT, DIVERGING = "inferno", "RdBu_r"
GREY = {"cmap": "gray", "vmin": 0, "vmax": 255}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX*"
METADATA = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}  # the formats, without time stamps
STYLE = {
    "font.size": 9, "axes.titlesize": "medium", "axes.spines.top": False, "axes.spines.right": False,
    "axes.formatter.limits": (-2, 5), "legend.frameon": False, "pdf.fonttype": 42, "svg.hashsalt": "saliency",
    "text.parse_math": False,  # a dollar sign in a clip's name is a dollar sign
}
WIDE = STYLE | {"font.size": 12}  # figures of twice a column's width are printed smaller


def save_figure(figure, path):
    """Write a figure as .png (150 dpi), .pdf or .svg, chosen by the suffix: whole or not at all, always the same bytes.

    ValueError for any other suffix. The figures of this module are unknown to pyplot, so there is none to close.
    """
    path = Path(path)
    if path.suffix not in METADATA:
        raise ValueError(f"cannot write a figure as {path.name}: its name has to end in {', '.join(METADATA)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")
    try:
        with rc_context(STYLE):
            figure.savefig(temporary, dpi=150, metadata=METADATA[path.suffix])
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def colour_limit(values):
    """Where a colour scale ends: the 99.5th percentile of |values|, their maximum if that is 0, 1 if this is 0 too."""
    magnitude = np.abs(values[np.isfinite(values)])
    return float(np.percentile(magnitude, PERCENTILE) or magnitude.max() or 1) if magnitude.size else 1.0


def _scale(values):
    """Keywords for imshow: from 0 up for magnitudes, diverging and centred at 0 where there are negative values."""
    if (values < 0).any():
        return {"cmap": DIVERGING, "norm": CenteredNorm(0, colour_limit(values))}
    return {"cmap": HEAT, "norm": Normalize(0, colour_limit(values))}


def _colour_bar(figure, image, label, values, **place):
    beyond = np.nanmax(np.abs(values), initial=0) > image.norm.vmax
    extend = "neither" if not beyond else "both" if image.norm.vmin < 0 else "max"
    bar = figure.colorbar(image, extend=extend, ticks=MaxNLocator(5), **place)
    bar.set_label(f"{label}\n(scale ends at the {PERCENTILE}th percentile)" if beyond else label)
    bar.outline.set_visible(False)


def _montage(stack, columns):
    """Lay (T, H, W) out row by row, with a pixel of NaN around each tile -> (rows * (H + 2), columns * (W + 2))."""
    stack = np.pad(stack.astype(float), ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    stack = np.pad(stack, ((0, -len(stack) % columns), (0, 0), (0, 0)), constant_values=np.nan)
    count, height, width = stack.shape
    stack = stack.reshape(count // columns, columns, height, width).swapaxes(1, 2)  # (rows, H + 2, columns, W + 2)
    return stack.reshape(count // columns * height, columns * width)


@rc_context(WIDE)
def time_strip(frames, time_contribution=None, gradient_total=None, title=""):
    """The frames in a strip above what each counts for: its TSR time contribution (bars), its saliency (line).

    frames (T, H, W) uint8; time_contribution (T,) in 0..1 or None; gradient_total (T,), the sum of |dS/dx| over each
    frame, or None: drawn as a share of the largest. Long clips go on in further rows. A contribution of NaN is hatched.
    """
    count, height, width = frames.shape
    rows = -(-count // 15)
    columns = -(-count // rows)
    slot, head, chart, gap = 0.7, 0.8, 0.7, 0.4  # inches
    strip = slot * height / width
    page = np.array([max(columns * slot + 1, 7), head + rows * (strip + chart + gap) + 0.25])
    figure = Figure(figsize=page)
    for row in range(rows):
        shown = np.arange(row * columns, min((row + 1) * columns, count))
        span = (row * columns + 0.5, (row + 1) * columns + 0.5)
        corner = np.array([0.75, page[1] - head - row * (strip + chart + gap) - strip])
        axes = figure.add_axes((*corner / page, *(columns * slot, strip) / page))
        axes.imshow(_montage(frames[shown], columns), **GREY, extent=(*span, 0, 1), aspect="auto")
        axes.set_axis_off()
        axes = figure.add_axes((*(corner - (0, chart + 0.05)) / page, *(columns * slot, chart) / page))
        axes.set(xlim=span, ylim=(0, 1.08), xticks=shown + 1, yticks=(0, 0.5, 1))
        if time_contribution is not None:
            shares = time_contribution[shown]
            axes.bar(shown + 1, shares, 0.8, color=COLOURS[5], label="time contribution")
            label = "undefined" if np.isnan(time_contribution).any() else None
            axes.bar(shown + 1, np.isnan(shares), 0.8, color="none", edgecolor="0.7", hatch="////", label=label)
        if gradient_total is not None:
            largest = np.nanmax(gradient_total, initial=0)
            label = f"sum of |dS/dx|, share of the largest ({largest:.2g})"
            axes.plot(shown + 1, gradient_total[shown] / (largest or 1), "-o", color=COLOURS[1], ms=4, label=label)
    axes.set_xlabel("frame")
    figure.legend(*axes.get_legend_handles_labels(), loc="upper left", ncols=3, bbox_to_anchor=(0, 1 - 0.3 / page[1]))
    figure.suptitle(title, x=0.1 / page[0], y=1 - 0.1 / page[1], ha="left", va="top")
    return figure


@rc_context(WIDE)
def frame_grid(frames, maps, flow, title="", map_name="|dS/dx|"):
    """Three grids with one tile per frame: the frames, their saliency, the optical flow from each to the next.

    frames (T, H, W) uint8; maps (T, H, W), in what `map_name` says; flow (T-1, H, W) in pixels per frame. The line on
    the saliency surrounds flow above 1 pixel per frame.
    """
    count, height, width = frames.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    tall = 3.45 * rows * height / (columns * width)  # inches
    figure = Figure(figsize=(11.5, tall + 1.6), layout="constrained")
    panels, bars = figure.subplots(2, 3, height_ratios=(tall, 0.12))
    flow = np.concatenate([flow, np.full((1, height, width), np.nan)])  # (T, H, W)
    drawn = (
        ("frames", frames, GREY, "grey value"),
        ("saliency", maps, _scale(maps), map_name),
        ("optical flow" if count > 1 else "no optical flow: one frame", flow, _scale(flow), "pixels per frame"),
    )
    for axes, bar, (name, stack, scale, unit) in zip(panels, bars, drawn, strict=True):
        image = axes.imshow(_montage(stack, columns), **scale)
        _colour_bar(figure, image, unit, stack, cax=bar, orientation="horizontal")
        axes.set(xticks=[], yticks=[], title=name)
        axes.spines[:].set_visible(False)
    if np.nanmax(flow, initial=0) > 1:
        panels[1].contour(np.nan_to_num(_montage(flow, columns)), levels=[1], colors=COLOURS[5], linewidths=0.7)
        panels[1].set_title("saliency (outline: flow > 1)")
    panels[0].set_yticks((np.arange(rows) + 0.5) * (height + 2) - 0.5, np.arange(rows) * columns + 1)
    panels[0].tick_params(length=0)
    panels[0].set_ylabel("first frame of the row")
    figure.suptitle(title)
    return figure


def overlay_frames(frames, maps, enlarge=3):
    """Frames of a video: each frame beside itself under its map, enlarged, above a bar that fills with time.

    frames (T, H, W) uint8, maps (T, H, W) drawn by magnitude -> (T, H', W', 3) uint8 RGB; H', W' even, as codecs want.
    """
    count, height, width = len(frames), frames.shape[1] * enlarge, frames.shape[2] * enlarge
    strengths = np.clip(np.nan_to_num(np.abs(maps)) / colour_limit(maps), 0, 1)
    video = np.zeros((count, height + 6 + height % 2, 2 * width + 6, 3), np.uint8)
    for number, (frame, strength) in enumerate(zip(frames, strengths, strict=True)):
        grey = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]  # (H', W', 1)
        strength = cv2.resize(strength, (width, height), interpolation=cv2.INTER_NEAREST)
        colour, opacity = 255 * colormaps[HEAT](0.3 + 0.7 * strength)[..., :3], 0.9 * strength[..., None] ** 0.75
        video[number, :height, :width] = grey
        video[number, :height, -width:] = (1 - opacity) * grey + opacity * colour
        video[number, -4:] = 60
        video[number, -4:, : round((number + 1) / count * video.shape[2])] = 255
    return video


@rc_context(STYLE)
def feature_heatmap(gradient, title="", time_contribution=None, map_name="dS/df"):
    """Feature relevance, time across and features down (largest total first), above the sum of magnitudes per frame.

    gradient (T, F) signed, or another (T, F) map that `map_name` names; time_contribution (T,) in 0..1 or None. Of more
    than 400 features the first 400 in this order are drawn.
    """
    count, features = gradient.shape
    magnitude = np.nan_to_num(np.abs(gradient))
    order = np.argsort(-magnitude.sum(0), kind="stable")[:MOST_FEATURES]
    figure = Figure(figsize=(6.5, 6.5), layout="constrained")
    heat, profile = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    place = {"extent": (0.5, count + 0.5, len(order) + 0.5, 0.5), "aspect": "auto", "interpolation": "nearest"}
    image = heat.imshow(gradient[:, order].T, cmap=DIVERGING, norm=CenteredNorm(0, colour_limit(gradient)), **place)
    heat.set_ylabel(f"CNN feature, largest total first ({len(order)} of {features})")
    heat.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    _colour_bar(figure, image, map_name, gradient, ax=heat, location="top", aspect=40, pad=0.02)
    _profile(profile, magnitude.sum(1), f"sum of |{map_name}|", time_contribution, "time contribution")
    figure.suptitle(title)
    return figure


@rc_context(STYLE)
def feature_profile(gradient, flow_total=None, title=""):
    """Sum of |dS/df| per frame, beside the flow summed over its pixels; gradient (T, F), flow_total (T-1,) or None."""
    figure = Figure(figsize=(6.5, 2.6), layout="constrained")
    totals = np.nan_to_num(np.abs(gradient)).sum(1)
    _profile(figure.subplots(), totals, "sum of |dS/df|", flow_total, "sum of flow (pixels per frame)")
    figure.suptitle(title)
    return figure


def _profile(axes, values, label, other=None, other_label=""):
    """Values per frame on the left axis, others on one at the right; an axis has the colour of its line."""
    lines = [(axes, values, label, "-o", COLOURS[0])]
    if other is not None:
        lines.append((axes.twinx(), other, other_label, "--s", COLOURS[1]))
    for own, points, name, style, colour in lines:
        own.plot(np.arange(len(points)) + 1, points, style, color=colour, markersize=3)
        own.set_ylabel(name, color=colour)
        own.set_ylim(0, 1.08 * np.nanmax(points, initial=0) or 1)
        own.tick_params(axis="y", colors=colour)
    axes.set(xlabel="frame", xlim=(0.5, len(values) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


@rc_context(STYLE)
def confusion_matrix(matrix, classes, title=""):
    """Counts (C, C), rows the true class and columns the predicted one, coloured by their share of the row."""
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    names = [name if len(name) <= 24 else f"{name[:23]}…" for name in classes]
    side, margin = 0.6 * len(names) + 0.9, 0.1 * max(map(len, names))  # inches
    figure = Figure(figsize=(side + margin, side + 0.7 * margin), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
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
    figure = Figure(figsize=(7.5, 2.9), layout="constrained")
    epochs = [int(row["epoch"]) for row in rows]
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for part, style, colour in (("train", "-o", COLOURS[0]), ("validation", "--s", COLOURS[1])):
            values = [float(row.get(f"{part}_{quantity}", "nan")) for row in rows]  # no validation, no line
            axes.plot(epochs, values, style, color=colour, markersize=3, clip_on=False, label=part)
        axes.set(xlabel="epoch", ylabel=quantity, ylim=(0, 1.02 if quantity == "accuracy" else None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()
    figure.suptitle(title)
    return figure


@rc_context(STYLE)
def method_bars(names, means, lows, highs, baseline_names=(), metric_label="", chance=0.5):
    """Horizontal bars, the best on top, with confidence intervals from lows to highs; baselines are grey and hatched.

    `chance` is the score of an uninformed map (0.5 for an AUC; None draws no line). NaN goes last, written as n/a.
    """
    means, lows, highs = (np.asarray(values, dtype=float) for values in (means, lows, highs))
    order = np.argsort(-means, kind="stable")[::-1]  # NaN is sorted to the end, the lowest bar
    names, means, lows, highs = [names[index] for index in order], means[order], lows[order], highs[order]
    figure = Figure(figsize=(6.5, 1.1 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(names, np.nan_to_num(means), 0.7, color=COLOURS[5])
    axes.hlines(names, lows, highs, color="black", linewidth=1.5)
    for bar, name, mean, high in zip(bars, names, means, highs, strict=True):
        if name in baseline_names:
            bar.set(facecolor="0.9", edgecolor="0.5", hatch="////")
        axes.text(np.nanmax([mean, high, 0]), name, "  n/a" if np.isnan(mean) else f"  {mean:.3f}", va="center")
    if chance is not None:
        axes.axvline(chance, color="black", linestyle=":", linewidth=1)
        axes.annotate("chance", (chance, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom")
    axes.set(xlabel=metric_label, ylim=(-0.6, len(names) - 0.4))
    axes.margins(x=0.12)
    return figure


@rc_context(STYLE)
def sanity_curves(stages, correlations, title=""):
    """Rank correlation of a map with the map of the same model, its weights randomised: method -> one number per stage.

    A curve that stays up belongs to a method that does not depend on those weights. NaN leaves a gap.
    """
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for number, (method, values) in enumerate(correlations.items()):
        look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "markersize": 5}
        axes.plot(values, label=method, linestyle="-" if number < len(COLOURS) else "--", **look)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(stages)), stages, rotation=25, ha="right", rotation_mode="anchor")
    axes.set(xlabel="weights randomised, from the top down to", title=title)
    axes.set_ylabel("rank correlation with\nthe map of the trained model")
    axes.set_ylim(min([-0.2, *(np.nanmin(values, initial=0) - 0.05 for values in correlations.values())]), 1.05)
    figure.legend(loc="outside right upper")
    return figure
