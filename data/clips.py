"""Clips as the scripts use them: found in the annotation or cut from a video, and read from disk.

    labels, clips, problems = find_clips("data/kth/annotation/kth1.json", "data/kth/image_data", "testing")
    frames = read_frames(clips[0])                                   # (T, H, W, 3) uint8 RGB
    frames = resize(to_duration(frames, 30), 150)                    # (30, 150, 150, 3)
"""

import re
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from data.annotation import SUBSETS, read_annotation
from data.video import iterate_video, read_image, read_masks, resize_frame, resize_mask, stack
from data.windows import find_motion, find_ranges, place_windows
from runtime.files import by_name
from runtime.isolated import n_cores, run_isolated

GLIMPSE = (80, 60)  # width and height at which motion in a video is looked for
TIME_LIMIT = 300  # seconds that decoding a video may take; see runtime.isolated


@dataclass(frozen=True)
class Clip:
    """One clip: a folder of numbered JPEG frames, or a range of frames of a video file (then label is None)."""

    name: str
    label: str | None
    subset: str | None
    path: Path
    first: int = 0  # of a video: index of the clip's first frame
    length: int | None = None  # of a video: frames in the clip


def find_clips(annotation_path, video_path, subset="all", names=None, limit=None):
    """The clips of a subset that are on disk, in the order of the annotation.

    Returns (labels, clips, problems): problems are sentences about clips that the annotation lists and that cannot be
    used. ValueError where nothing is left.
    """
    annotation, folder = read_annotation(annotation_path), Path(video_path)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of extracted frames at {folder}; make it with utils/generate_data.sh")
    listed = [Clip(name, label, part, folder / label / name) for name, (part, label) in annotation.clips.items()
              if subset in ("all", part)]  # fmt: skip
    unknown = sorted(set(names or []) - {clip.name for clip in listed})
    if unknown:
        raise ValueError(f"--clips {' '.join(unknown)}: not among the {len(listed)} clips of subset {subset} in "
                         f"{annotation_path}")
    if not listed:
        held = Counter(part for part, _ in annotation.clips.values())
        raise ValueError(f"{annotation_path} lists no clip in subset {subset!r} (it holds: "
                         f"{', '.join(f'{part} {held[part]}' for part in SUBSETS)}); choose another --subset")
    listed = [clip for clip in listed if not names or clip.name in names]
    clips = [clip for clip in listed if any(clip.path.glob("image_*.jpg"))]
    if not clips:
        raise ValueError(f"none of the {len(listed)} clips of subset {subset!r} in {annotation_path} has frames under "
                         f"{folder}; extract them with utils/generate_data.sh, or give the right --video_path")
    problems = []
    if len(clips) < len(listed):
        absent = _some(sorted({clip.name for clip in listed} - {clip.name for clip in clips}))
        problems.append(f"{len(listed) - len(clips)} of {len(listed)} listed clips have no frames on disk and are left "
                        f"out: {absent}")
    uncounted = [clip.name for clip in clips if not (clip.path / "n_frames").is_file()]
    if uncounted:
        problems.append(f"{len(uncounted)} clips have no n_frames file, their images were counted: {_some(uncounted)}")
    return annotation.labels, clips[:limit], problems


def has_subset(annotation_path, subset):
    return any(part == subset for part, _ in read_annotation(annotation_path).clips.values())


def clips_of_videos(paths, duration, limit=None):
    """Windows of `duration` frames of video files, placed as utils/trim_videos.py places those that models learn from:
    in the middle of each passage with motion, more of them where it is long; one after the other where nothing stands
    out, the last one ending with the video. A video shorter than that is one clip.

    Returns (clips, problems): problems are sentences about videos that cannot be decoded. ValueError where none can.
    Here and in `read_frames` they are decoded in processes of their own, so that one whose decoder dies costs no more.
    """
    videos = list(by_name((Path(path).stem, Path(path)) for path in paths).values())
    outcomes = list(run_isolated(partial(_windows_of, duration=duration), videos, n_cores(), TIME_LIMIT))
    windows = {path: found for path, found, error in outcomes if not error}
    bad = sorted(f"{path}: {error}" for path, _, error in outcomes if error)
    if not windows:
        raise ValueError(f"none of the {len(videos)} videos can be decoded: {bad[0]}")
    clips = [Clip(f"{path.stem}_{first + 1:05d}", None, None, path, first, length)
             for path in videos for first, length in windows.get(path, ())]  # fmt: skip
    problem = f"{len(bad)} of {len(videos)} videos cannot be decoded and are left out: {'; '.join(bad)}"
    return clips[:limit], [problem] if bad else []


def _windows_of(path, duration):
    """[(first frame, length)] of the windows of one video."""
    frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in iterate_video(path, GLIMPSE)]
    if len(frames) <= duration:
        return [(0, len(frames))]
    moving = find_motion(np.stack(frames))
    starts = {
        start for first, last in find_ranges(moving)
        for start in place_windows(first, last, moving, duration, max(1, (last - first + 1) // duration))
    }  # fmt: skip
    end = len(frames) - duration
    return [(start, duration) for start in sorted(starts or {*range(0, end, duration), end})]


def _window(clip):
    return stack(islice(iterate_video(clip.path), clip.first, clip.first + clip.length), clip.path)


def read_frames(clip):
    """The frames of a clip, (T, H, W, 3) uint8 RGB. ValueError or FileNotFoundError where one cannot be read."""
    if clip.length is not None:
        ((_, frames, error),) = run_isolated(_window, [clip], 1, TIME_LIMIT)
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
            raise ValueError(f"{clip.path} holds {len(images)} images, n_frames says {text}; extract the clip again")
        images = images[:int(text)]
    return stack(map(read_image, images), clip.path)


def load_frames(clip, duration, size):
    """The frames of a clip as a model of that size reads them, (T, size, size, 3) uint8 RGB."""
    return resize(to_duration(read_frames(clip), duration), size)


def load(clip, duration, size):
    """Frames (T, H, W, 3) uint8 and person masks (T, H, W) bool, or None, as a model of that size reads them."""
    frames = read_frames(clip)
    masks = read_masks(clip.path / "masks.npz", len(frames))
    frames = resize(to_duration(frames, duration), size)
    return frames, None if masks is None else resize_masks(to_duration(masks, duration), size)


def training_frames(annotation_path, video_path, number, duration, size):
    """Yield the frames (T, H, W, 3) of about `number` clips spread over the training subset, as far as there are any.

    A clip that cannot be read gives a warning.
    """
    try:
        _, clips, _ = find_clips(annotation_path, video_path, "training")
    except ValueError:
        return
    for clip in clips[::max(1, len(clips) // number)]:
        try:
            yield load_frames(clip, duration, size)
        except (ValueError, OSError) as error:
            warnings.warn(f"training clip {clip.name} is left out of the centre map: {error}", stacklevel=2)


def to_duration(frames, duration):
    """Exactly `duration` frames: the middle ones of a longer clip, the last one repeated in a shorter one."""
    first = max(len(frames) - duration, 0) // 2
    frames = frames[first:first + duration]
    return np.concatenate([frames, np.repeat(frames[-1:], duration - len(frames), axis=0)])


def resize(frames, size):
    """(T, H, W, ...) -> (T, size, size, ...)."""
    if frames.shape[1:3] == (size, size):
        return frames
    return np.stack([resize_frame(frame, (size, size)) for frame in frames])


def resize_masks(masks, size):
    """(T, H, W) bool -> (T, size, size) bool."""
    return np.stack([resize_mask(mask, (size, size)) for mask in masks])


class ClipDataset(torch.utils.data.Dataset):
    """Items are (clip, class index). The clip is what `prepare` makes of its frames (T, size, size, 3) uint8 RGB."""

    def __init__(self, clips, classes, size, duration, prepare):
        self.clips = clips
        self.labels = [classes.index(clip.label) for clip in clips]
        self.size, self.duration, self.prepare = size, duration, prepare

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        return self.prepare(load_frames(self.clips[index], self.duration, self.size)), self.labels[index]


def choose_clips(classes, duration, annotation_path, video_path, subset="testing", names=None, limit=None, videos=None):
    """Return the clips that a user asks for, from the data set or cut from `videos`; warn of what is left out.

    classes: the names that the model knows; a data set with other classes is refused. duration: frames per clip of a
    video. The other arguments are those of `find_clips`.
    """
    if videos and names:
        raise ValueError("--clips names clips of the data set, but --video takes none of it; leave one of them out")
    if videos:
        clips, problems = clips_of_videos(videos, duration, limit)
    else:
        labels, clips, problems = find_clips(annotation_path, video_path, subset, names, limit)
        if sorted(labels) != sorted(classes):
            raise ValueError(f"{annotation_path} has the classes {', '.join(labels)}, but the checkpoint knows "
                             f"{', '.join(classes)}; give the data that it was trained for")
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return clips


def labels_of(annotation_path):
    """Return the classes of an annotation, or an empty list if there is no such file."""
    return read_annotation(annotation_path).labels if Path(annotation_path).is_file() else []


def _some(names, shown=3):
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
