"""Run a function over clips and keep the results. Complete results are kept; clips that cannot be read are left out.

    with result_folder(Path("results/frame_saliency"), options):
        metrics, counts = explain_clips(clips, read, explain, check, Path("results/frame_saliency"), threads=2)
    print(counts)                                  # 3 clips explained, 1 kept from before, 0 left out

A clip is any object with a `name` and a `label`. The label may be None.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime import processes
from runtime.errors import UserError
from runtime.files import read_json, sole_writer, whole_folder
from runtime.progress import each
from runtime.recipe import write_recipe
from runtime.sentences import counted
from runtime.workers import useful_writers, writers


@contextmanager
def result_folder(folder: Path, options: dict[str, Any], weights: str | None = None) -> Iterator[None]:
    """Keep other runs out of a folder during the block, and write its recipe (runtime.recipe) into it.

    weights: a digest of the model's weights, if the options do not name the file that they come from.
    """
    with processes.held_by_first(sole_writer(folder)):
        processes.by_first(write_recipe, folder, options, weights)
        yield


def map_clips(clips: Sequence, work: Callable[[Any], Any]) -> list[tuple[Any, Any]]:
    """Return [(clip, work(clip))], computed by all processes together, without the clips for which `work` returns None.

    Raises ValueError if `work` returns None for all clips.
    """
    own = each(processes.own(len(clips)), "run", "clip")
    return _found(clips, processes.merged([work(clips[index]) for index in own]))


def _found(clips: Sequence, results: list) -> list[tuple[Any, Any]]:
    """Return [(clip, result)] without the results that are None. Raises ValueError if all are."""
    found = [(clip, result) for clip, result in zip(clips, results, strict=True) if result is not None]
    if not found:
        raise UserError(f"none of the {len(clips)} clips could be read; the warnings above say why")
    return found


def read_or_warn(read: Callable[[Any], Any], clip: Any) -> Any:
    """Return read(clip), or None with a warning if the clip cannot be read."""
    try:
        return read(clip)
    except (UserError, OSError) as error:
        warnings.warn(f"{clip.name} is left out: {error}", stacklevel=2)
        return None


def clip_folder(clip: Any, folder: Path) -> Path:
    """Return the folder of a clip's results in the folder of a run."""
    return folder / (clip.label or "video") / clip.name


Finish = Callable[[Path], None]  # writes saliency.npz, metrics.json and pictures into an empty folder


def explain_clips(clips: Sequence, read: Callable[[Any], Any], explain: Callable[[Any, Any], Finish],
                  check: Callable[[Any, Path], Any], folder: Path, overwrite: bool = False,
                  threads: int | None = None) -> tuple[dict, str]:
    """Explain each clip that has no results yet, or all clips with `overwrite`.

    read(clip) returns the content of a clip. explain(clip, content) returns a function that writes saliency.npz and
    metrics.json into the empty folder that it is given, which then becomes folder/<class>/<clip>. Other processes call
    this function while the next clip is explained, so it must be one that pickle can send; with one thread or core,
    this process calls it. check(metrics, path) returns the content of a metrics.json file and raises ValueError if it
    has the wrong form.
    Returns ({name of a clip: its metrics}, a sentence that counts the clips explained, kept and left out).
    """
    def metrics_of(clip: Any) -> Any:
        path = clip_folder(clip, folder) / "metrics.json"
        return check(read_json(path), path)

    own = [clips[index] for index in processes.own(len(clips))]
    new = [overwrite or not (clip_folder(clip, folder) / "saliency.npz").is_file() for clip in own]
    kept = [None if is_new else metrics_of(clip) for clip, is_new in zip(own, new, strict=True)]
    explained = []
    with writers(useful_writers(sum(new), threads)) as submit:
        for clip, is_new in zip(each(own, "explaining", "clip"), new, strict=True):
            content = read_or_warn(read, clip) if is_new else None
            if content is not None:
                submit(_write_clip, explain(clip, content), clip_folder(clip, folder))
            explained.append(content is not None)
    results = [None if metrics is None else (metrics, True) for metrics in kept]
    for place, clip in enumerate(own):
        if explained[place]:
            results[place] = metrics_of(clip), False
    found = _found(clips, processes.merged(results))
    n_kept = sum(kept for _, (_, kept) in found)
    counts = (f"{counted(len(found) - n_kept, 'clip')} explained, {n_kept} kept from before, "
              f"{len(clips) - len(found)} left out")
    return {clip.name: metrics for clip, (metrics, _) in found}, counts


def _write_clip(finish: Finish, folder: Path) -> None:
    """Write the results of a clip, whole or not at all."""
    with whole_folder(folder) as new_folder:
        finish(new_folder)
