"""Clips: found in the annotation or cut from videos, and read from disk.

    labels, clips, problems = find_clips("data/kth/annotation/kth1.json", "data/kth/image_data", "testing")
    frames = read_frames(clips[0])                                   # (T, H, W, 3) uint8 RGB
    frames = resize(to_duration(frames, 30), 150)                    # (30, 150, 150, 3)
"""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from data.annotation import SUBSETS, read_annotation
from data.datasets.extra import EMPTY, passage_folder
from data.video import iterate_video, read_image, read_masks, resize_frame, resize_mask, stack
from data.windows import find_motion, find_ranges, place_windows
from runtime.files import index_by_name
from runtime.isolated import run_isolated
from runtime.sentences import first_names
from runtime.threads import n_cores

MOTION_SIZE = (80, 60)  # width and height of the frames in which motion is searched
TIME_LIMIT = 300  # seconds that the decoding of one video may take


@dataclass(frozen=True)
class Clip:
    """One clip: a folder of numbered JPEG frames, or a range of frames of a video file."""

    name: str
    label: str | None  # the class; None for a clip of a video file
    subset: str | None
    path: Path  # the folder or the video file
    first: int = 0  # for a video file: the index of the clip's first frame
    length: int | None = None  # for a video file: the number of frames in the clip
    visible: tuple[int, int] | None = None  # for a passage: the first and the last frame with the person, 1-based


def find_clips(annotation_path: str | Path, video_path: str | Path, subset: str = "all",
               names: Sequence[str] | None = None,
               limit: int | None = None) -> tuple[list[str], list[Clip], list[str]]:
    """Return (labels, clips, problems): the clips of a subset that are on disk, in the order of the annotation.

    names: only these clips. limit: only the first ones. problems: sentences about listed clips that are left out.
    Raises FileNotFoundError if the annotation or the folder of frames is missing, and ValueError if no clip is left.
    """
    annotation, folder = read_annotation(annotation_path), Path(video_path)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of extracted frames at {folder}; check --video_path, or make the folder "
                                "with utils/generate_data.sh")
    listed = [Clip(name, label, part, folder / label / name) for name, (part, label) in annotation.clips.items()
              if subset in ("all", part)]
    unknown = sorted(set(names or []) - {clip.name for clip in listed})
    if unknown:
        raise ValueError(f"--clips {' '.join(unknown)}: not among the {len(listed)} clips of subset {subset} in "
                         f"{annotation_path}; give names from this file or another --subset")
    if not listed:
        counts = Counter(part for part, _ in annotation.clips.values())
        raise ValueError(f"{annotation_path} lists no clip in subset {subset!r} (it holds: "
                         f"{', '.join(f'{part} {counts[part]}' for part in SUBSETS)}); choose another --subset")
    listed = [clip for clip in listed if not names or clip.name in names]
    clips = [clip for clip in listed if any(clip.path.glob("image_*.jpg"))]
    if not clips:
        raise ValueError(f"none of the {len(listed)} clips of subset {subset!r} in {annotation_path} has frames under "
                         f"{folder}; extract them with utils/generate_data.sh, or correct --video_path")
    problems = []
    if len(clips) < len(listed):
        absent = first_names(sorted({clip.name for clip in listed} - {clip.name for clip in clips}))
        problems.append(f"{len(listed) - len(clips)} of {len(listed)} listed clips have no frames on disk and are left "
                        f"out: {absent}")
    uncounted = [clip.name for clip in clips if not (clip.path / "n_frames").is_file()]
    if uncounted:
        problems.append(f"{len(uncounted)} clips have no n_frames file, so their images were counted: "
                        f"{first_names(uncounted)}")
    return annotation.labels, clips[:limit], problems


def find_training_extra(annotation_path: str | Path, video_path: str | Path) -> list[Clip]:
    """Return the passages and the empty clips for training that are on disk; an empty clip has no label.

    Returns an empty list if the annotation lists none.
    """
    annotation, folder = read_annotation(annotation_path), Path(video_path)
    passages = [Clip(name, label, subset, folder / passage_folder(label) / name, visible=visible)
                for name, (subset, label, visible) in annotation.passages.items()]
    return _on_disk(clip for clip in passages if clip.subset == "training") + (
        find_empty(annotation_path, video_path, "training") if passages else [])


def find_empty(annotation_path: str | Path, video_path: str | Path, subset: str) -> list[Clip]:
    """Return the clips of a subset without anybody that are on disk; they have no label."""
    empty = read_annotation(annotation_path).empty
    return _on_disk(Clip(name, None, part, Path(video_path) / EMPTY / name) for name, part in empty.items()
                    if part == subset)


def _on_disk(clips: Iterable[Clip]) -> list[Clip]:
    return [clip for clip in clips if any(clip.path.glob("image_*.jpg"))]


def has_subset(annotation_path: str | Path, subset: str) -> bool:
    """Return whether an annotation lists clips in a subset."""
    return any(part == subset for part, _ in read_annotation(annotation_path).clips.values())


def clips_of_videos(paths: Sequence[str | Path], duration: int,
                    limit: int | None = None) -> tuple[list[Clip], list[str]]:
    """Return (clips, problems): the windows of `duration` frames in video files, see `_find_windows`.

    limit: only the first clips. problems: sentences about videos that cannot be decoded.
    Raises ValueError if no video can be decoded. Here and in `read_frames`, every video is decoded in a process of its
    own, so that a decoder that dies costs only its video.
    """
    videos = list(index_by_name((Path(path).stem, Path(path)) for path in paths).values())
    outcomes = list(run_isolated(partial(_find_windows, duration=duration), videos, n_cores(), TIME_LIMIT))
    windows = {path: found for path, found, error in outcomes if not error}
    bad = sorted(f"{path}: {error}" for path, _, error in outcomes if error)
    if not windows:
        raise ValueError(f"none of the {len(videos)} videos can be decoded: {bad[0]}")
    clips = [Clip(f"{path.stem}_{first + 1:05d}", None, None, path, first, length)
             for path in videos for first, length in windows.get(path, ())]
    problem = f"{len(bad)} of {len(videos)} videos cannot be decoded and are left out: {'; '.join(bad)}"
    return clips[:limit], [problem] if bad else []


def _find_windows(path: Path, duration: int) -> list[tuple[int, int]]:
    """Return [(index of the first frame, length)] of the windows of one video, placed as in utils/trim_videos.py.

    The windows lie in the middle of each range with motion, and a long range has several. In a video without such a
    range they follow each other, and the last one ends with the video. A video shorter than a window is one window.
    """
    frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in iterate_video(path, MOTION_SIZE)]
    if len(frames) <= duration:
        return [(0, len(frames))]
    moving = find_motion(np.stack(frames))
    starts = set()
    for first, last in find_ranges(moving):
        n_windows = max(1, (last - first + 1) // duration)
        starts.update(place_windows(first, last, moving, duration, n_windows))
    if not starts:
        last_start = len(frames) - duration
        starts = {*range(0, last_start, duration), last_start}
    return [(start, duration) for start in sorted(starts)]


def _read_window(clip: Clip) -> np.ndarray:
    return stack(islice(iterate_video(clip.path), clip.first, clip.first + clip.length), clip.path)


def read_frames(clip: Clip) -> np.ndarray:
    """Return the frames of a clip, (T, H, W, 3) uint8 RGB. Raises ValueError or OSError if a frame cannot be read."""
    if clip.length is not None:
        ((_, frames, error),) = run_isolated(_read_window, [clip], 1, TIME_LIMIT)
        if error:
            raise ValueError(error)
        return frames
    images = sorted(clip.path.glob("image_*.jpg"))
    count = clip.path / "n_frames"
    if count.is_file():
        text = count.read_text(errors="replace").strip()
        if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
            raise ValueError(f"{count} holds {text[:20]!r}, not a number of frames; extract the clip again")
        if len(images) < int(text):
            raise ValueError(f"{clip.path} holds {len(images)} images, but its n_frames file says {text}; extract the "
                             "clip again")
        images = images[:int(text)]
    return stack(map(read_image, images), clip.path)


def load_frames(clip: Clip, duration: int, size: int) -> np.ndarray:
    """Return the frames of a clip in the form that a model takes, (duration, size, size, 3) uint8 RGB."""
    return resize(to_duration(read_frames(clip), duration), size)


def load_with_masks(clip: Clip, duration: int, size: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the frames of a clip as `load_frames` does, and its person masks (duration, size, size) bool, if any."""
    frames = read_frames(clip)
    masks = read_masks(clip.path / "masks.npz", len(frames))
    frames = resize(to_duration(frames, duration), size)
    return frames, None if masks is None else resize_masks(to_duration(masks, duration), size)


def training_frames(annotation_path: str | Path, video_path: str | Path, number: int, duration: int,
                    size: int) -> Iterator[np.ndarray]:
    """Yield the frames of about `number` clips, spread evenly over the training subset; form as in `load_frames`.

    Yields nothing if there is no training subset. Warns of a clip that cannot be read.
    """
    try:
        _, clips, _ = find_clips(annotation_path, video_path, "training")
    except ValueError:
        return
    step = max(1, len(clips) // number)
    for clip in clips[::step]:
        try:
            yield load_frames(clip, duration, size)
        except (ValueError, OSError) as error:
            warnings.warn(f"training clip {clip.name} is left out of the centre map: {error}", stacklevel=2)


def to_duration(frames: np.ndarray, duration: int) -> np.ndarray:
    """Return exactly `duration` frames: the middle of a longer clip; a shorter clip repeats its last frame."""
    first = max(len(frames) - duration, 0) // 2
    frames = frames[first:first + duration]
    return np.concatenate([frames, np.repeat(frames[-1:], duration - len(frames), axis=0)])


def resize(frames: np.ndarray, size: int) -> np.ndarray:
    """Return frames (T, H, W, ...) resized to (T, size, size, ...)."""
    if frames.shape[1:3] == (size, size):
        return frames
    return np.stack([resize_frame(frame, (size, size)) for frame in frames])


def resize_masks(masks: np.ndarray, size: int) -> np.ndarray:
    """Return masks (T, H, W) bool resized to (T, size, size) bool."""
    return np.stack([resize_mask(mask, (size, size)) for mask in masks])


class ClipDataset(torch.utils.data.Dataset):
    """A data set of pairs (prepare(frames), index of the class, -1 for a clip without a label).

    frames: (duration, size, size, 3) uint8 RGB; with a duration of None, all frames of the clip.
    """

    def __init__(self, clips: Sequence[Clip], classes: Sequence[str], size: int, duration: int | None,
                 prepare: Callable[[np.ndarray], Any]) -> None:
        self.clips = clips
        self.labels = [-1 if clip.label is None else classes.index(clip.label) for clip in clips]
        self.size, self.duration, self.prepare = size, duration, prepare

    def __len__(self) -> int:
        return len(self.clips)

    def key(self, index: int) -> str:
        """Return a text that changes with the clip, its frames on disk, and how they are read."""
        path = self.clips[index].path
        return f"{path.absolute()} {(path / 'image_00001.jpg').stat().st_mtime_ns} {self.size} {self.duration}"

    def __getitem__(self, index: int) -> tuple[Any, int]:
        clip = self.clips[index]
        frames = resize(read_frames(clip), self.size) if self.duration is None else load_frames(
            clip, self.duration, self.size)
        return self.prepare(frames), self.labels[index]


def choose_clips(classes: Sequence[str], duration: int, annotation_path: str | Path, video_path: str | Path,
                 subset: str = "testing", names: Sequence[str] | None = None, limit: int | None = None,
                 videos: Sequence[str | Path] | None = None) -> list[Clip]:
    """Return the clips that a user asks for, from the data set or cut from `videos`, and warn of clips left out.

    classes: the classes of the model. duration: frames per clip of a video. The other arguments are those of
    `find_clips`. Raises ValueError if the data set has other classes than the model, or if no clip is left.
    """
    if videos and names:
        raise ValueError("--clips names clips of the data set, but --video uses no data set; leave one of them out")
    if videos:
        clips, problems = clips_of_videos(videos, duration, limit)
    else:
        labels, clips, problems = find_clips(annotation_path, video_path, subset, names, limit)
        if sorted(labels) != sorted(classes):
            raise ValueError(f"{annotation_path} has the classes {', '.join(labels)}, but the checkpoint knows "
                             f"{', '.join(classes)}; give --annotation_path of data with these classes")
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return clips


def labels_of(annotation_path: str | Path) -> list[str]:
    """Return the classes of an annotation, or an empty list if there is no such file."""
    return read_annotation(annotation_path).labels if Path(annotation_path).is_file() else []
