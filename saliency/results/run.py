"""The files of a run: opts.json, metrics.json, metrics.csv, and a saliency.npz for each clip.

    content = summarise_run(rows, method="gradient")           # rows: {clip: its metrics.json}
    write_run(folder, content)
    run = read_run(folder)
    run.options["method"], run.metrics["summary"], run.result("person02_walking_d1_1").maps
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runtime.errors import UserError
from runtime.files import read_json, write_csv, write_json
from runtime.recipe import WEIGHTS
from saliency.results.averages import Groups, is_number, summarise_named
from saliency.results.clip import ClipResult
from saliency.results.columns import DECISION as WHEN_QUESTION
from saliency.results.columns import column
from saliency.results.findings import findings
from saliency.results.trust import trust
from saliency.sanity import KEYS
from saliency.when import of_means

DECISION = "when"  # the row of a clip's metrics that saliency.when gives; the other rows are methods
DIFFERENCE = {"difference": "difference_from_background"}  # the name in metrics.csv, because random heads have one too
CSV_HEADER = ("clip", "class", "method", "question", "metric", "value")
MODEL = {"resume_path", "model", WEIGHTS}  # keys of the digests of a checkpoint, and of a network of the user

Row = Mapping[str, float | None]  # {metric: value} of one method in one clip
Summary = dict[str, dict[str, dict[str, Any]]]  # {method: {metric: result of saliency.results.averages.summarise}}


class Run(NamedTuple):
    """The results of one run of frame_saliency.py or feature_saliency.py.

    recipe: the content of opts.json (runtime.recipe). metrics: that of metrics.json. Both are {} without the file.
    paths: {clip: its saliency.npz}.
    """

    folder: Path
    recipe: dict[str, Any]
    metrics: dict[str, Any]
    paths: dict[str, Path]

    @property
    def options(self) -> dict[str, Any]:
        """The options of the command line."""
        return self.recipe.get("options", {})

    @property
    def groups(self) -> Groups:
        """The person or video of each clip."""
        return self.metrics.get("groups", {})

    def result(self, clip: str, kind: str = "frames") -> ClipResult:
        """Read the result of a clip; see ClipResult.read."""
        return ClipResult.read(self.paths[clip], kind)


def read_run(folder: str | Path) -> Run:
    """Read a result folder. FileNotFoundError or UserError, in a sentence, if it is none."""
    folder = Path(folder)
    paths = {path.parent.name: path for path in sorted(folder.glob("*/[!.]*/saliency.npz"))}
    if not paths:
        raise FileNotFoundError(f"{folder} is no result folder: it has no saliency.npz two folders below; give a "
                                "--result_path of frame_saliency.py")
    return Run(folder, *(_read_object(folder / name) for name in ("opts.json", "metrics.json")), paths)


def _read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of a run, {} if the file does not exist."""
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no object; remove it and run again")
    return content


def read_checks(folder: Path) -> dict[str, Any]:
    """Return what saliency.sanity.check found in an earlier run in this folder, {} without it."""
    before = _read_object(folder / "metrics.json")
    return {name: before[name] for name in KEYS if name in before}


def checked_metrics(metrics: Any, path: Path) -> dict[str, Any]:
    """Return the content of a clip's metrics.json; UserError if it is not one."""
    if not isinstance(metrics, dict) or not metrics:
        raise UserError(f"{path} does not hold the metrics of a clip; remove {path.parent} and run again")
    return metrics


def summarise_clips(rows: Mapping[str, Mapping[str, Row]], groups: Groups | None = None) -> Summary:
    """Summarise {clip: {method: Row}} over the clips that have a value; groups: see saliency.results.averages."""
    methods = dict.fromkeys(method for row in rows.values() for method in row)
    return {method: summarise_named({clip: row[method] for clip, row in rows.items() if method in row}, groups)
            for method in methods}


def summarise_run(rows: Mapping[str, Mapping[str, Row]], method: str, groups: Groups | None = None,
                  checks: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the content of metrics.json of a run.

    rows: {clip: the content of its metrics.json}. method: the findings are about its maps. groups: the person or video
    of each clip. checks: the result of saliency.sanity.check.
    """
    groups = dict(groups or {})
    decisions = {clip: row[DECISION] for clip, row in rows.items() if DECISION in row}
    clips = {clip: {name: own for name, own in row.items() if name != DECISION} for clip, row in rows.items()}
    content = {"clips": clips, "groups": groups, "summary": summarise_clips(clips, groups), **(checks or {})}
    if decisions:
        content[DECISION] = {"clips": decisions, "summary": summarise_named(of_means(decisions), groups)}
    content["trust"] = trust(clips, content.get("random_head"), groups)
    content["findings"] = findings(content, method)
    return content


def write_run(folder: Path, content: Mapping[str, Any]) -> None:
    """Write metrics.json and metrics.csv; content: the result of `summarise_run`."""
    write_json(folder / "metrics.json", content)
    classes = {path.parent.name: path.parent.parent.name for path in folder.glob("*/[!.]*/saliency.npz")}
    write_csv(folder / "metrics.csv", [CSV_HEADER, *_long_rows(content, classes)])


def _long_rows(content: Mapping[str, Any], classes: Mapping[str, str]) -> Iterator[tuple]:
    """Yield the rows of metrics.csv below CSV_HEADER: a value each, of a clip or, for random heads, of all clips.

    classes: {clip: its class}. What has no value is left out.
    """
    for clip, methods in content["clips"].items():
        yield from ((clip, classes.get(clip, ""), method, column(metric).question, metric, value)
                    for method, row in methods.items() for metric, value in row.items() if is_number(value))
    for clip, row in content.get(DECISION, {}).get("clips", {}).items():
        yield from ((clip, classes.get(clip, ""), "decision", WHEN_QUESTION, DIFFERENCE.get(metric, metric), value)
                    for metric, value in row.items() if is_number(value))
    for method, cells in content.get("random_head", {}).items():
        yield from (("", "", method, column(metric).question, metric, cell["mean"])
                    for metric, cell in cells.items() if is_number(cell["mean"]))


def why_apart(frames: Run, features: Run) -> str | None:
    """Return why results of frames and of features do not belong on one page, or None if they do.

    The digests of the model (MODEL), of the annotation and of each video that both have must be equal. A run without a
    digest of its model belongs to nothing.
    """
    one, other = (run.recipe.get("inputs", {}) for run in (frames, features))
    if not MODEL & one.keys() or not MODEL & other.keys():
        return "an opts.json does not say which checkpoint was explained"
    if any(one.get(name) != other.get(name) for name in MODEL):
        return "the checkpoints differ"
    of_videos = [any(name.startswith("video ") for name in inputs) for inputs in (one, other)]
    shared = (one.keys() & other.keys()) - MODEL
    if of_videos[0] != of_videos[1] or any(one[name] != other[name] for name in shared):
        return "the data differ"
    return None
