"""Write report.html, one self-contained page about a whole run that opens from disk without network or server.

    write_report("results/frame_saliency", "results/feature_saliency")

page.html is the template. It receives style.css, the data as lines of JSON, and the scripts. The data has one line per
clip (clip.py), which holds the pictures of the clip (pictures.py) and is parsed when the clip is opened, and a last
line about the run. This module writes no HTML for the results. The scripts show all names and numbers as text. Only one
clip is in memory at a time.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from runtime.files import whole_file
from runtime.names import readable_content
from runtime.progress import each
from saliency.baselines import BASELINES
from saliency.figures import DIVERGING, HEAT, PERCENTILE
from saliency.report.clip import clip_part, feature_part
from saliency.report.overview import overview_part
from saliency.report.pictures import QUALITIES
from saliency.report.sentences import lead, missing, which_features
from saliency.results.clip import ClipResult
from saliency.results.columns import column
from saliency.results.over_clips import OverClips
from saliency.results.run import Run, read_run, why_apart

PAGE = "report.html"
SOURCES = (  # the body, its style, and its scripts in the order in which they run
    "page.html", "style.css",
    "data.js", "text.js", "elements.js",  # helpers
    "header.js", "findings.js", "comparison.js", "checks.js", "overview.js", "gallery.js",  # the parts of the page
    "panel.js", "classes.js", "scale.js", "maps.js", "answers.js", "timeline.js", "when.js", "features.js",
    "controls.js",  # the panel of a clip
    "start.js",
)
FEW_CLIPS = 36_000_000  # bytes of the pictures of all clips; base64 adds a third, so 100 clips stay below 60 MB
MANY_CLIPS = 58_000_000  # the same for many clips, so 300 clips stay below 80 MB
LARGE_CLIP = 200_000  # bytes that a clip may have before many clips get less

# What is shown of a clip: its result, the metrics of each explained class in it (see clip_part), and its features.
Shown = tuple[ClipResult, Sequence[Mapping[str, Any] | None], ClipResult | None]


def write_report(frame_results: str | Path, feature_results: str | Path | None = None) -> Path:
    """Write report.html into the folder `frame_results` and return its path.

    The folders are results of frame_saliency.py and feature_saliency.py. feature_results: by default the folder
    feature_saliency beside `frame_results`; it need not exist. Features are shown with the clip of the same name, if
    both folders explain the same model and data (why_apart); otherwise the page says why they are left out.
    FileNotFoundError or UserError, in a sentence, if a result cannot be read; then an earlier page stays as it was.
    """
    run = read_run(frame_results)
    features, notes = _features_of(run, Path(feature_results or run.folder.absolute().with_name("feature_saliency")))
    seen = OverClips(run.options.get("method"), features and features.options.get("method"), run.groups)

    def shown() -> Iterable[Shown]:
        for name in each(list(run.paths), "report", "clip"):
            result = run.result(name)
            seen.add_frames(result)
            own = features.result(name, "features") if features and name in features.paths else None
            if own and len(own.features) != len(result.frames):
                notes.append(f"The features of {name} are not shown, because they are of another number of frames.")
                own = None
            if own:
                seen.add_features(name, own)
            yield result, [run.metrics], own

    def about() -> dict[str, Any]:
        parts = {f"feature_{name}": content for name, content in _about(features).items()} | _about(run)
        return parts | {"problems": notes, "overview": overview_part(seen, run),
                        "missing": missing(run.metrics, bool(seen.names))}

    write_page(run.folder / PAGE, "Saliency report", len(run.paths), shown(), about, run.options.get("method"))
    return run.folder / PAGE


def _features_of(run: Run, folder: Path) -> tuple[Run | None, list[str]]:
    """Return the results of features that belong to a run of frames, and sentences about what is not shown."""
    if not any(folder.glob("*/[!.]*/saliency.npz")):
        return None, []
    features = read_run(folder)
    if apart := why_apart(run, features):
        return None, [f"The results in {folder.name} are not shown, because {apart}."]
    alone = len(features.paths.keys() - run.paths.keys())
    have = "1 clip has" if alone == 1 else f"{alone} clips have"
    return features, [f"{have} feature saliency but no frame saliency, and cannot be shown."] if alone else []


def _about(run: Run | None) -> dict[str, Any]:
    """Return what the last line of the page says about a run: its options, and its metrics but those of the method."""
    content = run.metrics if run else {}
    return {"recipe": run.recipe if run else {}, "metrics": content.get("clips", {}),
            "summary": content.get("summary", {}), "findings": content.get("findings", []),
            "random_head": content.get("random_head", {}), "sentences": content.get("sentences", []),
            "trust": content.get("trust", {}).get("questions", [])}


def write_page(path: Path, title: str, count: int, shown: Iterable[Shown], about: Callable[[], dict[str, Any]],
               method: str | None = None) -> None:
    """Write a page of `count` clips.

    about: a function that returns what the last line says about the run, called when all clips are written. method:
    whose map leads, see clip_part.
    """
    before, after = _around_data(title)
    clips, quality, allowed = [], QUALITIES[0], allowed_bytes(count)
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.write(before)
        for result, metrics, features in shown:
            card, line, quality = clip_part(result, allowed, quality, metrics, method)
            line["features"] = features and feature_part(features)
            page.write(_json_line(line | {"which_features": which_features(line["features"])}))
            clips.append(card)
        run = {"clips": clips, "baselines": BASELINES, "lead": lead(clips), **_scale_colours()} | about()
        page.write(_json_line(run | {"columns": _columns_of(run)}).rstrip() + after)


def _columns_of(run: Mapping[str, Any]) -> dict[str, list]:
    """Return {metric: [its name in words, chance level or None]} for the metrics of a run."""
    rows = [*run["summary"].values(), run["feature_summary"]]
    found = {name: column(name) for row in rows for name in row}
    return {name: [each.words, each.chance] for name, each in found.items()}


def allowed_bytes(clips: int) -> int:
    """Return how many bytes the pictures of each of so many clips may have."""
    return max(FEW_CLIPS // clips, min(LARGE_CLIP, MANY_CLIPS // clips))


def _around_data(title: str) -> tuple[str, str]:
    """Return the text of the page before its data and after it."""
    texts = {name: Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("document.html", *SOURCES)}
    style, script = ("\n".join(text for name, text in texts.items() if name.endswith(end)) for end in (".css", ".js"))
    before, after = Template(texts["document.html"]).substitute(
        title=title, body=texts["page.html"], style=style, script=script, data="\0").split("\0")
    return before, after


def _json_line(content: Any) -> str:
    """Return one line of JSON with readable names. It has no "<", which could end the script element around it."""
    return json.dumps(readable_content(content), allow_nan=False).replace("<", "\\u003c") + "\n"


def _scale_colours() -> dict[str, Any]:
    """Return the colours of maps for the last line of the data, and the percentile where their scales end."""
    colours = {name: [to_hex(colour) for colour in colormaps[scale](np.linspace(0, 1, 256))]
               for name, scale in (("heat", HEAT), ("diverging", DIVERGING))}
    return {"percentile": PERCENTILE, "colours": colours}
