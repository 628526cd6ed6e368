"""One page that shows a whole run: report.html, self-contained, opened from disk.

    write_report(Path("results/frame_saliency"), Path("results/feature_saliency"))

The page is report.html with report.css, report.js and report_panel.js put in, plus data as lines of JSON: a line per
clip, which holds its pictures and is read when the clip is opened, then one line about the run. A map is a sheet of
grey tiles, one per frame, compressed as JPEG; the page turns grey into colour. Nothing of a result becomes HTML here:
the script makes text of it.
"""

import base64
import json
import zlib
from pathlib import Path
from string import Template
from zipfile import BadZipFile

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from tqdm import tqdm

from data.files import read_json, whole_file
from saliency.explain import BASELINES
from saliency.figures import DIVERGING, HEAT, PERCENTILE, colour_limit, feature_order, montage, overlay
from saliency.methods import FEATURE_METHODS, METHODS

PAGE = "report.html"
SOURCES = ("report.html", "report.css", "report.js", "report_panel.js")
PICTURE_BYTES = 36_000_000  # of all clips together; a third more as base64, so that 100 clips stay below 60 MB
QUALITIES = (90, 75, 60, 45, 30, 20)  # of JPEG: the first that fits is taken
NO_MAPS = {"frames", "patch_delta", "features"}
UNITS = {name: method.line for name, method in METHODS.items()} | {
    "gradient": "|dS/dx|, change of the score per unit of the normalised input",
    "tsr": "time contribution times patch contribution, 0 to 1",
    "flow": "pixels per frame",
}
FEATURE_UNITS = {name: method.line for name, method in FEATURE_METHODS.items()} | {"tsr": "0 to 1, no unit"}
UNREADABLE = (OSError, ValueError, KeyError, EOFError, AttributeError, BadZipFile, zlib.error)


def write_report(frame_results, feature_results=None):
    """Write report.html into the folder `frame_results`, whole or not at all, and return its path.

    Both folders hold <class>/<clip>/saliency.npz, and may hold metrics.json and opts.json, as frame_saliency.py and
    feature_saliency.py leave them; the second is by default feature_saliency beside the first, and need not exist.
    Features are shown with the clip of the same class and name. What cannot be read is named on the page.
    FileNotFoundError where `frame_results` holds no saliency.npz.
    """
    folder = Path(frame_results)
    features = Path(feature_results or folder.absolute().with_name("feature_saliency"))
    paths = sorted(folder.glob("*/[!.]*/saliency.npz"))
    if not paths:
        raise FileNotFoundError(f"no saliency.npz two folders below {folder}; run frame_saliency.py first")
    html, css, *scripts = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in SOURCES)
    before, after = Template(html).substitute(style=css, script="".join(scripts), data="\0").split("\0")
    with whole_file(folder / PAGE) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.write(before)
        clips, problems = _write_clips(page, folder, paths, features)
        page.write(_line(_run(folder, features, clips, problems)).rstrip() + after)
    return folder / PAGE


def _line(content):
    """One line of JSON without a character that could end the script element it stands in."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c") + "\n"


def _write_clips(page, folder, paths, features):
    """Write a line per clip; returns what the gallery says of each, and a sentence for each that cannot be read."""
    clips, problems = [], []
    for path in tqdm(paths, "report", disable=None):
        about, line = _from_file(path, problems, _clip, PICTURE_BYTES // len(paths)) or ({}, None)
        own = features / path.relative_to(folder)
        if line and own.is_file():
            line["features"] = _from_file(own, problems, _features, about["shape"][0])
        if line:
            page.write(_line(line))
            clips.append({"clip": path.parent.name, **about})
    alone = [path for path in features.glob("*/*/saliency.npz") if folder / path.relative_to(features) not in paths]
    if alone:
        problems.append(f"{len(alone)} clips have feature saliency but no frame saliency and are not shown")
    return clips, problems


def _from_file(path, problems, function, *more):
    """function(the arrays of an .npz file, *more), None and a sentence in `problems` where that is not possible."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return function({name: archive[name] for name in archive.files}, *more)
    except UNREADABLE as error:
        problems.append(f"{path.parent.name}: {path} cannot be shown ({error}); compute it again")
        return None


def _run(folder, features, clips, problems):
    run = {
        "clips": clips, "problems": problems, "baselines": BASELINES, "percentile": PERCENTILE,
        "colours": {name: [to_hex(colour) for colour in colormaps[scale](np.linspace(0, 1, 256))]
                    for name, scale in (("heat", HEAT), ("diverging", DIVERGING))},
    }
    for prefix, place in (("", folder), ("feature_", features)):
        metrics, recipe = (_json(place / name, problems) for name in ("metrics.json", "opts.json"))
        run |= {f"{prefix}metrics": metrics.get("clips", {}), f"{prefix}summary": metrics.get("summary", {}),
                f"{prefix}recipe": recipe}
    return run


def _json(path, problems):
    """The object in a JSON file; empty where there is no such file, or none that can be read."""
    try:
        content = read_json(path) if path.is_file() else {}
    except (OSError, ValueError) as error:
        problems.append(str(error))
        content = {}
    return content if isinstance(content, dict) else {}


def _number(value):
    """A number of four digits for JSON, None where it is not finite."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _clip(arrays, allowed):
    """What the gallery says of a clip, and its line for the panel with pictures of at most `allowed` bytes together."""
    frames = arrays.get("frames", np.empty(0))
    if frames.ndim != 3 or frames.dtype != np.uint8 or not frames.size:
        raise ValueError(f"its frames are {frames.dtype} {frames.shape}, not uint8 (T, H, W)")
    order = sorted(arrays.items(), key=lambda item: (item[0] == "flow", item[0] != "gradient", item[0] != "tsr"))
    maps = {name: values for name, values in order if _is_map(name, values)
            and values.shape == (len(frames) - (name == "flow"), *frames.shape[1:])}
    sheet, *sheets = _compress([frames, *map(_levels, maps.values())], allowed)
    motion = maps.get("flow", next(iter(maps.values()), frames.astype(float)))
    best = int(np.nan_to_num(motion).sum((1, 2)).argmax())
    over = next((name for name in maps if name != "flow"), None)
    picture = overlay(frames[best], maps[over][best], colour_limit(maps[over]))[..., ::-1] if over else frames[best]
    about = {name: _number(values) if values.dtype.kind in "fiu" else str(values)
             for name, values in arrays.items() if values.ndim == 0}
    about |= {"thumbnail": _encode(picture), "thumbnail_frame": best + 1, "thumbnail_map": over, "shape": frames.shape}
    return about, {
        "frames": sheet,
        "maps": [{"name": name, "unit": UNITS.get(name, ""), "sheet": own, "count": len(values), **_scale(values),
                  "totals": _totals(values)} for own, (name, values) in zip(sheets, maps.items(), strict=True)],
        "time_contribution": _contribution(arrays, len(frames)),
    }


def _is_map(name, values):
    return name not in NO_MAPS and values.size > 0 and np.issubdtype(values.dtype, np.floating)


def _scale(values):
    """The colour scale of a map: its end, whether it goes below 0, whether values lie beyond its end."""
    limit = colour_limit(values)
    return {"limit": limit, "signed": bool((values < 0).any()), "beyond": bool((np.abs(values) > limit).any())}


def _contribution(arrays, length):
    """time_contribution (T,) as numbers, None where NaN; None in all where there is none."""
    values = arrays.get("time_contribution", np.empty(0))
    return [_number(value) for value in values] if values.shape == (length,) else None


def _totals(values):
    """Sum of the magnitudes over each frame: (T, ...) -> T numbers."""
    return [_number(total) for total in np.abs(values).reshape(len(values), -1).sum(1, dtype=np.float64)]


def _levels(values):
    """Grey levels uint8 of a map, same shape: 0..255 for 0..limit, or 1..255 for -limit..limit. NaN counts as 0."""
    scale = _scale(values)
    zero, span = (128, 127) if scale["signed"] else (0, 255)
    return np.rint(zero + span * np.clip(np.nan_to_num(values) / scale["limit"], -1, 1)).clip(0, 255).astype(np.uint8)


def _compress(stacks, allowed):
    """Each stack (T, H, W) uint8 as the address of one picture, in the best quality that `allowed` bytes permit."""
    sheets = [montage(stack, int(np.ceil(np.sqrt(len(stack)))), border=0) for stack in stacks]
    for quality in QUALITIES:
        encoded = [_encode(sheet, quality=quality) for sheet in sheets]
        if sum(map(len, encoded)) * 3 / 4 <= allowed:
            break
    return encoded


def _encode(picture, suffix=".jpg", quality=85):
    """A picture (H, W) or (H, W, 3) BGR, uint8, as a data: address."""
    encoded = cv2.imencode(suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else [])[1]
    return f"data:image/{'jpeg' if suffix == '.jpg' else 'png'};base64,{base64.b64encode(encoded).decode()}"


def _features(arrays, length):
    """The feature part of a clip's line: heat maps, features down and time across, the first one's largest on top."""
    maps = {name: values for name, values in arrays.items()
            if _is_map(name, values) and values.ndim == 2 and len(values) == length}
    if not maps:
        raise ValueError(f"it holds no map (T, F) of the {length} frames")
    first = next(iter(maps.values()))
    order = feature_order(first)
    return {
        "count": first.shape[1],
        "maps": [{"name": name, "unit": FEATURE_UNITS.get(name, ""), **_scale(values), "rows": len(order),
                  "sheet": _encode(_levels(values)[:, order].T, ".png")} for name, values in maps.items()],
        "totals": _totals(first),
        "time_contribution": _contribution(arrays, length),
    }
