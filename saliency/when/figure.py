"""The figure of a decision: frames, Shapley values, shortest intervals and growing prefixes on one axis of time."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saliency.figures import COLOURS, GREY, STYLE, WHOLE_NUMBERS, WIDE, montage, panels, write_title
from saliency.when.decision import SPANS, Decision

INCHES = {"values": 1.7, "spans": 1.25, "curves": 1.3}  # heights of the charts below the frames
GAP, HEADER, FOOTER, LEFT, RIGHT = 0.62, 0.5, 0.6, 2.0, 0.3  # inches
NARROWEST, WIDEST = 7.0, 16.0  # inches of the axis of time
MOST_BARS = 25  # features


@rc_context(WIDE)
def when_figure(frames: np.ndarray, decision: Decision, classes: Sequence[str], title: str = "") -> Figure:
    """Draw when a model decided on a clip.

    frames (T, H, W) uint8. From top to bottom: the frames; the Shapley value of each frame or group of frames with its
    standard error; the shortest intervals; the probability of the predicted class after each frame.
    """
    count, height, width = frames.shape
    across = float(np.clip(0.45 * count, NARROWEST, WIDEST))
    strip = float(np.clip(across / count * height / width, 0.25, 1.6))  # few frames leave space between them
    heights = {"frames": strip, **INCHES}
    page = np.array([LEFT + across + RIGHT, HEADER + sum(heights.values()) + GAP * len(INCHES) + FOOTER])
    figure, top, axes = Figure(figsize=page), page[1] - HEADER, {}
    for name, inches in heights.items():
        top -= inches
        axes[name] = figure.add_axes((*(LEFT, top) / page, *(across, inches) / page))
        axes[name].set(xlim=(0.5, count + 0.5))
        top -= GAP
    _draw_frames(axes["frames"], frames, across, strip)
    _draw_values(axes["values"], decision, classes[decision.target])
    _draw_spans(axes["spans"], decision)
    _draw_curves(axes["curves"], decision, classes[decision.predicted])
    write_title(figure, title, x=0.15 / page[0], y=1 - 0.12 / page[1], ha="left", va="top")
    return figure


def _draw_frames(axes: Axes, frames: np.ndarray, across: float, strip: float) -> None:
    """Draw the frames side by side, each above its number, in their own proportions."""
    count, height, width = frames.shape
    half = min(0.5, 0.5 * strip * width / height / (across / count))  # of a frame's width, in units of the axis
    for number, frame in enumerate(frames, 1):
        axes.imshow(montage(frame[None], 1), **GREY, extent=(number - half, number + half, 0, 1), aspect="auto")
    axes.set(xlim=(0.5, count + 0.5), ylim=(0, 1))
    axes.set_axis_off()


def _draw_values(axes: Axes, decision: Decision, target: str) -> None:
    """Draw a bar per player: orange for the class, blue against it, with its standard error."""
    values, errors = (part.cpu().numpy() for part in (decision.shapley.values, decision.shapley.errors))
    size = decision.shapley.segment
    starts = np.arange(len(values)) * size + 0.5
    widths = np.minimum(starts + size, decision.length + 0.5) - starts
    colours = [COLOURS[1] if value >= 0 else COLOURS[0] for value in values]
    shown = {} if decision.shapley.exact else {"yerr": errors, "error_kw": {"elinewidth": 1, "capsize": 2}}
    axes.bar(starts + widths / 2, values, 0.8 * widths, color=colours, **shown)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.margins(y=0.1)
    _label(axes, "Shapley value")
    kind = "exact" if decision.shapley.exact else "whiskers: one standard error"
    _title(axes, f"share in the score of {target}, {decision.difference:.3g} in all ({kind})")
    axes.xaxis.set_major_locator(WHOLE_NUMBERS())


def _draw_spans(axes: Axes, decision: Decision) -> None:
    """Draw each shortest interval as a bracket, or say that there is none."""
    spans = decision.spans()
    for row, span in enumerate(spans.values()):
        if span is None:
            axes.text(decision.length / 2 + 0.5, row, "none", ha="center", va="center", color="0.4")
            continue
        start, stop = span[0] - 0.42, span[1] + 0.42
        axes.plot([start, start, stop, stop], [row + 0.25, row, row, row + 0.25], color=COLOURS[2 + row], linewidth=2.5,
                  solid_capstyle="butt")
    axes.set(ylim=(len(spans) - 0.4, -0.6), yticks=range(len(spans)), yticklabels=[SPANS[name] for name in spans])
    axes.tick_params(axis="y", length=0)
    _title(axes, "shortest intervals")
    axes.xaxis.set_major_locator(WHOLE_NUMBERS())


def _draw_curves(axes: Axes, decision: Decision, predicted: str) -> None:
    """Draw the probability of the predicted class after each frame, and mark the frame that decides."""
    steps, curves = np.arange(1, decision.length + 1), decision.prefixes
    drawn = ((curves.padded, "-o", COLOURS[0], "background after it"),
             (curves.shorter, "--s", COLOURS[1], "clip ends there"))
    for values, look, colour, label in drawn:
        axes.plot(steps, values[:, decision.predicted].cpu(), look, color=colour, markersize=4, label=label)
    axes.axhline(float(curves.empty[decision.predicted]), color="0.5", linestyle=":", label="background only")
    if decision.prefixes.decided:
        axes.axvline(decision.prefixes.decided, color="black", linewidth=1)
    axes.set(ylim=(-0.03, 1.06), yticks=(0, 0.5, 1), xlabel="frame")
    _label(axes, f"P({predicted})")
    known = int(curves.empty.argmax()) == decision.predicted  # then the frames do not decide for the class
    told = "nearer to the clip than to the background from" if known else "decided at"
    decided = f", {told} frame {curves.decided}" if curves.decided else ""
    _title(axes, f"the clip up to each frame{decided}")
    axes.legend(loc="lower right", ncols=3, fontsize=10, bbox_to_anchor=(1, 1), borderaxespad=0.1)
    axes.xaxis.set_major_locator(WHOLE_NUMBERS())


@rc_context(STYLE)
def feature_figure(values: np.ndarray, errors: np.ndarray, title: str = "") -> Figure:
    """Draw the Shapley values (D,) of the features with the largest magnitudes, with their standard errors (D,)."""
    order = np.argsort(-np.abs(values), kind="stable")[:MOST_BARS]
    figure, axes = panels((6.5, 1.3 + 0.22 * len(order)), title)
    colours = [COLOURS[1] if value >= 0 else COLOURS[0] for value in values[order]]
    axes.barh(range(len(order)), values[order], 0.75, xerr=errors[order], color=colours,
              error_kw={"elinewidth": 1, "capsize": 2})
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(ylim=(len(order) - 0.4, -0.6), yticks=range(len(order)), yticklabels=order,
             xlabel=f"Shapley value, {values.sum():.3g} over all {len(values)} features\n"
                    "(whiskers: one standard error)", ylabel="CNN feature, largest magnitude first")
    return figure


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11)


def _label(axes: Axes, text: str) -> None:
    """Label the left axis at a fixed place, so that the labels of all charts stand in one column."""
    axes.text(-1.55 / (axes.figure.get_size_inches()[0] - LEFT - RIGHT), 0.5, text, transform=axes.transAxes,
              rotation=90, ha="center", va="center")
