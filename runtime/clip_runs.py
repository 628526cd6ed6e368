"""Run a function over clips and keep the results. Complete results are kept; clips that cannot be read are left out.

    with result_folder(Path("results/frame_saliency"), options):
        metrics, counts = explain_clips(clips, read, explain, check, Path("results/frame_saliency"))
    print(counts)                                  # 3 clips explained, 1 kept from before, 0 left out

A clip is any object with a `name` and a `label`. The label may be None.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime import processes
from runtime.files import read_json, sole_writer, whole_folder
from runtime.recipe import write_recipe


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
    pairs = zip(clips, processes.spread(work, clips), strict=True)
    found = [(clip, result) for clip, result in pairs if result is not None]
    if not found:
        raise ValueError(f"none of the {len(clips)} clips could be read; the warnings above say why")
    return found


def read_or_warn(read: Callable[[Any], Any], clip: Any) -> Any:
    """Return read(clip), or None with a warning if the clip cannot be read."""
    try:
        return read(clip)
    except (ValueError, OSError) as error:
        warnings.warn(f"{clip.name} is left out: {error}", stacklevel=2)
        return None


def explain_clips(clips: Sequence, read: Callable[[Any], Any], explain: Callable[[Any, Any, Path], None],
                  check: Callable[[Any, Path], Any], folder: Path, overwrite: bool = False) -> tuple[dict, str]:
    """Explain each clip that has no results yet, or all clips with `overwrite`.

    read(clip) returns the content of a clip. explain(clip, content, new_folder) writes saliency.npz and metrics.json
    into the empty folder `new_folder`, which then becomes folder/<class>/<clip>. check(metrics, path) returns the
    content of a metrics.json file and raises ValueError if it has the wrong form.
    Returns ({name of a clip: its metrics}, a sentence that counts the clips explained, kept and left out).
    """
    def explain_or_keep(clip: Any) -> tuple[Any, bool] | None:
        clip_folder = folder / (clip.label or "video") / clip.name
        kept = (clip_folder / "saliency.npz").is_file() and not overwrite
        if not kept:
            content = read_or_warn(read, clip)
            if content is None:
                return None
            with whole_folder(clip_folder) as new_folder:
                explain(clip, content, new_folder)
        metrics_path = clip_folder / "metrics.json"
        return check(read_json(metrics_path), metrics_path), kept

    found = map_clips(clips, explain_or_keep)
    n_kept = sum(kept for _, (_, kept) in found)
    counts = f"{len(found) - n_kept} clips explained, {n_kept} kept from before, {len(clips) - len(found)} left out"
    return {clip.name: metrics for clip, (metrics, _) in found}, counts
