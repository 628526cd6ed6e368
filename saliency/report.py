"""One page that shows a whole run: report.html, self-contained, opened from disk.

    write_report(Path("results/frame_saliency"), Path("results/feature_saliency"))

The page is report.html with report.css and report.js put in, plus data as lines of JSON: a line per clip, which holds
its pictures and is read when the clip is opened, then one line about the run. A map is a sheet of grey tiles, one per
frame, compressed as JPEG; the page turns grey into colour. Nothing of a result becomes HTML here: the script makes
text of it.
"""

import base64
import json
import os
import zlib
from pathlib import Path
from string import Template
from zipfile import BadZipFile

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from tqdm import tqdm

from saliency.figures import DIVERGING, HEAT, MOST_FEATURES, PERCENTILE, colour_limit, overlay_frames

PAGE = "report.html"
BASELINES = ("random", "centre", "frame_difference")  # a name that begins so is a baseline in the comparison
PICTURE_BYTES = 40_000_000  # of all clips together; a third more as base64
QUALITIES = (90, 80, 70, 60, 50, 40, 30, 20)  # of JPEG: the first that fits is taken
NO_MAPS = {"frames", "patch_delta"}
UNITS = {
    "gradient": "|dS/dx|, change of the score per unit of the normalised input",
    "tsr": "time contribution times patch contribution, 0 to 1",
    "flow": "pixels per frame",
}
FEATURE_UNITS = {"gradient": "dS/df, change of the score per unit of the feature", "tsr": "TSR, 0 to 1"}
UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error)


def write_report(frame_results, feature_results=None):
    """Write report.html into the folder `frame_results`, whole or not at all, and return its path.

    Both folders hold <class>/<clip>/saliency.npz, and may hold metrics.json and opts.json, as frame_saliency.py and
    feature_saliency.py leave them. Features are shown with the clip of the same class and name. What cannot be read
    is named on the page. FileNotFoundError where `frame_results` holds no saliency.npz.
    """
    folder = Path(frame_results)
    features = Path(feature_results) if feature_results else None
    paths = sorted(path for path in folder.glob("*/*/saliency.npz") if not path.parent.name.startswith("."))
    if not paths:
        raise FileNotFoundError(f"no saliency.npz two folders below {folder}; run frame_saliency.py first")
    here = Path(__file__).with_name(PAGE)
    parts = {name: here.with_suffix(suffix).read_text(encoding="utf-8") for name, suffix in SUFFIXES.items()}
    before, after = Template(here.read_text(encoding="utf-8")).substitute(parts, data="\0").split("\0")
    temporary = folder / f".report.part{os.getpid()}.html"
    try:
        with temporary.open("w", encoding="utf-8") as page:
            page.write(before)
            clips, problems = _write_clips(page, paths, features)
            page.write(_line(_run(folder, features, clips, problems)).rstrip() + after)
            page.flush()
            os.fsync(page.fileno())
        return temporary.replace(folder / PAGE)
    finally:
        temporary.unlink(missing_ok=True)


SUFFIXES = {"style": ".css", "script": ".js"}


def _line(content):
    """One line of JSON without a character that could end the script element it stands in."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c") + "\n"


def _write_clips(page, paths, features):
    """Write a line per clip; returns what the gallery says of each, and a sentence for each that cannot be read."""
    clips, problems, allowed = [], [], PICTURE_BYTES // len(paths)
    for path in tqdm(paths, "report", disable=None):
        try:
            arrays = _read(path)
            about, line = _clip(arrays, allowed)
        except UNREADABLE as error:
            problems.append(f"{path.parent.name}: {path} cannot be shown ({error})")
            continue
        own = features / path.relative_to(path.parents[2]) if features else None
        if own and own.is_file():
            try:
                line["features"] = _features(_read(own))
            except UNREADABLE as error:
                problems.append(f"{path.parent.name}: {own} cannot be shown ({error})")
        page.write(_line(line))
        clips.append(about)
    if features:
        known = {path.relative_to(path.parents[2]) for path in paths}
        alone = [path for path in features.glob("*/*/saliency.npz") if path.relative_to(features) not in known]
        if alone:
            problems.append(f"{len(alone)} clips have feature saliency but no frame saliency and are not shown")
    return clips, problems


def _read(path):
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _run(folder, features, clips, problems):
    metrics = _json(folder / "metrics.json", problems)
    return {
        "clips": clips,
        "problems": problems,
        "metrics": metrics.get("clips", {}),
        "summary": metrics.get("summary", {}),
        "feature_summary": _json(features / "metrics.json", problems).get("summary", {}) if features else {},
        "recipe": _json(folder / "opts.json", problems),
        "feature_recipe": _json(features / "opts.json", problems) if features else {},
        "baselines": BASELINES,
        "percentile": PERCENTILE,
        "colours": {name: [to_hex(colour) for colour in colormaps[scale](np.linspace(0, 1, 256))]
                    for name, scale in (("heat", HEAT), ("diverging", DIVERGING))},
    }


def _json(path, problems):
    """The object in a JSON file, NaN as None; empty where there is no such file, or none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: None)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        problems.append(f"{path} is not valid JSON ({error})")
        return {}
    return content if isinstance(content, dict) else {}


def _number(value):
    """A number of four digits for JSON, None where it is not finite."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _clip(arrays, allowed):
    """What the gallery says of a clip, and its line for the panel with pictures of at most `allowed` bytes together."""
    frames = arrays["frames"]
    if frames.ndim != 3 or frames.dtype != np.uint8 or not frames.size:
        raise ValueError(f"its frames are {frames.dtype} {frames.shape}, not uint8 (T, H, W)")
    maps = {name: values for name, values in arrays.items() if name not in NO_MAPS and values.size
            and np.issubdtype(values.dtype, np.floating) and values.shape[1:] == frames.shape[1:]
            and len(values) == len(frames) - (name == "flow")}
    maps = dict(sorted(maps.items(), key=lambda item: (item[0] == "flow", item[0] not in UNITS, item[0])))
    shown = {name: _levels(values) for name, values in maps.items()}
    sheets = _compress({"frames": frames, **shown}, allowed)
    about = {name: _number(values) if values.dtype.kind in "fiu" else str(values)
             for name, values in arrays.items() if values.ndim == 0}
    motion = maps.get("flow", next(iter(maps.values()), frames.astype(float)))
    best = int(np.nan_to_num(motion).sum((1, 2)).argmax())
    over = next((name for name in maps if name != "flow"), None)
    picture = frames[best]
    if over:
        picture = overlay_frames(frames, maps[over], 1)[best, : frames.shape[1], -frames.shape[2]:, ::-1]  # BGR
    about |= {"thumbnail": _encode(picture), "thumbnail_frame": best + 1, "thumbnail_map": over, "shape": frames.shape}
    contribution = arrays.get("time_contribution")
    line = {
        "frames": sheets.pop("frames"),
        "maps": [{"name": name, "unit": UNITS.get(name, ""), "sheet": sheets[name], "count": len(values),
                  **_scale(values), "totals": _totals(values)} for name, values in maps.items()],
        "time_contribution": None if contribution is None else [_number(value) for value in contribution],
    }
    return about, line


def _scale(values):
    return {"limit": _number(colour_limit(values)), "signed": bool((values < 0).any()),
            "beyond": bool(np.nanmax(np.abs(values), initial=0) > colour_limit(values))}


def _totals(values):
    """Sum of the magnitudes over each frame: (T, ...) -> T numbers."""
    return [_number(total) for total in np.abs(values).reshape(len(values), -1).sum(1, dtype=np.float64)]


def _levels(values):
    """Grey levels uint8 of a map, same shape: 0..255 for 0..limit, or, with negative values, 1..128..255."""
    values, limit = np.nan_to_num(values), colour_limit(values)
    zero, span = (128, 127) if (values < 0).any() else (0, 255)
    return np.clip(np.rint(values * (span / limit) + zero), zero - span, 255).clip(0).astype(np.uint8)


def _compress(stacks, allowed):
    """Each stack (T, H, W) uint8 as the address of one sheet, in the best quality that `allowed` bytes permit."""
    sheets = {name: _sheet(stack) for name, stack in stacks.items()}
    for quality in QUALITIES:
        encoded = {name: _encode(sheet, ".jpg", quality) for name, sheet in sheets.items()}
        if sum(map(len, encoded.values())) * 3 / 4 <= allowed:
            break
    return encoded


def _sheet(stack):
    """Tiles row by row, as many columns as the root of their number, rounded up: (T, H, W) -> (rows * H, columns * W)."""
    columns = int(np.ceil(np.sqrt(len(stack))))
    stack = np.pad(stack, ((0, -len(stack) % columns), (0, 0), (0, 0)))
    count, height, width = stack.shape
    stack = stack.reshape(count // columns, columns, height, width).swapaxes(1, 2)  # (rows, H, columns, W)
    return stack.reshape(count // columns * height, columns * width)


def _encode(picture, suffix=".jpg", quality=85):
    """A picture (H, W) or (H, W, 3) BGR, uint8, as a data: address."""
    encoded = cv2.imencode(suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else [])[1]
    return f"data:image/{'jpeg' if suffix == '.jpg' else 'png'};base64,{base64.b64encode(encoded).decode()}"


def _features(arrays):
    """The feature part of a clip's line: heat maps (features down, time across), largest total of the first on top."""
    gradient = arrays["gradient"]
    if gradient.ndim != 2 or not gradient.size:
        raise ValueError(f"its gradient is {gradient.shape}, not (T, F)")
    order = np.argsort(-np.nan_to_num(np.abs(gradient)).sum(0), kind="stable")[:MOST_FEATURES]
    maps = {name: values for name, values in arrays.items()
            if values.shape == gradient.shape and name != "features" and np.issubdtype(values.dtype, np.floating)}
    contribution = arrays.get("time_contribution")
    return {
        "count": gradient.shape[1],
        "maps": [{"name": name, "unit": FEATURE_UNITS.get(name, ""), **_scale(values), "rows": len(order),
                  "sheet": _encode(_levels(values)[:, order].T, ".png")} for name, values in maps.items()],
        "totals": _totals(gradient),
        "time_contribution": None if contribution is None else [_number(value) for value in contribution],
    }
