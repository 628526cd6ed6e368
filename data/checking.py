"""The check of a data set, after every preparation and before every training.

    checked = check_data_set(read_annotation(path), path, "data/kth/image_data", DATASETS["kth"])

It prints a line per subset: clips of each class, persons or groups, and the windows that training draws in an epoch.
What would make an accuracy wrong is refused: a person, a group or a video on two sides of the split, a clip whose
images are incomplete or not those that the annotation was written for, and a class without a clip to learn from. What
is only left out is named in a warning.
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data.annotation import SUBSETS, Annotation
from data.clips import Clip, groups_of, listed_clips, on_disk, refuse_changed
from data.datasets.base import DataSet
from data.datasets.extra import is_extra
from data.images import digest, ignored_files
from data.training_clips import find_training_extra
from runtime.errors import UserError
from runtime.names import readable
from runtime.sentences import counted, first_names

FEW_CLIPS = 10  # held-out clips of a class: even if all of 9 are correct, the recall may be 0.70 (Wilson, 95 percent)
FEW_GROUPS = 3  # persons, groups or videos in training


class Checked(NamedTuple):
    """The result of `check_data_set`: digests of images, and the groups that are in training."""

    digests: dict[str, str]  # {clip, passage or empty clip on disk: digest of its images}
    training_digests: list[str]  # those in training
    training_groups: list[str]  # the persons, groups and videos in training, such as "kth person 7"


def check_data_set(annotation: Annotation, annotation_path: str | Path, image_path: str | Path,
                   data_set: DataSet) -> Checked:
    """Check the clips on disk against the annotation and print what is there.

    annotation_path: its file, for messages. Warns of what is left out. Raises UserError with the first thing that must
    not be.
    """
    listed = listed_clips(annotation, image_path)
    present, known = on_disk(listed), {clip.path for clip in listed}
    strangers = [path.relative_to(image_path).as_posix() for path in sorted(Path(image_path).glob("[!.]*/[!.]*"))
                 if path.is_dir() and path not in known and not is_extra(path.parent.name)]
    if strangers:
        warnings.warn(f"{counted(len(strangers), 'clip')} on disk are not in {annotation_path} and are left out: "
                      f"{first_names(strangers)}", stacklevel=2)
    groups, digests = groups_of(present, data_set), _digests(annotation_path, annotation, present)
    _check_sides(annotation_path, annotation, present, groups)
    clips = [clip for clip in present if clip.name in annotation.clips]
    absent = set(annotation.labels) - {clip.label for clip in clips if clip.subset == "training"}
    if absent:
        raise UserError(f"{annotation_path}: no clip of {', '.join(sorted(absent))} is in training and on disk, so a "
                        "model cannot learn the class; add clips, choose another split, or leave the class out")
    for subset in SUBSETS:
        windows = find_training_extra(annotation, image_path) if subset == "training" else []
        print(_line(subset, [clip for clip in clips if clip.subset == subset], annotation.labels, groups, windows))
    learnt = [clip.name for clip in present if clip.subset == "training"]
    return Checked(digests, sorted({digests[name] for name in learnt}),
                   sorted({f"{data_set.name} {groups[name]}" for name in learnt}))


def _line(subset: str, clips: Sequence[Clip], labels: Sequence[str], groups: dict[str, str],
          extra: Sequence[Clip]) -> str:
    """Return what a subset has: clips of each class, of how many groups, and the windows that training draws.

    extra: the clips from which training cuts windows, see `find_training_extra`; without them each clip is a window.
    """
    if not clips:
        return f"{subset}: no clip" + ", so the last epoch is kept as the best" * (subset == "validation")
    counts, of = Counter(clip.label for clip in clips), {groups[clip.name] for clip in clips}
    kinds = Counter(group.partition(" ")[0] for group in of)
    line = (f"{subset}: {counted(len(clips), 'clip')} ("
            f"{', '.join(f'{readable(label)} {counts[label]}' for label in labels)}) of "
            + " and ".join(counted(count, kind) for kind, count in sorted(kinds.items())))
    if subset != "training":
        absent = [readable(label) for label in labels if not counts[label]]
        few = "; these are few, see the interval beside an accuracy" * (min(counts.values()) < FEW_CLIPS)
        return f"{line}; no clip of {', '.join(absent)}, so an accuracy says nothing about it" if absent else line + few
    if len(of) < FEW_GROUPS:
        line += ", which are few: a model may learn how these look instead of what they do"
    drawn = extra or clips
    names = sorted({"nobody" if clip.label is None else readable(clip.label) for clip in drawn})
    kinds = Counter("empty clips" if clip.label is None else "passages" if clip.visible else "whole clips"
                    for clip in drawn)
    return (f"{line}; an epoch draws about {len(drawn) / len(names):.0f} windows each of {', '.join(names)}, from "
            + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))


def _digests(annotation_path: str | Path, annotation: Annotation, present: Sequence[Clip]) -> dict[str, str]:
    """Return the digests of the clips on disk, and warn of files in their folders that are ignored.

    Raises UserError if a clip is incomplete or another than annotated.
    """
    digests, faults, ignored = {}, [], []
    for clip in present:
        try:
            digests[clip.name] = digest(clip.path)
            ignored += [f"{clip.name}/{name}" for name in ignored_files(clip.path)]
        except (UserError, OSError) as error:
            faults.append(str(error))
    if faults:
        raise UserError(f"{counted(len(faults), 'clip')} cannot be used: {first_names(faults, 1)}")
    refuse_changed(digests, annotation, annotation_path)
    if ignored:
        warnings.warn(f"{counted(len(ignored), 'file')} in the folders of clips are not read: {first_names(ignored)}",
                      stacklevel=3)
    return digests


def _check_sides(annotation_path: str | Path, annotation: Annotation, clips: Sequence[Clip],
                 groups: dict[str, str]) -> None:
    """Raise UserError if a person, a group or a source video has clips in two subsets.

    Only warns if nothing but the names of clips says so, because the annotation does not name their videos.
    """
    sides, doubt = {}, ""
    for clip in clips:
        named = set() if groups[clip.name].startswith("video ") else {groups[clip.name]}
        for key in {f"video {annotation.source_of(clip.name)}"} | named:
            other = sides.setdefault(key, clip)
            if other.subset == clip.subset:
                continue
            fault = f"{annotation_path}: {key} is in {other.subset} ({other.name}) and in {clip.subset} ({clip.name})"
            if key in named or clip.name in annotation.sources:
                raise UserError(f"{fault}, so the accuracy would be too high; write it again with "
                                "utils/generate_data.sh")
            doubt = f"{fault}, as far as names tell; if this is so, the accuracy is too high"
    if doubt:
        warnings.warn(doubt, stacklevel=3)


def in_training(clips: Sequence[Clip], data_set: DataSet, groups: Sequence[str], digests: Sequence[str]) -> set[str]:
    """Return the names of the clips that a model was trained on, or whose person, group or video was in its training.

    groups, digests: of the training, see `Checked`. Groups of other data sets with the same name as this one count too.
    """
    own, groups, digests = groups_of(clips, data_set), set(groups), set(digests)
    return {clip.name for clip in clips
            if f"{data_set.name} {own[clip.name]}" in groups or (digests and digest(clip.path) in digests)}
