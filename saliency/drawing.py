"""Draw the pictures of one clip from its result alone. No model is needed, so another process can do it.

    draw_frames(result, title, folder, FrameLook("gradient"), write_video=partial(write_video, fps=8))
    draw_features(result, title, folder, "gradient", "png", flow_total)
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from saliency import figures
from saliency.attribution import frame_values, is_time_only
from saliency.results.clip import ClipResult, rescaled_name
from saliency.when.decision import Decision
from saliency.when.figure import feature_figure, when_figure

VideoWriter = Callable[[Path, np.ndarray], None]  # writes frames (T, H, W, 3) uint8 RGB; data.video.write_video does


@dataclass(frozen=True)
class FrameLook:
    """How the pictures of frames are drawn, the same for all clips of a run.

    method: whose map the time strip sums up. shown: whose map stands beside the frames, by default that of `method`.
    signed: draw the evidence of `method` instead of both maps. kind: format of the pictures, png, pdf or svg. classes:
    names of the classes for when.png, in the order of the scores.
    """

    method: str
    shown: str = ""
    signed: bool = False
    kind: str = "png"
    classes: Sequence[str] = ()


def draw_frames(result: ClipResult, title: str, folder: Path, look: FrameLook, decision: Decision | None = None,
                attention: np.ndarray | None = None, write_video: VideoWriter | None = None,
                other_titles: Sequence[str] = ()) -> None:
    """Write time.png and frames.png of one clip into `folder`, and what else there is to draw.

    decision: drawn as when.png. attention (T, H, W): that of CBAM's last block, drawn as attention.png. write_video:
    writes overlay.mp4; None for no such video. other_titles: the titles of result.others, the further explained
    classes; each has time_CLASS.png, frames_CLASS.png, and difference_CLASS.png, the maps of the first class minus its
    own.
    """
    shown, time_only = _shown_map(result, look), is_time_only(result.facts, _shown_method(look))
    drawn = _class_pictures(result, title, look)
    for number, (other, own_title) in enumerate(zip(result.others, other_titles, strict=True), 2):
        name, both = _file_part(other.facts["target"]), f"{result.facts['target']} minus {other.facts['target']}"
        name = f"{name}_{number}" if f"time_{name}" in drawn else name
        drawn |= {f"{kind}_{name}": figure for kind, figure in _class_pictures(other, own_title, look).items()}
        heading = f"{result.facts['clip']}: {look.shown or look.method}, {both}"
        drawn[f"difference_{name}"] = figures.frame_grid(
            result.frames, shown - _shown_map(other, look), result.flow, heading, both, "difference", time_only)
    if decision is not None:
        drawn["when"] = when_figure(result.frames, decision, look.classes, title)
    if attention is not None:
        limits = f"attention, {attention.min():.3f} to {attention.max():.3f}"
        what = "attention of CBAM's last block"
        drawn["attention"] = figures.frame_grid(result.frames, attention, result.flow, title, limits, what)
    figures.save_figures(drawn, folder, look.kind)
    if write_video:
        write_video(folder / "overlay.mp4", figures.overlay_frames(result.frames, shown, enlarge=1))


def border(maps: np.ndarray) -> np.ndarray:
    """Return maps (T, H, W) that tell frames apart but not pixels with NaN, which is not drawn, all but at the edge."""
    width, framed = max(1, round(min(maps.shape[1:]) / 15)), maps.astype(float)
    framed[:, width:-width, width:-width] = np.nan
    return framed


def _shown_method(look: FrameLook) -> str:
    """Return the name of the method whose map or evidence stands beside the frames."""
    return look.method if look.signed else look.shown or look.method


def _shown_map(result: ClipResult, look: FrameLook) -> np.ndarray:
    """Return the map (T, H, W) that stands beside the frames, only its border if it tells no pixels apart."""
    values = (result.evidence if look.signed else result.maps)[_shown_method(look)]
    return border(values) if is_time_only(result.facts, _shown_method(look)) else values


def _class_pictures(result: ClipResult, title: str, look: FrameLook) -> dict[str, Figure]:
    """Return the pictures of one explained class: {"time": the time strip, "frames": the grid of frames}."""
    shown, label, heading, facts = _shown_map(result, look), look.shown or look.method, "saliency", result.facts
    time_only = is_time_only(facts, _shown_method(look))
    base = facts.get("tsr_base") if label == "tsr" else None
    label = rescaled_name(base) if base else label
    line, name = result.maps[look.method], "|dS/dx|" if look.method == "gradient" else look.method
    if look.signed:
        line, label, heading = result.evidence[look.method], f"evidence for {facts['target']}", look.method
        name = f"{look.method}, {label}"
    line, name = frame_values(line, facts, look.method), name if is_time_only(facts, look.method) else f"sum of {name}"
    heading = f"{heading} of each frame, as its border" if time_only else heading
    return {"time": figures.time_strip(result.frames, line, result.time_contribution, title, name),
            "frames": figures.frame_grid(result.frames, shown, result.flow, title, label, heading, time_only)}


def _file_part(name: str) -> str:
    """Return the name of a class as a part of the name of a file: only letters, digits, dots and hyphens."""
    return re.sub(r"[^\w.-]+", "_", name)[:40]


def draw_features(result: ClipResult, title: str, folder: Path, method: str, kind: str,
                  flow_total: np.ndarray) -> None:
    """Write features.png of one clip into `folder`, and the pictures of TSR and of Shapley values, if any.

    method: whose map is drawn. kind: format of the pictures, png, pdf or svg. flow_total (T-1,): sum over the pixels of
    the optical flow, drawn below the features.
    """
    relevance, name = result.maps[method], "dS/df" if method == "gradient" else method
    drawn = {"features": figures.feature_heatmap(relevance, title, flow_total, "sum of flow (pixels per frame)", name)}
    if "tsr" in result.maps:
        rescaled = rescaled_name(result.facts.get("tsr_base"))
        drawn["features_tsr"] = figures.feature_heatmap(result.maps["tsr"], title, result.time_contribution,
                                                        "time contribution", rescaled)
    if "shapley" in result.arrays:
        drawn["features_shapley"] = feature_figure(result.arrays["shapley"], result.arrays["shapley_error"], title)
    figures.save_figures(drawn, folder, kind)
