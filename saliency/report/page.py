"""Write report.html, one self-contained page about a whole run that opens from disk without network or server.

    write_report("results/frame_saliency", "results/feature_saliency")

page.html is the template. It receives style.css, the data as lines of JSON, and the scripts. The data has one line per
clip, which holds the pictures of the clip and is parsed when the clip is opened, and a last line about the run. A map
is stored as a sheet of grey tiles, one tile per frame, compressed as JPEG; the page turns grey into colour. This module
writes no HTML for the results. The scripts show all names and numbers as text.
"""

import base64
import json
from pathlib import Path
from string import Template

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from tqdm import tqdm

from runtime.files import read_json, whole_file
from runtime.names import convert_texts, readable
from saliency.explain import BASELINES
from saliency.figures import DIVERGING, HEAT, PERCENTILE, colour_limit, feature_order, montage, overlay
from saliency.methods import FEATURE_METHODS, METHODS
from saliency.report.pairing import read_recipe, why_apart
from saliency.result import WHEN, ClipResult
from saliency.when.decision import SPANS

PAGE = "report.html"
SOURCES = (  # the page, its style, and its scripts in the order in which they run
    "page.html", "style.css",
    "data.js", "text.js", "elements.js",  # helpers
    "header.js", "findings.js", "comparison.js", "gallery.js",  # the parts of the page
    "panel.js", "maps.js", "timeline.js", "when.js", "features.js", "controls.js",  # the panel of a clip
    "start.js",
)
PICTURE_BYTES = 36_000_000  # of all clips together; base64 adds a third, so a page of 100 clips stays below 60 MB
QUALITIES = (90, 75, 60, 45, 30, 20)  # of JPEG; the first one whose pictures fit is used
UNITS = {name: method.line for name, method in METHODS.items()} | {
    "gradient": "|dS/dx|, change of the score per unit of the normalised input",
    "tsr": "time contribution times patch contribution, 0 to 1",
    "flow": "pixels per frame",
}
FEATURE_UNITS = {name: method.line for name, method in FEATURE_METHODS.items()} | {"tsr": "0 to 1, no unit"}
FINDINGS = {"findings": [], "random_head": {}, "sentences": []}  # parts of metrics.json, and their empty values
FRAMES_ONLY = "time contribution, 0 to 1"  # the unit of TSR with --tsr_step time, which masks no patches


def write_report(frame_results: str | Path, feature_results: str | Path | None = None) -> Path:
    """Write report.html into the folder `frame_results` and return its path.

    A failure leaves an earlier page unchanged.
    The folders hold <class>/<clip>/saliency.npz, and may hold metrics.json and opts.json, as frame_saliency.py and
    feature_saliency.py write them. feature_results: by default the folder feature_saliency beside `frame_results`; it
    need not exist. Features are shown with the clip that has the same class and name, if both folders explain the same
    model and data (saliency/report/pairing.py); otherwise the page says why they are left out. It also lists the
    results that cannot be read. FileNotFoundError if `frame_results` holds no saliency.npz.
    """
    folder = Path(frame_results)
    features = Path(feature_results or folder.absolute().with_name("feature_saliency"))
    paths = sorted(folder.glob("*/[!.]*/saliency.npz"))
    if not paths:
        raise FileNotFoundError(f"no saliency.npz two folders below {folder}; run frame_saliency.py first")
    html, css, *scripts = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in SOURCES)
    before, after = Template(html).substitute(style=css, script="\n".join(scripts), data="\0").split("\0")
    with whole_file(folder / PAGE) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.write(before)
        problems = []
        if any(features.glob("*/*/saliency.npz")):
            apart = why_apart(read_recipe(folder), read_recipe(features))
            if apart:
                problems.append(f"The results in {features.name} are not shown, because {apart}.")
                features = None
        clips = _write_clips(page, folder, paths, features, problems)
        page.write(_line(_run(folder, features, clips, problems)).rstrip() + after)
    return folder / PAGE


def _line(content):
    """Return one line of JSON with readable names. It has no "<", which could end the script element around it."""
    return json.dumps(convert_texts(content, readable), allow_nan=False).replace("<", "\\u003c") + "\n"


def _write_clips(page, folder, paths, features, problems):
    """Write a line per clip. Return what the gallery shows of each; add a sentence per unreadable result to `problems`.

    features: folder of the results of features, or None.
    """
    clips = []
    for path in tqdm(paths, "report", disable=None):
        about, line = _from_file(path, problems, "clip", _clip, PICTURE_BYTES // len(paths)) or ({}, None)
        own = features and features / path.relative_to(folder)
        if line and own and own.is_file():
            line["features"] = _from_file(own, problems, "feature saliency", _features, about["shape"][0])
        if line:
            page.write(_line(line))
            clips.append({"clip": path.parent.name, **about})
    alone = [path for path in features.glob("*/*/saliency.npz")
             if folder / path.relative_to(features) not in paths] if features else []
    if alone:
        have = "1 clip has" if len(alone) == 1 else f"{len(alone)} clips have"
        problems.append(f"{have} feature saliency but no frame saliency, and cannot be shown.")
    return clips


def _from_file(path, problems, what, function, *more):
    """Return function(result of a file, *more). If that fails, add a sentence about `what` to `problems`."""
    try:
        return function(ClipResult.read(path), *more)
    except ValueError as error:
        problems.append(f"{path.parent.name}: The {what} cannot be shown. {error}.")
        return None


def _run(folder, features, clips, problems):
    """Return the line about the run: its clips and problems, the colours of maps, and the metrics and options."""
    run = {
        "clips": clips, "problems": problems, "baselines": BASELINES, "percentile": PERCENTILE,
        "colours": {name: [to_hex(colour) for colour in colormaps[scale](np.linspace(0, 1, 256))]
                    for name, scale in (("heat", HEAT), ("diverging", DIVERGING))},
    }
    for prefix, place in (("", folder), ("feature_", features)):
        metrics, recipe = (_json(place / name, problems) if place else {} for name in ("metrics.json", "opts.json"))
        run |= {f"{prefix}metrics": metrics.get("clips", {}), f"{prefix}summary": metrics.get("summary", {}),
                f"{prefix}recipe": recipe}
        if not prefix:
            run |= {name: metrics.get(name, empty) for name, empty in FINDINGS.items()}
    return run


def _json(path, problems):
    """Return the object in a JSON file, or an empty one if the file does not exist or cannot be read."""
    try:
        content = read_json(path) if path.is_file() else {}
    except (OSError, ValueError) as error:
        problems.append(str(error))
        content = {}
    return content if isinstance(content, dict) else {}


def _number(value):
    """Return a number with four digits for JSON, or None if it is not finite."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _clip(result, allowed):
    """Return what the gallery shows of a clip, and the clip's line with pictures of at most `allowed` bytes."""
    if result.frames is None:
        raise ValueError("The file holds no frames (T, H, W); compute it again with frame_saliency.py")
    frames = result.frames  # (T, H, W)
    order = sorted(result.maps, key=lambda name: (name != "gradient", name != "tsr"))
    maps = {name: result.maps[name] for name in order}
    maps |= {f"{name}, evidence": values for name, values in result.evidence.items()}
    if result.flow is not None and result.flow.shape == (len(frames) - 1, *frames.shape[1:]) and result.flow.size:
        maps["flow"] = result.flow
    sheet, *sheets = _compress([frames, *map(_levels, maps.values())], allowed)
    motion = maps.get("flow", next(iter(maps.values()), frames.astype(float)))
    best = int(np.nan_to_num(motion).sum((1, 2)).argmax())
    over = next((name for name in maps if name != "flow"), None)
    picture = overlay(frames[best], maps[over][best], colour_limit(maps[over]))[..., ::-1] if over else frames[best]
    about = {name: value if isinstance(value, str) else _number(value) for name, value in result.facts.items()}
    about |= {"thumbnail": _encode(picture), "thumbnail_frame": best + 1, "thumbnail_map": over, "shape": frames.shape}
    return about, {
        "frames": sheet,
        "maps": [{"name": name, "unit": _unit(name, result), "sheet": own, "count": len(values), **_scale(values),
                  "totals": _totals(values)} for own, (name, values) in zip(sheets, maps.items(), strict=True)],
        "time_contribution": _numbers(result.time_contribution), "when": _when(result),
    }


def _when(result):
    """Return the decision of a clip (saliency.when), or None if the file has none, as with --no_when."""
    arrays = {name.removeprefix(WHEN): values for name, values in result.arrays.items() if name.startswith(WHEN)}
    if not arrays:
        return None

    def whole_number(name):
        value = result.facts.get(WHEN + name)
        return int(value) if isinstance(value, float) and 0 < value < 1e9 else None

    padded, shorter, empty = (arrays[f"prefix_{kind}"] for kind in ("padded", "shorter", "empty"))
    predicted = padded[-1].argmax()  # the last prefix is the whole clip
    return {
        "values": _numbers(arrays["shapley"]), "errors": _numbers(arrays["shapley_error"]),
        "segment": whole_number("segment") or 1,
        "spans": [[label, whole_number(f"{name}_first"), whole_number(f"{name}_last")]
                  for name, label in SPANS.items()],
        "padded": _numbers(padded[:, predicted]), "shorter": _numbers(shorter[:, predicted]),
        "empty": _number(empty[predicted]), "decided": whole_number("decided"),
        "sentences": arrays["sentences"].tolist(),
    }


def _unit(name, result):
    """Return what the values of a map are. TSR without any change by a patch is the time contribution alone."""
    if name.endswith(", evidence"):
        return f"positive values are evidence for {result.facts.get('target', 'the explained class')}, negative against"
    patches = result.arrays.get("patch_delta")
    return FRAMES_ONLY if name == "tsr" and patches is not None and not patches.any() else UNITS.get(name, "")


def _scale(values):
    """Return the colour scale of a map: its end, whether values are negative, and whether values exceed the end."""
    limit = colour_limit(values)
    return {"limit": limit, "signed": bool((values < 0).any()), "beyond": bool((np.abs(values) > limit).any())}


def _numbers(values):
    """Return an array as numbers for JSON, None for values that are not finite; None if there is no array."""
    return None if values is None else [_number(value) for value in values]


def _totals(values):
    """Return the sum of the magnitudes of a map (T, ...) over each frame, as a list of T numbers."""
    return [_number(total) for total in np.abs(values).reshape(len(values), -1).sum(1, dtype=np.float64)]


def _levels(values):
    """Return the grey levels of a map, uint8 of the same shape.

    They are 0..255 for values 0..limit, and 1..255 for -limit..limit if there are negative values. NaN counts as 0.
    """
    scale = _scale(values)
    zero, span = (128, 127) if scale["signed"] else (0, 255)
    return np.rint(zero + span * np.clip(np.nan_to_num(values) / scale["limit"], -1, 1)).clip(0, 255).astype(np.uint8)


def _compress(stacks, allowed):
    """Return each stack (T, H, W) uint8 as a data: address, in the best quality that `allowed` bytes permit."""
    sheets = [montage(stack, int(np.ceil(np.sqrt(len(stack)))), border=0) for stack in stacks]
    for quality in QUALITIES:
        encoded = [_encode(sheet, quality=quality) for sheet in sheets]
        if sum(map(len, encoded)) * 3 / 4 <= allowed:
            break
    return encoded


def _encode(picture, suffix=".jpg", quality=85):
    """Return a picture (H, W) or (H, W, 3) BGR, uint8, as a data: address."""
    encoded = cv2.imencode(suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else [])[1]
    return f"data:image/{'jpeg' if suffix == '.jpg' else 'png'};base64,{base64.b64encode(encoded).decode()}"


def _features(result, length):
    """Return the feature part of a clip's line.

    A heat map has a row per feature, the one with the largest total on top, and a column per frame.
    """
    maps = result.maps if result.features is not None and len(result.features) == length else {}
    if not maps:
        raise ValueError(f"The file holds no map (T, D) of the {length} frames; compute it again with "
                         "feature_saliency.py")
    first = next(iter(maps.values()))  # (T, D)
    order = feature_order(first)
    return {
        "count": first.shape[1],
        "maps": [{"name": name, "unit": FEATURE_UNITS.get(name, ""), **_scale(values), "rows": len(order),
                  "sheet": _encode(_levels(values)[:, order].T, ".png")} for name, values in maps.items()],
        "totals": _totals(first),
        "time_contribution": _numbers(result.time_contribution),
    }
