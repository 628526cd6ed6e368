"""Figures of one clip. The functions take arrays and return a matplotlib Figure, or the frames of a video.

    save_figure(frame_grid(frames, maps, flow, "person22_walking_d1"), Path("grid.pdf"))

Nothing here needs a display or pyplot. Frames are numbered from 1, like the image files. All frames of a clip share one
colour scale. It ends at a high percentile, so that a few bright pixels do not darken the rest; the colour bar says so.
Colour-blind readers can tell the colours of lines apart (Okabe and Ito 2008); markers and hatches differ too.
"""

import io
import math
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import colormaps, font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, BboxImage
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox, TransformedBbox

from runtime.files import whole_file
from saliency.flow import moving_threshold

PERCENTILE = 99.5  # where colour scales end
MOST_FEATURES = 400  # rows of a heat map; with more, a row would be thinner than a pixel
FRAMES_PER_ROW = 15  # of a strip
FRAME_WIDTH = 0.7  # inches, of a frame in a strip
HEAT, DIVERGING = "inferno", "RdBu_r"
GREY = {"cmap": "gray", "vmin": 0, "vmax": 255}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255", "#999999")
METADATA = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}  # formats; no time stamps
PNG_LEVEL = 3  # of zlib; its default of 6 takes twice as long for files that are 4 to 12 percent smaller
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei", "Arial Unicode MS", "Unifont")
STYLE = {
    "font.family": [font for font in FONTS if font in font_manager.get_font_names()],  # later ones fill gaps
    "font.size": 9, "axes.titlesize": "medium", "axes.spines.top": False, "axes.spines.right": False,
    "axes.formatter.limits": (-2, 5), "legend.frameon": False, "pdf.fonttype": 42, "svg.hashsalt": "saliency",
    "text.parse_math": False,  # a dollar sign in the name of a clip starts no formula
}
WHOLE_NUMBERS = partial(MaxNLocator, integer=True, min_n_ticks=1)  # ticks at whole frames or epochs
LETTER = 0.58  # width of a letter, of the size of the font; titles with long names of clips get smaller letters
WIDE = STYLE | {"font.size": 12}  # these figures are wide and get printed smaller


def encode_figure(figure: Figure, suffix: str) -> bytes:
    """Return a figure as the bytes of a .png (150 dpi), .pdf or .svg file. The same figure gives the same bytes.

    The figures made here and in charts.py are unknown to pyplot, so they need no closing.
    """
    content, fast = io.BytesIO(), {"pil_kwargs": {"compress_level": PNG_LEVEL}} if suffix == ".png" else {}
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box is drawn instead
        figure.savefig(content, dpi=150, format=suffix[1:], metadata=METADATA[suffix], **fast)
    return content.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as .png, .pdf or .svg, by the suffix of the path. A failure leaves an earlier file unchanged."""
    content = encode_figure(figure, path.suffix)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def save_figures(figures: dict[str, Figure], folder: Path, kind: str) -> None:
    """Write each of {name: figure} into a folder, as files of a kind such as "png"."""
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.{kind}")


def colour_limit(values: np.ndarray) -> float:
    """Return the end of the colour scale: the 99.5th percentile of |values|.

    It is the maximum if that percentile is 0, and 1 if all values are 0 or none is finite.
    """
    magnitude = np.abs(values[np.isfinite(values)])
    if not magnitude.any():
        return 1.0
    limit = np.percentile(magnitude, PERCENTILE)
    return float(limit if limit > 0 else magnitude.max())


def _scale(values: np.ndarray) -> dict[str, Any]:
    """Return keywords for imshow: a scale from 0 up, or a diverging one centred at 0 if any value is negative."""
    limit = colour_limit(values)
    if (values < 0).any():
        return {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
    return {"cmap": HEAT, "vmin": 0, "vmax": limit}


def panels(size: tuple[float, float], title: str, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, Any]:
    """Return a figure of `size` in inches, and its axes. options: those of Figure.subplots."""
    figure = Figure(figsize=size, layout="constrained")
    write_title(figure, title)
    return figure, figure.subplots(rows, columns, **options)


def write_title(figure: Figure, title: str, **place) -> None:
    """Write the title of a figure, in smaller letters if it would be too wide. place: keywords of Figure.suptitle."""
    text, width = figure.suptitle(title, **place), figure.get_size_inches()[0] - 0.2
    text.set_fontsize(min(text.get_fontsize(), 72 * width / (LETTER * max(1, len(title)))))


def _page(size: tuple[float, float], title: str) -> Figure:
    """Return a figure of `size` in inches with its title, without a constrained layout, which would draw it twice."""
    figure = Figure(figsize=size)
    write_title(figure, title, y=1 - 0.08 / size[1], va="top")
    return figure


def _place(figure: Figure, left: float, bottom: float, width: float, height: float, **options) -> Axes:
    """Return new axes at a place in inches from the lower left corner; options: those of Figure.add_axes."""
    page = figure.get_size_inches()
    return figure.add_axes((*(left, bottom) / page, *(width, height) / page), **options)


def _place_picture(figure: Figure, picture: np.ndarray, left: float, bottom: float, width: float,
                   height: float) -> None:
    """Draw a grey picture (H, W) at a place in inches, without axes, which would take longer than the picture."""
    page = figure.get_size_inches()
    place = Bbox.from_bounds(*(left, bottom) / page, *(width, height) / page)
    image = BboxImage(TransformedBbox(place, figure.transFigure), cmap="gray", norm=Normalize(0, 255))
    image.set_data(picture)
    figure.add_artist(image)


def _colour_bar(figure: Figure, image: AxesImage, label: str, values: np.ndarray, **place) -> None:
    """Add a colour bar. Arrowheads mark the ends of the scale that some values exceed, and the label says so."""
    beyond = np.nanmax(np.abs(values), initial=0) > image.norm.vmax
    extend = ("both" if image.norm.vmin < 0 else "max") if beyond else "neither"
    bar = figure.colorbar(image, extend=extend, ticks=MaxNLocator(5), **place)
    bar.set_label(f"{label}\n(scale ends at the {PERCENTILE}th percentile)" if beyond else label)
    bar.outline.set_visible(False)


def montage(stack: np.ndarray, columns: int, border: int = 1) -> np.ndarray:
    """Tile frames (T, H, W) row by row into one picture (rows * (H + 2 border), columns * (W + 2 border)).

    The border around each tile and the tiles that complete the last row are NaN. Without a border the latter are 0,
    and the type of the array stays the same.
    """
    edges = ((0, -len(stack) % columns), (border, border), (border, border))  # the first completes the last row
    stack = np.pad(stack.astype(float), edges, constant_values=np.nan) if border else np.pad(stack, edges)
    count, height, width = stack.shape
    stack = stack.reshape(count // columns, columns, height, width).swapaxes(1, 2)  # (rows, height, columns, width)
    return stack.reshape(count // columns * height, columns * width)


@rc_context(WIDE)
def time_strip(frames: np.ndarray, totals: np.ndarray, time_contribution: np.ndarray | None = None, title: str = "",
               name: str = "sum of |dS/dx|") -> Figure:
    """Draw the frames in a strip, above the importance of each frame: time contribution as bars, saliency as a line.

    frames (T, H, W) uint8; totals (T,): the values that `name` names, drawn as a share of the largest magnitude, below
    0 for evidence against the class; time_contribution (T,) in 0..1 from TSR, or None. Long clips take several rows.
    """
    count, height, width = frames.shape
    rows = math.ceil(count / FRAMES_PER_ROW)
    columns = math.ceil(count / rows)
    strip, chart, gap, header = FRAME_WIDTH * height / width, 0.7, 0.4, 0.8  # inches
    page = np.array([max(FRAME_WIDTH * columns + 1, 7), header + rows * (strip + chart + gap) + 0.25])  # inches
    figure = Figure(figsize=page)
    largest, signed = np.nanmax(np.abs(totals), initial=0), bool((totals < 0).any())
    limits, ticks = ((-1.08, 1.08), (-1, 0, 1)) if signed else ((0, 1.08), (0, 0.5, 1))
    label = f"{name}, share of the largest ({largest:.3g})"
    for row in range(rows):
        shown = np.arange(count)[row * columns:(row + 1) * columns]
        span = (row * columns + 0.5, (row + 1) * columns + 0.5)
        bottom = page[1] - header - row * (strip + chart + gap) - strip
        _place_picture(figure, montage(frames[shown], columns), 0.75, bottom, columns * FRAME_WIDTH, strip)
        axes = figure.add_axes((*(0.75, bottom - chart - 0.05) / page, *(columns * FRAME_WIDTH, chart) / page))
        axes.set(xlim=span, ylim=limits, xticks=shown + 1, yticks=ticks)
        if signed:
            axes.axhline(0, color="black", linewidth=0.8)
        if time_contribution is not None:
            axes.bar(shown + 1, time_contribution[shown], 0.8, color=COLOURS[5], label="time contribution")
        axes.plot(shown + 1, totals[shown] / (largest or 1), "-o", color=COLOURS[1], ms=4, label=label)
    axes.set_xlabel("frame")
    figure.legend(*axes.get_legend_handles_labels(), loc="upper left", ncols=3, bbox_to_anchor=(0, 1 - 0.3 / page[1]))
    write_title(figure, title, x=0.1 / page[0], y=1 - 0.1 / page[1], ha="left", va="top")
    return figure


@rc_context(WIDE)
def frame_grid(frames: np.ndarray, maps: np.ndarray, flow: np.ndarray, title: str = "", map_name: str = "|dS/dx|",
               what: str = "saliency", time_only: bool = False) -> Figure:
    """Draw three grids with a tile per frame: the frames, their maps, and the optical flow from each to the next.

    frames (T, H, W) uint8; maps (T, H, W); flow (T-1, H, W) in pixels per frame. map_name: label of the colour bar of
    the maps. what: heading of the maps. The outline on the maps encloses the moving pixels. time_only: whether the maps
    are borders around the frames (saliency.drawing.border), which get no outline.
    """
    count, height, width = frames.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid_width, grid_height = 3.45, 3.45 * rows * height / (columns * width)  # inches
    figure = _page((11.76, grid_height + 1.67), title)
    lefts = [0.67 + (grid_width + 0.3) * number for number in range(3)]
    views, bars = ([_place(figure, left, low, grid_width, high) for left in lefts]
                   for low, high in ((1.12, grid_height), (0.84, 0.12)))
    flow = np.concatenate([flow, np.full((1, height, width), np.nan)])  # (T, H, W)
    drawn = (
        ("frames", frames, GREY, "grey value"),
        (what, maps, _scale(maps), map_name),
        ("optical flow" if count > 1 else "no optical flow: one frame", flow, _scale(flow), "pixels per frame"),
    )
    for axes, bar, (name, stack, scale, unit) in zip(views, bars, drawn, strict=True):
        if time_only and stack is maps:
            axes.imshow(montage(frames, columns), **GREY)
        image = axes.imshow(montage(stack, columns), **scale)
        _colour_bar(figure, image, unit, stack, cax=bar, orientation="horizontal")
        axes.set(xticks=[], yticks=[], title=name)
        axes.spines[:].set_visible(False)
    if np.nanmax(flow, initial=0) > (limit := moving_threshold(height)) and not time_only:
        views[1].contour(np.nan_to_num(montage(flow, columns)), levels=[limit], colors=COLOURS[5], linewidths=0.7)
        views[1].set_title(f"{what} (outline: flow > {limit:.2g})")
    views[0].set_yticks((np.arange(rows) + 0.5) * (height + 2) - 0.5, np.arange(rows) * columns + 1)
    views[0].tick_params(length=0)
    views[0].set_ylabel("first frame of the row")
    return figure


def overlay(frame: np.ndarray, values: np.ndarray, limit: float, signed: bool = False) -> np.ndarray:
    """Lay the magnitude of a map over a frame: frame (H, W) uint8 and values (H, W) -> (H, W, 3) uint8 RGB.

    limit: magnitude from which on the colour is strongest. signed: red for positive values, blue for negative ones.
    """
    strength = np.clip(np.nan_to_num(np.abs(values)) / limit, 0, 1)
    if signed:
        colour = colormaps[DIVERGING](0.5 + 0.5 * np.clip(np.nan_to_num(values) / limit, -1, 1))
    else:
        colour = colormaps[HEAT](0.3 + 0.7 * strength)
    opacity = 0.9 * strength[..., None] ** 0.75
    return np.uint8((1 - opacity) * frame[..., None] + opacity * 255 * colour[..., :3])


def overlay_frames(frames: np.ndarray, maps: np.ndarray, enlarge: int = 3) -> np.ndarray:
    """Return the frames of a video: each frame, the frame with its map on the right, and a bar that fills with time.

    frames (T, H, W) uint8, maps (T, H, W) -> (T, H', W', 3) uint8 RGB. A map with negative values is drawn as signed.
    enlarge: factor of the size. H' and W' are even, because codecs require it.
    """
    count, height, width = len(frames), frames.shape[1] * enlarge, frames.shape[2] * enlarge
    limit, signed = colour_limit(maps), bool((maps < 0).any())
    video = np.zeros((count, height + 6 + height % 2, 2 * width + 6, 3), np.uint8)
    for number, (frame, values) in enumerate(zip(frames, maps, strict=True)):
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)  # (H', W')
        video[number, :height, :width] = frame[..., None]
        values = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST)
        video[number, :height, -width:] = overlay(frame, values, limit, signed)
        video[number, -4:] = 60
        video[number, -4:, : round((number + 1) / count * video.shape[2])] = 255
    return video


def feature_order(values: np.ndarray) -> np.ndarray:
    """Return the indices of the features that are drawn, at most 400, the largest total of |values| (T, D) first."""
    return np.argsort(-np.nan_to_num(np.abs(values)).sum(0), kind="stable")[:MOST_FEATURES]


@rc_context(STYLE)
def feature_heatmap(gradient: np.ndarray, title: str = "", other: np.ndarray | None = None, other_name: str = "",
                    map_name: str = "dS/df") -> Figure:
    """Draw a map of features, a column per frame and a row per feature, above the sum of magnitudes per frame.

    gradient (T, D): the gradient or another map, which `map_name` names; other (T,) or (T-1,): drawn beside the sums
    under its own name, or None. Rows have the order of `feature_order`.
    """
    order = feature_order(gradient)
    figure = _page((6.5, 6.5), title)
    heat = _place(figure, 0.72, 1.55, 5.13, 3.95)
    profile = _place(figure, 0.72, 0.45, 5.13, 0.98, sharex=heat)
    bar = _place(figure, 0.72, 5.57, 5.13, 0.13)
    heat.tick_params(labelbottom=False)
    place = {"extent": (0.5, len(gradient) + 0.5, len(order) + 0.5, 0.5), "aspect": "auto", "interpolation": "nearest"}
    image = heat.imshow(gradient[:, order].T, **_scale(gradient), **place)
    heat.set_ylabel(f"CNN feature, largest total first ({len(order)} of {gradient.shape[1]})")
    heat.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    _colour_bar(figure, image, map_name, gradient, cax=bar, orientation="horizontal", ticklocation="top")
    _profile(profile, gradient, f"sum of |{map_name}|", other, other_name)
    return figure


def _profile(axes: Axes, gradient: np.ndarray, label: str, other: np.ndarray | None, other_label: str) -> None:
    """Draw the sum of magnitudes per frame of gradient (T, D) on the left axis, and `other` on the right axis.

    Each axis has the colour of its line.
    """
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
