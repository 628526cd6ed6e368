"""A run over clips: one writer per folder, complete results are kept, and clips that cannot be read are left out.

    with result_folder(Path("results/frame_saliency"), options):
        metrics, counts = explain_clips(clips, read, explain, check, Path("results/frame_saliency"))
    print(counts)                                  # 3 clips explained, 1 kept from before, 0 left out

A clip is anything with a `name` and a `label`, which may be None.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime import processes
from runtime.files import read_json, sole_writer, whole_folder
from runtime.recipe import keep_recipe


@contextmanager
def result_folder(folder: Path, options: dict) -> Iterator[None]:
    """Keep other runs out of a folder during the block, and write its recipe (runtime.recipe) into it."""
    with processes.held_by_first(sole_writer(folder)):
        processes.by_first(keep_recipe, folder, options)
        yield


def map_clips(clips: Sequence, work: Callable[[Any], Any]) -> list[tuple]:
    """Return [(clip, work(clip))], shared out among the processes, without the clips for which `work` returns None.

    ValueError if it returns None for all clips.
    """
    found = [pair for pair in zip(clips, processes.spread(work, clips), strict=True) if pair[1] is not None]
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

    read(clip) returns the content of a clip. explain(clip, content, place) writes saliency.npz and metrics.json into
    the empty folder `place`, which then becomes folder/<class>/<clip>. check(metrics, path) returns the content of a
    metrics.json file and raises ValueError if it has the wrong form.
    Returns ({name of a clip: its metrics}, a sentence that counts the clips explained, kept and left out).
    """
    def explained(clip):
        place = folder / (clip.label or "video") / clip.name
        kept = (place / "saliency.npz").is_file() and not overwrite
        if not kept:
            content = read_or_warn(read, clip)
            if content is None:
                return None
            with whole_folder(place) as temporary:
                explain(clip, content, temporary)
        return check(read_json(place / "metrics.json"), place / "metrics.json"), kept

    found = map_clips(clips, explained)
    n_kept = sum(kept for _, (_, kept) in found)
    counts = f"{len(found) - n_kept} clips explained, {n_kept} kept from before, {len(clips) - len(found)} left out"
    return {clip.name: metrics for clip, (metrics, _) in found}, counts
