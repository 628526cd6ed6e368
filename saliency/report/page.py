"""Write report.html, one self-contained page about a whole run that opens from disk without network or server.

    write_report("results/frame_saliency", "results/feature_saliency")

page.html is the template. It receives style.css, the data as lines of JSON, and the scripts. The data has one line per
clip (clip.py), which holds the pictures of the clip (pictures.py) and is parsed when the clip is opened, and a last
line about the run. This module writes no HTML for the results. The scripts show all names and numbers as text. Only one
clip is in memory at a time.
"""

from pathlib import Path

from runtime.errors import UserError
from runtime.files import read_json, whole_file
from runtime.progress import each
from saliency.baselines import BASELINES
from saliency.over_clips import OverClips
from saliency.report.clip import clip_part, feature_part
from saliency.report.document import document_around_data, json_line, scale_colours
from saliency.report.overview import overview_part
from saliency.report.pairing import read_recipe, why_apart
from saliency.report.pictures import QUALITIES
from saliency.report.sentences import lead, which_features
from saliency.result import ClipResult

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
MANY_CLIPS = 60_000_000  # the same for many clips, so 300 clips stay below 120 MB
LARGE_CLIP = 200_000  # bytes that a clip may have before many clips get less
FINDINGS = {"findings": [], "random_head": {}, "sentences": []}  # parts of metrics.json, and their empty values


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
    before, after = document_around_data("Saliency report", SOURCES)
    with whole_file(folder / PAGE) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.write(before)
        problems = []
        if any(features.glob("*/*/saliency.npz")):
            apart = why_apart(read_recipe(folder), read_recipe(features))
            if apart:
                problems.append(f"The results in {features.name} are not shown, because {apart}.")
                features = None
        content = _json(folder / "metrics.json", problems)
        groups = content.get("groups")
        seen = OverClips(_method(folder), _method(features), groups if isinstance(groups, dict) else None)
        clips = _write_clips(page, folder, paths, features, problems, seen, content)
        run = _run(folder, features, clips, problems, content) | {"overview": overview_part(seen, folder)}
        page.write(json_line(run).rstrip() + after)
    return folder / PAGE


def _method(folder):
    """Return the --method of the run in a folder, or None if it is not known."""
    options = read_recipe(folder).get("options") if folder else None
    return options.get("method") if isinstance(options, dict) else None


def _write_clips(page, folder, paths, features, problems, seen, content):
    """Write a line per clip. Return what the gallery shows of each; add a sentence per unreadable result to `problems`.

    features: folder of the results of features, or None. seen: the OverClips to which the clips are added. content:
    that of metrics.json.
    """
    def frames_of(result, *more):
        found = clip_part(result, *more)
        seen.add_frames(result)
        return found

    def features_of(result, length, place):
        found = feature_part(result, length)
        seen.add_features(place, result)
        return found

    clips, quality = [], QUALITIES[0]
    for path in each(paths, "report", "clip"):
        found = _from_file(path, problems, "clip", frames_of, allowed_bytes(len(paths)), quality, content)
        if found is None:
            continue
        about, line, quality = found
        own = features and features / path.relative_to(folder)
        if own and own.is_file():
            place = path.parent.relative_to(folder).as_posix()
            line["features"] = _from_file(own, problems, "feature saliency", features_of, about["shape"][0], place)
        page.write(json_line(line | {"which_features": which_features(line.get("features"))}))
        clips.append({"clip": path.parent.name, **about})
    alone = [path for path in features.glob("*/*/saliency.npz")
             if folder / path.relative_to(features) not in paths] if features else []
    if alone:
        have = "1 clip has" if len(alone) == 1 else f"{len(alone)} clips have"
        problems.append(f"{have} feature saliency but no frame saliency, and cannot be shown.")
    return clips


def allowed_bytes(clips: int) -> int:
    """Return how many bytes the pictures of each of so many clips may have."""
    return max(FEW_CLIPS // clips, min(LARGE_CLIP, MANY_CLIPS // clips))


def _from_file(path, problems, what, function, *more):
    """Return function(result of a file, *more). If that fails, add a sentence about `what` to `problems`."""
    try:
        return function(ClipResult.read(path), *more)
    except UserError as error:
        problems.append(f"{path.parent.name}: The {what} cannot be shown. {error}.")
        return None


def _run(folder, features, clips, problems, content):
    """Return the line about the run: its clips and problems, the colours of maps, and the metrics and options."""
    run = {"clips": clips, "problems": problems, "baselines": BASELINES, "lead": lead(clips), **scale_colours()}
    run |= {name: content.get(name, empty) for name, empty in FINDINGS.items()}
    others = _json(features / "metrics.json", problems) if features else {}
    for prefix, place, metrics in (("", folder, content), ("feature_", features, others)):
        run |= {f"{prefix}metrics": metrics.get("clips", {}), f"{prefix}summary": metrics.get("summary", {}),
                f"{prefix}recipe": _json(place / "opts.json", problems) if place else {}}
    run |= {"trust": content.get("trust", {}).get("questions", [])}
    return run


def _json(path, problems):
    """Return the object in a JSON file, or an empty one if the file does not exist or cannot be read."""
    try:
        content = read_json(path) if path.is_file() else {}
    except (OSError, UserError) as error:
        problems.append(str(error))
        content = {}
    return content if isinstance(content, dict) else {}
