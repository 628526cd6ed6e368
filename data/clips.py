"""Clips: found in the annotation or cut from videos, and read from disk.

    labels, clips, problems = find_clips("data/kth/annotation/kth1.json", "data/kth/image_data", "testing")
    frames = read_frames(clips[0])                                   # (T, H, W, 3) uint8 RGB
    frames = load_frames(clips[0], duration=30, size=150)            # (30, 150, 150, 3), or fewer frames
"""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np

from data.annotation import SUBSETS, Annotation, read_annotation
from data.datasets import DATASETS
from data.datasets.base import DataSet
from data.datasets.extra import EMPTY, passage_folder
from data.images import digest, numbered_images, whole_images, written_count
from data.video import frame_rate, read_image, read_masks, resize_frame, resize_mask, stack
from data.video_windows import WindowReader, find_windows
from runtime.errors import UserError
from runtime.files import index_by_name
from runtime.names import readable
from runtime.sentences import counted, first_names
from runtime.workers import in_parallel, n_cores

# isort: split
import cv2  # after the package runtime, which sets how much OpenCV prints

Check = Callable[[int, int], None]  # of (number of frames, size); raises UserError for a clip that is too large


@dataclass(frozen=True)
class Clip:
    """One clip: a folder of numbered images, or a range of frames of a video file."""

    name: str
    label: str | None  # the class; None for a clip of a video file
    subset: str | None
    path: Path  # the folder or the video file
    first: int = 0  # for a video file: the index of the clip's first frame
    length: int | None = None  # for a video file: the number of frames in the clip
    visible: tuple[int, int] | None = None  # for a passage: the first and the last frame with the person, 1-based
    reader: WindowReader | None = field(default=None, compare=False, repr=False)  # for a video file: reads its windows
    shown: tuple[int, int] | None = None  # for a video file: the clip's first and last frame in the file, 1-based
    stride: int = 1  # for a folder: every stride-th frame is read

    @property
    def video(self) -> Path:
        """The video file of the clip, or its folder without the number of the passage in its name."""
        return self.path if self.length is not None else self.path.with_name(re.sub("_[0-9]+$", "", self.name))


def find_clips(annotation_path: str | Path, video_path: str | Path, subset: str = "all",
               names: Sequence[str] | None = None) -> tuple[list[str], list[Clip], list[str]]:
    """Return (labels, clips, problems): the clips of a subset that are on disk, in the order of the annotation.

    names: only these clips. problems: sentences about listed clips that are left out.
    Raises FileNotFoundError if the annotation or the folder of frames is missing, and UserError if no clip is left.
    """
    annotation, folder = read_annotation(annotation_path), Path(video_path)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of extracted frames at {folder}; check --video_path, or make the folder "
                                "with utils/generate_data.sh")
    listed = [clip for clip in listed_clips(annotation, folder)
              if clip.name in annotation.clips and subset in ("all", clip.subset)]
    if not listed:
        counts = Counter(part for part, _ in annotation.clips.values())
        raise UserError(f"{annotation_path} lists no clip in subset {subset!r} (it holds: "
                        f"{', '.join(f'{part} {counts[part]}' for part in SUBSETS)}); choose another --subset")
    unknown = sorted(set(names or []) - {clip.name for clip in listed})
    if unknown:
        raise UserError(f"--clips {' '.join(unknown)}: not among the {len(listed)} clips of subset {subset} in "
                        f"{annotation_path}; give names from this file or another --subset")
    listed = [clip for clip in listed if not names or clip.name in names]
    clips = on_disk(listed)
    if not clips:
        raise UserError(f"none of the {len(listed)} clips of subset {subset!r} in {annotation_path} has frames under "
                        f"{folder}; extract them with utils/generate_data.sh, or correct --video_path")
    problems, present = [], {clip.name for clip in clips}
    if len(clips) < len(listed):
        absent = first_names(sorted(clip.name for clip in listed if clip.name not in present))
        problems.append(f"{len(listed) - len(clips)} of {len(listed)} listed clips have no frames on disk and are left "
                        f"out: {absent}")
    uncounted = [clip.name for clip in clips if not (clip.path / "n_frames").is_file()]
    if uncounted:
        problems.append(f"{counted(len(uncounted), 'clip')} without n_frames file, so the images were counted: "
                        f"{first_names(uncounted)}")
    return annotation.labels, clips, problems


def on_disk(clips: Sequence[Clip]) -> list[Clip]:
    """Return the clips that have images on disk."""
    return [clip for clip in clips if numbered_images(clip.path)]


def listed_clips(annotation: Annotation, folder: str | Path) -> list[Clip]:
    """Return the clips of an annotation, then its passages and its empty clips, which have no label; folder: of all."""
    folder = Path(folder)
    return [*(Clip(name, label, part, folder / label / name) for name, (part, label) in annotation.clips.items()),
            *(Clip(name, label, part, folder / passage_folder(label) / name, visible=visible)
              for name, (part, label, visible) in annotation.passages.items()),
            *(Clip(name, None, part, folder / EMPTY / name) for name, part in annotation.empty.items())]


def refuse_changed(digests: dict[str, str], annotation: Annotation, annotation_path: str | Path) -> None:
    """Raise UserError if the images of a clip are not those of the annotation; digests: {clip: of its images now}."""
    changed = [name for name, found in digests.items() if annotation.digests.get(name, found) != found]
    if changed:
        raise UserError(f"the images of {counted(len(changed), 'clip')} are not those that {annotation_path} was "
                        f"written for ({first_names(changed)}); write it again with utils/generate_data.sh")


def clips_of_videos(paths: Sequence[str | Path], duration: int | None, limit: int | None = None,
                    rate: float | None = None, stride: int = 1) -> tuple[list[Clip], list[str]]:
    """Return (clips, problems): the windows of `duration` frames in video files, see data.video_windows.find_windows.

    duration: None for one clip per video, with all its frames. limit: only so many clips, see `limited`; videos that
    these do not need are not opened. rate: frames per second at which videos are read, see data.video.at_rate; None for
    every frame. stride: read every stride-th of these. Clips are named after their first frame in the file. problems:
    sentences about videos that cannot be decoded or have another frame rate. Raises ValueError if no
    video can be decoded. Several videos are searched at the same time. Clips that are read in their order are read in
    one pass.
    """
    videos = list(index_by_name((Path(path).stem, Path(path)) for path in paths).values())
    search, reader = partial(find_windows, duration=duration, rate=rate, stride=stride), WindowReader(rate, stride)
    clips, seen, bad, cores = [], 0, [], n_cores()
    while seen < len(videos) and (limit is None or seen - len(bad) < limit):
        part = videos[seen:] if limit is None else videos[seen:seen + min(cores, limit - seen + len(bad))]
        outcomes = {path: (found, error) for path, found, error in in_parallel(search, part, cores)}
        for path in part:
            windows, error = outcomes[path]
            bad += [f"{path}: {error}"] if error else []
            clips += [Clip(f"{path.stem}_{shown[0]:05d}", None, None, path, first, length, reader=reader, shown=shown)
                      for first, length, shown in windows or ()]
        seen += len(part)
    if len(bad) == len(videos):
        raise UserError(f"none of the {len(videos)} videos can be decoded: {min(bad)}")
    problem = f"{len(bad)} of {seen} videos cannot be decoded and are left out: {'; '.join(sorted(bad))}"
    rates = other_rates({clip.path for clip in clips}, rate) if rate else []
    return limited(clips, limit), [problem] * bool(bad) + rates


def other_rates(paths: Iterable[Path], rate: float) -> list[str]:
    """Return a sentence about the videos whose frame rate differs from `rate` by more than 1 percent, if any."""
    rates = {path: frame_rate(path) for path in sorted(paths)}
    other = [f"{path.name} has {found:g}" for path, found in rates.items() if abs(found - rate) > 0.01 * rate]
    return [f"{len(other)} of {len(rates)} videos are read at {rate:g} frames per second, the frame nearest to each "
            f"time: {first_names(other)}"] if other else []


def read_frames(clip: Clip, size: int | None = None) -> np.ndarray:
    """Return the frames of a clip, (T, H, W, 3) uint8 RGB. Raises UserError or OSError if a frame cannot be read.

    size: resize each frame to (size, size) as soon as it is read, which takes less memory.
    """
    if clip.length is not None:
        return (clip.reader or WindowReader()).read(clip.path, clip.first, clip.length, size)
    pictures = map(read_image, whole_images(clip.path)[::clip.stride])
    return stack(pictures if size is None else (resize(each[None], size)[0] for each in pictures), clip.path)


def frame_count(clip: Clip) -> int:
    """Return the number of frames of a clip, without reading them. UserError if its n_frames file holds no number."""
    return clip.length or -(-(written_count(clip.path) or len(numbered_images(clip.path))) // clip.stride)


def load_frames(clip: Clip, duration: int | None, size: int, check: Check | None = None,
                grey: bool = False) -> np.ndarray:
    """Return the frames of a clip in the form that a model takes, (L, size, size, 3) uint8 RGB.

    duration: of a longer clip only the middle `duration` frames are kept; None for all frames, which are checked and
    resized while they are read. A shorter clip keeps its own number of frames. grey: for a model that was trained on
    clips without colour, give all channels the luma.
    """
    if check and duration is None:
        check(frame_count(clip), size)
    frames = read_frames(clip, size) if duration is None else to_duration(read_frames(clip), duration)
    frames = resize(frames, size)
    return without_color(frames) if grey else frames


def without_color(frames: np.ndarray) -> np.ndarray:
    """Return frames (T, H, W, 3) with the luma of each pixel in all channels. Grey frames stay as they are."""
    return np.stack([cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for frame in frames])


def load_with_masks(clip: Clip, duration: int | None, size: int, check: Check | None = None,
                    grey: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the frames of a clip as `load_frames` does, and its person masks (L, size, size) bool, if any."""
    frames = load_frames(clip, duration, size, check, grey)
    masks = read_masks(clip.path / "masks.npz", frame_count(replace(clip, stride=1)))
    if masks is None:
        return frames, None
    kept = to_duration(masks[::clip.stride], duration)
    return frames, np.stack([resize_mask(mask, (size, size)) for mask in kept])


def to_duration(frames: np.ndarray, duration: int | None) -> np.ndarray:
    """Return the middle `duration` frames of a longer clip, or all frames, also if the duration is None."""
    first = max(len(frames) - (duration or len(frames)), 0) // 2
    return frames[first:first + (duration or len(frames))]


def short_clips(clips: Sequence[Clip], duration: int) -> list[str]:
    """Return a sentence about the clips that have fewer frames than the `duration` of the model, or an empty list."""
    counts = {}
    for clip in clips:
        with suppress(UserError):  # reading the clip will tell
            counts[clip.name] = frame_count(clip)
    short = {name: count for name, count in counts.items() if count < duration}
    if not short:
        return []
    each = first_names([f"{name} has {count} frame{'s' * (count > 1)}" for name, count in short.items()])
    single = "; nothing moves in a single frame, so metrics of motion have no value for it" * (1 in short.values())
    return [f"{len(short)} of {len(clips)} clips are shorter than the model's {duration} frames: {each}; only these "
            f"frames are read{single}"]


def is_grey(clips: Sequence[Clip], looked_at: int = 20) -> bool:
    """Return whether the first image of each of some clips, spread evenly, has no colour."""
    some = clips[::max(1, len(clips) // looked_at)]
    return all(np.ptp(read_image(numbered_images(clip.path)[0]), axis=2).max() == 0 for clip in some)


def resize(frames: np.ndarray, size: int) -> np.ndarray:
    """Return frames (T, H, W, ...) resized to (T, size, size, ...)."""
    if frames.shape[1:3] == (size, size):
        return frames
    return np.stack([resize_frame(frame, (size, size)) for frame in frames])


def choose_clips(classes: Sequence[str], duration: int, annotation_path: str | Path, video_path: str | Path,
                 subset: str = "testing", names: Sequence[str] | None = None, limit: int | None = None,
                 videos: Sequence[str | Path] | None = None, whole: bool = False, dataset: str = "kth",
                 rate: float | None = None, stride: int = 1) -> list[Clip]:
    """Return the clips that a user asks for, from the data set or cut from `videos`.

    Warns of clips that are left out, and of those with fewer frames than the model's, see `short_clips`. With a limit,
    prints how many clips of which classes it takes, see `limited`.
    classes: the classes of the model. duration: frames per clip of the model, and of a video unless `whole`, which
    makes one clip of a video. dataset: a name in DATASETS. rate: of videos, see `clips_of_videos`. stride: every
    stride-th frame of a clip is read. The other arguments are those of `find_clips`. Raises UserError if the data set
    has other classes than the model, or if no clip is left.
    """
    if videos and names:
        raise UserError("--clips names clips of the data set, but --video uses no data set; leave one of them out")
    if videos:
        clips, problems = clips_of_videos(videos, None if whole else duration, limit, rate, stride)
    else:
        labels, found, problems = find_clips(annotation_path, video_path, subset, names)
        if sorted(labels) != sorted(classes):
            raise UserError(f"{annotation_path} has the classes {', '.join(labels)}, but the checkpoint knows "
                            f"{', '.join(classes)}; give --annotation_path of data with these classes")
        clips, digests = [replace(clip, stride=stride) for clip in limited(found, limit, DATASETS[dataset])], {}
        for clip in clips:
            with suppress(UserError, OSError):  # reading the clip will tell
                digests[clip.name] = digest(clip.path)
        refuse_changed(digests, read_annotation(annotation_path), annotation_path)
    if limit:
        sources, counts = len({clip.video for clip in clips}), Counter(clip.label for clip in clips)
        of = (f"{counted(len(clips), 'clip')}, of {sources} of the {len(videos)} videos" if videos else
              f"{len(clips)} of {counted(len(found), 'clip')}: "
              + ", ".join(f"{count} {readable(label)}" for label, count in counts.items())
              + f", of {counted(sources, 'video')}")
        print(f"--limit {limit}: {of}")
    for problem in (*problems, *short_clips(clips, duration)):
        warnings.warn(problem, stacklevel=2)
    return clips


def groups_of(clips: Sequence[Clip], data_set: DataSet) -> dict[str, str]:
    """Return {name of a clip: "person 3", else "group g07", else its video}; clips of a group are not independent."""
    groups = {}
    for clip in clips:
        person, group = data_set.person_of(clip.name), clip.length is None and data_set.group_of(clip.name)
        groups[clip.name] = (f"person {person}" if person is not None else
                             f"group {group}" if group else f"video {clip.video.name}")
    return groups


def limited(clips: Sequence[Clip], limit: int | None, data_set: DataSet | None = None) -> list[Clip]:
    """Return `limit` of the clips, in their order; a larger limit takes the same clips and more.

    Classes take turns, in a class persons or groups (`groups_of`), and there videos. Of clips of video files, the
    videos take turns; these need no data_set.
    """
    groups = groups_of([clip for clip in clips if clip.length is None], data_set)

    def turns(part, *keys):
        queues = {}
        for clip in part:
            queues.setdefault(keys[0](clip), []).append(clip)
        ordered = [turns(queue, *keys[1:]) if keys[1:] else queue for queue in queues.values()]
        return [clip for row in zip_longest(*ordered) for clip in row if clip]

    keys = (lambda clip: clip.label), (lambda clip: groups.get(clip.name)), (lambda clip: clip.video)
    first = set(turns(clips, *keys)[:limit])
    return [clip for clip in clips if clip in first]


def labels_of(annotation_path: str | Path, videos: Sequence[str | Path] | None) -> list[str]:
    """Return the classes of the data set that is used; an empty list for `videos`, which have no data set."""
    return [] if videos or not Path(annotation_path).is_file() else read_annotation(annotation_path).labels
