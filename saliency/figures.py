"""Figures: arrays in, a matplotlib Figure (or video frames) out. Nothing here needs a display or pyplot's global state.

    figure = frame_grid(frames, maps, flow, "person22_walking_d1")
    Path("grid.pdf").write_bytes(encode_figure(figure, ".pdf"))

Frames are numbered from 1, like the image files. A colour scale spans a whole clip, never one frame, and ends at a high
percentile, so that a few bright pixels do not darken the rest; the colour bar says so. Line colours are those of Okabe
and Ito (2008), distinct for colour-blind readers; markers and hatches repeat what they say.
"""

import io
import warnings
from functools import partial

import cv2
import numpy as np
from matplotlib import colormaps, font_manager, rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

PERCENTILE = 99.5
MOST_FEATURES = 400  # rows of a heat map that still have a pixel of their own
HEAT, DIVERGING = "inferno", "RdBu_r"
GREY = {"cmap": "gray", "vmin": 0, "vmax": 255}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255", "#999999")
METADATA = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}  # the formats, without time stamps
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei", "Arial Unicode MS", "Unifont")
STYLE = {
    "font.family": sorted(set(FONTS) & set(font_manager.get_font_names()), key=FONTS.index),  # the first with the glyph
    "font.size": 9, "axes.titlesize": "medium", "axes.spines.top": False, "axes.spines.right": False,
    "axes.formatter.limits": (-2, 5), "legend.frameon": False, "pdf.fonttype": 42, "svg.hashsalt": "saliency",
    "text.parse_math": False,  # a dollar sign in a clip's name is a dollar sign
}
WHOLE_NUMBERS = partial(MaxNLocator, integer=True, min_n_ticks=1)  # a locator for the numbers of frames or epochs
WIDE = STYLE | {"font.size": 12}  # figures of twice a column's width are printed smaller


def encode_figure(figure, suffix):
    """Return a figure as the bytes of a .png (150 dpi), .pdf or .svg file. The same figure gives the same bytes.

    The figures made here and in charts.py are unknown to pyplot, so there is none to close.
    """
    content = io.BytesIO()
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # no font here has it: a box is drawn
        figure.savefig(content, dpi=150, format=suffix[1:], metadata=METADATA[suffix])
    return content.getvalue()


def colour_limit(values):
    """Where a colour scale ends: the 99.5th percentile of |values|, their maximum if that is 0, 1 if this is 0 too."""
    magnitude = np.abs(values[np.isfinite(values)])
    return float(np.percentile(magnitude, PERCENTILE) or magnitude.max() or 1) if magnitude.size else 1.0


def _scale(values):
    """Keywords for imshow: from 0 up for magnitudes, diverging and centred at 0 for values below 0 anywhere."""
    limit = colour_limit(values)
    if (values < 0).any():
        return {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
    return {"cmap": HEAT, "vmin": 0, "vmax": limit}


def panels(size, title, rows=1, columns=1, **options):
    """A figure of that size in inches, and its axes."""
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    return figure, figure.subplots(rows, columns, **options)


def _colour_bar(figure, image, label, values, **place):
    beyond = np.nanmax(np.abs(values), initial=0) > image.norm.vmax
    extend = "neither" if not beyond else "both" if image.norm.vmin < 0 else "max"
    bar = figure.colorbar(image, extend=extend, ticks=MaxNLocator(5), **place)
    bar.set_label(f"{label}\n(scale ends at the {PERCENTILE}th percentile)" if beyond else label)
    bar.outline.set_visible(False)


def montage(stack, columns, border=1):
    """Tiles (T, H, W) row by row with a border of NaN around each -> (rows * (H + 2 border), columns * (W + 2 border)).

    Without border the type stays as it is.
    """
    edges = ((0, -len(stack) % columns), (border, border), (border, border))
    stack = np.pad(stack.astype(float), edges, constant_values=np.nan) if border else np.pad(stack, edges)
    count, height, width = stack.shape
    stack = stack.reshape(count // columns, columns, height, width).swapaxes(1, 2)  # (rows, height, columns, width)
    return stack.reshape(count // columns * height, columns * width)


@rc_context(WIDE)
def time_strip(frames, totals, time_contribution=None, title=""):
    """The frames in a strip above what each counts for: its TSR time contribution (bars), its saliency (line).

    frames (T, H, W) uint8; totals (T,), the sum of |dS/dx| over each frame, drawn as a share of the largest;
    time_contribution (T,) in 0..1 or None. Long clips go on in further rows.
    """
    count, height, width = frames.shape
    rows = -(-count // 15)
    columns = -(-count // rows)
    strip, chart, gap, head = 0.7 * height / width, 0.7, 0.4, 0.8  # inches; a frame is 0.7 wide
    page = np.array([max(0.7 * columns + 1, 7), head + rows * (strip + chart + gap) + 0.25])
    figure = Figure(figsize=page)
    largest = np.nanmax(totals, initial=0)
    for row in range(rows):
        shown = np.arange(count)[row * columns:(row + 1) * columns]
        span = (row * columns + 0.5, (row + 1) * columns + 0.5)
        bottom = page[1] - head - row * (strip + chart + gap) - strip
        axes = figure.add_axes((*(0.75, bottom) / page, *(columns * 0.7, strip) / page))
        axes.imshow(montage(frames[shown], columns), **GREY, extent=(*span, 0, 1), aspect="auto")
        axes.set_axis_off()
        axes = figure.add_axes((*(0.75, bottom - chart - 0.05) / page, *(columns * 0.7, chart) / page))
        axes.set(xlim=span, ylim=(0, 1.08), xticks=shown + 1, yticks=(0, 0.5, 1))
        if time_contribution is not None:
            axes.bar(shown + 1, time_contribution[shown], 0.8, color=COLOURS[5], label="time contribution")
        label = f"sum of |dS/dx|, share of the largest ({largest:.2g})"
        axes.plot(shown + 1, totals[shown] / (largest or 1), "-o", color=COLOURS[1], ms=4, label=label)
    axes.set_xlabel("frame")
    figure.legend(*axes.get_legend_handles_labels(), loc="upper left", ncols=3, bbox_to_anchor=(0, 1 - 0.3 / page[1]))
    figure.suptitle(title, x=0.1 / page[0], y=1 - 0.1 / page[1], ha="left", va="top")
    return figure


@rc_context(WIDE)
def frame_grid(frames, maps, flow, title="", map_name="|dS/dx|", what="saliency"):
    """Three grids with one tile per frame: the frames, their saliency, the optical flow from each to the next.

    frames (T, H, W) uint8; maps (T, H, W), in what `map_name` says, or of `what` else is to be shown; flow (T-1, H, W)
    in pixels per frame. The line on the maps surrounds flow above 1 pixel per frame.
    """
    count, height, width = frames.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    tall = 3.45 * rows * height / (columns * width)  # inches
    figure, (views, bars) = panels((11.5, tall + 1.6), title, 2, 3, height_ratios=(tall, 0.12))
    flow = np.concatenate([flow, np.full((1, height, width), np.nan)])  # (T, H, W)
    drawn = (
        ("frames", frames, GREY, "grey value"),
        (what, maps, _scale(maps), map_name),
        ("optical flow" if count > 1 else "no optical flow: one frame", flow, _scale(flow), "pixels per frame"),
    )
    for axes, bar, (name, stack, scale, unit) in zip(views, bars, drawn, strict=True):
        image = axes.imshow(montage(stack, columns), **scale)
        _colour_bar(figure, image, unit, stack, cax=bar, orientation="horizontal")
        axes.set(xticks=[], yticks=[], title=name)
        axes.spines[:].set_visible(False)
    if np.nanmax(flow, initial=0) > 1:
        views[1].contour(np.nan_to_num(montage(flow, columns)), levels=[1], colors=COLOURS[5], linewidths=0.7)
        views[1].set_title(f"{what} (outline: flow > 1)")
    views[0].set_yticks((np.arange(rows) + 0.5) * (height + 2) - 0.5, np.arange(rows) * columns + 1)
    views[0].tick_params(length=0)
    views[0].set_ylabel("first frame of the row")
    return figure


def overlay(frame, values, limit):
    """A frame (H, W) uint8 under a map (H, W) drawn by magnitude, strongest at `limit`: (H, W, 3) uint8 RGB."""
    strength = np.clip(np.nan_to_num(np.abs(values)) / limit, 0, 1)
    opacity, colour = 0.9 * strength[..., None] ** 0.75, 255 * colormaps[HEAT](0.3 + 0.7 * strength)[..., :3]
    return np.uint8((1 - opacity) * frame[..., None] + opacity * colour)


def overlay_frames(frames, maps, enlarge=3):
    """Frames of a video: each frame beside itself under its map, enlarged, above a bar that fills with time.

    frames (T, H, W) uint8, maps (T, H, W) drawn by magnitude -> (T, H', W', 3) uint8 RGB; H', W' even, as codecs want.
    """
    count, height, width = len(frames), frames.shape[1] * enlarge, frames.shape[2] * enlarge
    limit = colour_limit(maps)
    video = np.zeros((count, height + 6 + height % 2, 2 * width + 6, 3), np.uint8)
    for number, (frame, values) in enumerate(zip(frames, maps, strict=True)):
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)  # (H', W')
        video[number, :height, :width] = frame[..., None]
        values = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST)
        video[number, :height, -width:] = overlay(frame, values, limit)
        video[number, -4:] = 60
        video[number, -4:, : round((number + 1) / count * video.shape[2])] = 255
    return video


def feature_order(values):
    """The features (T, F) that are drawn, at most 400: the one with the largest total first."""
    return np.argsort(-np.nan_to_num(np.abs(values)).sum(0), kind="stable")[:MOST_FEATURES]


@rc_context(STYLE)
def feature_heatmap(gradient, title="", time_contribution=None, map_name="dS/df"):
    """Feature relevance, time across and features down (see feature_order), above the sum of magnitudes per frame.

    gradient (T, F) signed, or another (T, F) map that `map_name` names; time_contribution (T,) in 0..1 or None.
    """
    order = feature_order(gradient)
    figure, (heat, profile) = panels((6.5, 6.5), title, 2, sharex=True, height_ratios=(4, 1))
    place = {"extent": (0.5, len(gradient) + 0.5, len(order) + 0.5, 0.5), "aspect": "auto", "interpolation": "nearest"}
    image = heat.imshow(gradient[:, order].T, **_scale(gradient), **place)
    heat.set_ylabel(f"CNN feature, largest total first ({len(order)} of {gradient.shape[1]})")
    heat.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    _colour_bar(figure, image, map_name, gradient, ax=heat, location="top", aspect=40, pad=0.02)
    _profile(profile, gradient, f"sum of |{map_name}|", time_contribution, "time contribution")
    return figure


@rc_context(STYLE)
def feature_profile(gradient, flow_total, title="", map_name="dS/df"):
    """Magnitudes of a map summed per frame, beside the flow summed over pixels: gradient (T, F), flow_total (T-1,)."""
    figure, axes = panels((6.5, 2.6), title)
    _profile(axes, gradient, f"sum of |{map_name}|", flow_total, "sum of flow (pixels per frame)")
    return figure


def _profile(axes, gradient, label, other, other_label):
    """Sum of the magnitudes per frame on the left axis, others on one at the right; an axis has its line's colour."""
    lines = [(axes, np.nan_to_num(np.abs(gradient)).sum(1), label, "-o", COLOURS[0])]
    if other is not None:
        lines.append((axes.twinx(), other, other_label, "--s", COLOURS[1]))
    for own, points, name, style, colour in lines:
        own.plot(np.arange(len(points)) + 1, points, style, color=colour, markersize=3)
        own.set_ylabel(name, color=colour)
        own.set_ylim(0, 1.08 * np.nanmax(points, initial=0) or 1)
        own.tick_params(axis="y", colors=colour)
    axes.set(xlabel="frame", xlim=(0.5, len(gradient) + 0.5))
    axes.xaxis.set_major_locator(WHOLE_NUMBERS())
