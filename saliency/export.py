"""Export of some frames of a clip with their map: an animated GIF for slides, a PNG for a page.

    export_clips("results/frame_saliency", ["person22_walking_d1_1"], ["gif", "png"], first=5, last=20)

This writes METHOD_5-20.gif and METHOD_5-20.png into the folder of the clip. The colours are those of the whole clip,
whichever frames are chosen.
"""

import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from runtime.errors import UserError
from runtime.files import whole_file
from saliency.attribution import is_time_only
from saliency.drawing import border
from saliency.figures import STYLE, colour_limit, overlay, overlay_frames, save_figure
from saliency.results.clip import EVIDENCE, ClipResult
from saliency.results.run import read_run

FPS = 8  # of an animation, like that of overlay.mp4
ENLARGE = 2  # factor of the size of an animation
COLUMNS = 10  # frames in a row of the picture


def export_clips(folder: str | Path, names: Iterable[str], kinds: Sequence[str], first: int = 1,
                 last: int | None = None, map_name: str | None = None, overwrite: bool = True) -> list[Path]:
    """Export frames `first` to `last`, from 1, of clips in the results of frame_saliency.py, and return the paths.

    folder: the results, with <class>/<clip>/saliency.npz. kinds: "gif" and "png". last: None for the last frame.
    map_name: a map, "flow", or "evidence_METHOD" for a signed map; by default what the run drew (`drawn_map`). Without
    `overwrite`, a file that exists is an error. Frames beyond the end of a clip are left out, and a clip without any of
    the frames is left out with a warning. ValueError if a clip or a map is missing, or nothing is left.
    """
    folder, written = Path(folder), []
    unknown = [kind for kind in kinds if kind not in WRITERS]
    if unknown:
        raise UserError(f"no files of the kind {unknown[0]} can be written; give {' or '.join(WRITERS)}")
    run = read_run(folder)
    for name in names:
        if name not in run.paths:
            raise UserError(f"{folder} has no results of a clip {name}; it has {len(run.paths)} clips, such as "
                            f"{next(iter(run.paths))}")
        result = ClipResult.read(run.paths[name])
        if result.frames is None:
            raise UserError(f"{run.paths[name]} holds features and no frames; give a folder of frame_saliency.py")
        chosen = map_name or drawn_map(result, run.options)
        values, end = map_of(result, chosen), min(last or len(result.frames), len(result.frames))
        if is_time_only(result.facts, chosen.removeprefix(EVIDENCE)):
            values = border(values)
        if first > end:
            warnings.warn(f"{name} has {len(result.frames)} frames and none from {first} on, so nothing of it is "
                          "exported", stacklevel=2)
            continue
        targets = {kind: run.paths[name].parent / f"{chosen}_{first}-{end}.{kind}" for kind in kinds}
        taken = [path for path in targets.values() if path.exists() and not overwrite]
        if taken:
            raise UserError(f"{taken[0]} exists already; pass --overwrite to replace it")
        for kind, path in targets.items():
            WRITERS[kind](path, result, values, chosen, first, end)
        written += targets.values()
    if not written:
        raise UserError(f"no frame from {first} on was exported; choose frames that the clips have")
    return written


def drawn_map(result: ClipResult, options: dict[str, Any]) -> str:
    """Return the name of the map that a run with these options drew: its evidence, TSR in full, or its method."""
    method = options.get("method")
    if options.get("signed") and method in result.evidence:
        return EVIDENCE + method
    if "tsr" in result.maps and options.get("tsr_step") != "time":
        return "tsr"
    return method if method in result.maps else next(iter(result.maps), "flow")


def map_of(result: ClipResult, name: str) -> np.ndarray:
    """Return the map (T, H, W) of that name; ValueError if there is none. The last frame has no flow, so it gets 0."""
    maps = dict(result.maps) | {EVIDENCE + method: values for method, values in result.evidence.items()}
    if result.flow is not None:
        maps["flow"] = np.concatenate([result.flow, np.zeros_like(result.frames[:1], dtype=result.flow.dtype)])
    if name not in maps:
        raise UserError(f"the results of {result.facts.get('clip', 'the clip')} hold no map {name}; they hold "
                        f"{', '.join(maps)}")
    return maps[name]


def write_gif(path: Path, result: ClipResult, values: np.ndarray, name: str, first: int, last: int) -> None:
    """Write the frames first..last with their map on the right as an animated GIF."""
    drawn = overlay_frames(result.frames, values, ENLARGE)[first - 1:last]
    with whole_file(path) as temporary:
        temporary.write_bytes(encode_gif(drawn))


def encode_gif(frames: np.ndarray, fps: float = FPS) -> bytes:
    """Return frames (T, H, W, 3) uint8 RGB as an animated GIF that repeats. All frames share one palette."""
    sample = frames[:, ::2, ::2]  # every frame may have colours of its own
    palette = Image.fromarray(sample.reshape(-1, *sample.shape[2:])).quantize(256)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    content = io.BytesIO()
    pause = 10 * round(100 / fps)  # milliseconds; GIF counts in hundredths of a second
    images[0].save(content, "GIF", save_all=True, append_images=images[1:], duration=pause, loop=0)
    return content.getvalue()


def write_png(path: Path, result: ClipResult, values: np.ndarray, name: str, first: int, last: int) -> None:
    """Write the frames first..last above their map as one picture."""
    title = f"{result.facts.get('clip')} · explained: {result.facts.get('target')} · {name}"
    save_figure(strip(result.frames, values, first, last, title), path)


@rc_context(STYLE)
def strip(frames: np.ndarray, values: np.ndarray, first: int, last: int, title: str = "") -> Figure:
    """Draw frames first..last, from 1, in rows, each row above the same frames with their map, numbered.

    frames (T, H, W) uint8, values (T, H, W). The colour scale is that of the whole clip.
    """
    limit, signed = colour_limit(values), bool((values < 0).any())
    over = np.stack([overlay(frame, each, limit, signed) for frame, each in zip(frames, values, strict=True)])
    columns = min(COLUMNS, last - first + 1)
    starts, shape = range(first, last + 1, columns), frames.shape[1:]
    width, tall = 1.0 * columns, 1.0 * shape[0] / shape[1]  # inches
    figure = Figure(figsize=(max(width, 4) + 0.3, len(starts) * (2 * tall + 0.3) + 0.9), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    for axes, start in zip(figure.subplots(len(starts), 1, squeeze=False)[:, 0], starts, strict=True):
        shown = slice(start - 1, min(start - 1 + columns, last))
        plain = np.repeat(frames[shown, ..., None], 3, 3)  # (n, H, W, 3)
        axes.imshow(np.concatenate([np.concatenate(plain, 1), np.concatenate(over[shown], 1)]))  # (2 H, n W, 3)
        axes.set(xlim=(-0.5, columns * shape[1] - 0.5), yticks=[])
        axes.set_xticks((np.arange(len(plain)) + 0.5) * shape[1] - 0.5, np.arange(shown.start, shown.stop) + 1)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure


WRITERS = {"gif": write_gif, "png": write_png}
