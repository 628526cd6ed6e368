"""Cut videos into clips of a fixed length that show a person.

    data/raw_dataset/kth_data/<class>/<video>.avi  ->  data/kth_trimmed/<class>/<video>_<range>.avi
                                                       data/kth_trimmed/_passage_<class>/<video>_<range>_passage.avi
                                                       data/kth_trimmed/_empty/<video>_empty_<gap>.avi

A clip lies in the middle of those frames of a range in which something moves inside the picture. Its position does not
depend on the class. The ranges come from KTH's 00sequences.txt; without this file they are found from motion.

Two more kinds of clips serve training only. A passage is a whole range with --context frames before and after it, so
that training can put the person anywhere in time. An empty clip is a gap between the ranges, without anybody. It
teaches the model that an empty scene is no evidence for any class. A short gap runs forwards and backwards.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts

# isort: split
import cv2
import numpy as np

from data import video, windows
from data.datasets import DATASETS
from data.datasets.base import DataSet
from data.datasets.extra import EMPTY, passage_folder
from data.windows import find_gaps, loop_frames, passage_with_context
from runtime.errors import UserError
from runtime.files import index_by_name, sole_writer
from runtime.recipe import file_digest
from runtime.sentences import first_names
from utils.batch import Record, add_work_options, list_videos, read_record, warn_of_others, work_through

RECORD = "trim.json"  # in the trimmed folder: the options, and an entry per video
FIELDS = {"clips": dict, "problems": list}
GAP_MARGIN = 1  # frames beside a range of the range file that a gap leaves out
FOUND_MARGIN = 10  # the same beside a range found from motion, which ends before the person has left the picture
Ranges = list[tuple[int, int]]  # (first, last) frames, 1-based and inclusive


def cut(key: str, videos: dict[str, tuple[str, Ranges | None]], raw_path: Path, trimmed_path: Path,
        options: dict[str, Any]) -> dict[str, Any]:
    """Cut the video `key` into clips; videos: the result of `find_videos`.

    Returns the entry in the record: {"digest": of the video file, "ranges": those of the file of ranges or None, "fps":
    frames per second, "clips": {clip: its first frame in the video, 1-based}, "problems": [what is wrong]}, with
    "passages" and "empty" of `cut_extra`. Raises UserError if the video gives no clip.
    """
    name, ranges = videos[key]
    n_frames, label, size = options["n_frames"], Path(key).parent.name, tuple(options["size"])
    frames, places, masks = read(raw_path / key, options)
    moving = windows.find_motion(frames)
    if options["start"]:
        ranges = [(options["start"], places[-1] + 1)]
    spans, problems = spans_of(ranges, places) if ranges else (dict(enumerate(windows.find_ranges(moving), 1)), [])
    if options["start"]:
        spans = {k: (first, first + n_frames - 1) for k, (first, _) in spans.items()}
    needed = spans[1][1] if options["start"] and spans else n_frames
    if len(frames) < needed:
        raise UserError(f"it has {len(frames)} frames, but {needed} are needed")
    if not spans:
        raise UserError(*problems[:1] or ["nothing moves in it; cut it at a fixed frame with --start"])
    write, clips = partial(video.write_video, fps=options["frame_rate"]), {}
    for k, (first, last) in spans.items():
        for w, begin in enumerate(windows.place_windows(first, last, moving, n_frames, options["windows"]), start=1):
            clip = f"{name}_{k}_{w}" if options["windows"] > 1 else f"{name}_{k}"
            path = trimmed_path / label / f"{clip}.avi"
            window = slice(begin, begin + n_frames)
            if not windows.shows_motion(frames[window]):
                problems.append(f"nothing moves in the clip {clip}")
            if masks is not None:  # write the masks first, so that a clip that exists always has its masks
                video.write_masks(video.masks_path(path), [video.resize_mask(mask, size) for mask in masks[window]])
            write(path, frames[window])
            clips[clip] = places[begin] + 1
    entry = {"digest": file_digest(raw_path / key), "ranges": videos[key][1], "fps": options["frame_rate"],
             "clips": clips, "problems": problems, "passages": {}, "empty": {}}
    if options["context"]:
        margin = GAP_MARGIN if ranges else FOUND_MARGIN
        passages, empty = cut_extra(name, label, spans, margin, frames, trimmed_path, options, write)
        entry |= {"passages": passages, "empty": {clip: places[first - 1] + 1 for clip, first in empty.items()}}
    return entry


def read(path: Path, options: dict[str, Any]) -> tuple[np.ndarray, list[int], np.ndarray | None]:
    """Return the frames of a video at the rate of the data set, (N, H, W[, 3]), their indices in it, and masks."""
    places, size = [], tuple(options["size"])

    def noted() -> Iterator[np.ndarray]:
        for place, frame in video.at_rate(video.timed_frames(path, size), options["frame_rate"]):
            places.append(place)
            yield frame if options["color"] else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)

    frames, masks = video.stack(noted(), path), video.read_masks(video.masks_path(path))
    if masks is not None and len(masks) <= places[-1]:
        raise UserError(f"the video has {places[-1] + 1} frames, but masks of {len(masks)}; make both again")
    return frames, places, None if masks is None else masks[places]


def spans_of(ranges: Ranges, places: Sequence[int]) -> tuple[dict[int, tuple[int, int]], list[str]]:
    """Return ({number: range in the frames that are read}, problems) of ranges in the frames of the file, 1-based.

    places (N,): the index in the file of each frame that is read. A range beyond the last frame is left out.
    """
    spans, problems = {}, []
    for number, (first, last) in enumerate(ranges, start=1):
        if (first + last) / 2 > places[-1] + 1:
            problems.append(f"range {first}-{last} lies beyond the last frame, {places[-1] + 1}")
        else:
            begin = int(np.searchsorted(places, first - 1)) + 1
            spans[number] = begin, max(begin, int(np.searchsorted(places, last - 1, "right")))
    return spans, problems


def cut_extra(name: str, label: str, spans: dict[int, tuple[int, int]], margin: int, frames: np.ndarray,
              trimmed_path: Path, options: dict[str, Any],
              write: Callable[[Path, np.ndarray], None]) -> tuple[dict, dict]:
    """Write the passages and the empty clips of a video, frames (N, H, W[, 3]); spans: {number: range}, 1-based.

    Returns ({passage: [first, last] frames that show the person, 1-based in the passage}, {empty clip: its first frame,
    1-based}).
    """
    passages, empty = {}, {}
    for k, (first, last) in enumerate(spans.values(), start=1):
        begin, end = passage_with_context(first, last, len(frames), options["context"])
        passage = f"{name}_{k}_passage"
        write(trimmed_path / passage_folder(label) / f"{passage}.avi", frames[begin - 1:end])
        passages[passage] = [first - begin + 1, last - begin + 1]
    for k, (first, last) in enumerate(find_gaps(list(spans.values()), len(frames), margin), start=1):
        write(trimmed_path / EMPTY / f"{name}_empty_{k}.avi", frames[loop_frames(first, last, options["n_frames"])])
        empty[f"{name}_empty_{k}"] = first
    return passages, empty


def find_videos(raw_path: Path, classes: Sequence[str] | None, sequences: dict[str, Ranges],
                dataset: DataSet) -> dict[str, tuple[str, Ranges | None]]:
    """Return {class/file: (name for its clips, its ranges or None if they must be found)} of the videos to cut.

    classes: only these class folders. sequences: {name of a video: ranges}. Clips are named after the video, or after
    class and video if several videos have the same name. Raises ValueError if there is no video.
    """
    keys = list_videos(raw_path)
    if not keys and any(path.suffix.lower() in video.VIDEO_SUFFIXES for path in raw_path.glob("[!.]*")):
        raise UserError(f"the videos lie in {raw_path} itself, not in class folders; if it is one class, give the "
                        "folder above it")
    if not keys:
        raise UserError(f"no videos in the class folders of {raw_path} ({raw_path}/walking/ ...); check --raw_path, "
                        "get KTH with utils/download_kth.py, or make videos with utils/synthesize_kth.py")
    folders = sorted({key.split("/")[0] for key in keys})
    absent = sorted(set(classes or []) - set(folders))
    if absent:
        raise UserError(f"--classes {' '.join(absent)}: {raw_path} holds {', '.join(folders)}; give names of these")
    stems = {key: dataset.sequence_name(Path(key).stem) for key in keys}
    count = Counter(stems.values())
    names = {key: stem if count[stem] == 1 else f"{Path(key).parent}_{stem}" for key, stem in stems.items()}
    index_by_name((name, key) for key, name in names.items())  # raises ValueError if two names are equal
    return {key: (names[key], sequences.get(stems[key])) for key in keys if key.split("/")[0] in (classes or folders)}


def usual_rate(raw_path: Path, keys: Iterable[str], record_path: Path) -> float:
    """Return the frame rate of the clips made before, or that of most of the videos; print how many have another."""
    rates = Counter()
    for key in keys:
        with suppress(UserError):  # cutting the video tells what is wrong
            rates[video.frame_rate(raw_path / key)] += 1
    before = (read_record(record_path, FIELDS) or {"options": {}})["options"].get("frame_rate")
    rate = before or (rates.most_common(1)[0][0] if rates else video.KTH_FPS)
    if other := sum(count for found, count in rates.items() if abs(found - rate) > 0.01 * rate):
        print(f"{other} of {rates.total()} videos have another frame rate; of these, the frame nearest to each time is "
              f"taken, at {rate:g} frames per second")
    return rate


def is_complete(key: str, entry: dict[str, Any] | None, ranges: Ranges | None, raw_path: Path,
                trimmed_path: Path) -> bool:
    """Return whether the entry in the record belongs to the video file and the ranges of now, and all its clips exist.

    Warns if the video or its ranges have changed.
    """
    path = raw_path / key
    if entry is None:
        return False
    if (entry.get("digest"), entry.get("ranges")) != (file_digest(path), ranges and [list(span) for span in ranges]):
        opts.warn(f"{key} is another file or has other ranges than before, so it is cut again")
        return False
    suffixes = (".avi", ".masks.npz") if video.masks_path(path).is_file() else (".avi",)
    label = Path(key).parent.name
    wanted = [f"{label}/{clip}{suffix}" for clip in entry["clips"] for suffix in suffixes]
    wanted += [f"{passage_folder(label)}/{clip}.avi" for clip in entry.get("passages", ())]
    wanted += [f"{EMPTY}/{clip}.avi" for clip in entry.get("empty", ())]
    return all((trimmed_path / file).is_file() for file in wanted)


def work(args: argparse.Namespace) -> None:
    """Cut all videos whose clips are not complete yet."""
    if args.start and args.windows > 1:
        raise UserError(f"--start cuts one clip per video, but --windows asks for {args.windows}; leave one of them "
                        "out")
    dataset = DATASETS[args.dataset]
    args.color = dataset.color if args.color is None else args.color
    usual_places = [folder / "00sequences.txt" for folder in (args.raw_path, args.raw_path.parent)]
    path = args.sequences or next((place for place in usual_places if place.is_file()), Path("none"))
    sequences = {} if args.start or str(path) == "none" else dataset.read_ranges(path)
    videos = find_videos(args.raw_path, args.classes, sequences, dataset)
    warn_of_others(args.raw_path)
    rate = args.fps or usual_rate(args.raw_path, videos, args.trimmed_path / RECORD)
    options = {"frame_rate": rate, "n_frames": args.n_frames, "size": args.size, "color": args.color,
               "windows": args.windows, "start": args.start, "ranges": bool(sequences),
               "context": 0 if args.start else args.context}
    places = {"raw_path": args.raw_path, "trimmed_path": args.trimmed_path}
    with sole_writer(args.trimmed_path):
        record = Record(args.trimmed_path / RECORD, options, FIELDS, args.overwrite)
        gone = sorted(record.videos.keys() - set(list_videos(args.raw_path)))
        if gone:
            opts.warn(f"{len(gone)} videos that were cut before are no longer in {args.raw_path}, so their clips are "
                      f"stale and no longer annotated: {first_names(gone)}")
        for key in gone:
            del record.videos[key]
        record.update({})  # if this run is killed, the next one knows its clips
        kept = {key for key, (_, ranges) in videos.items()
                if is_complete(key, record.videos.get(key), ranges, **places)}
        work_through(videos, kept, partial(cut, videos=videos, options=options, **places), args, "videos", "trimmed",
                     record)
    made = {key: record.videos[key] for key in videos if record.videos.get(key)}
    for key, entry in made.items():
        for problem in entry["problems"]:
            opts.warn(f"{key}: {problem}")
    n_found = sum(ranges is None for _, ranges in videos.values())
    if not args.start:
        known = f"of {len(videos) - n_found} videos from {path}, " if sequences else ""
        print(f"ranges {known}of {n_found} videos found from motion")
    counts = {kind: sum(len(entry.get(kind, ())) for entry in made.values())
              for kind in ("clips", "passages", "empty")}
    print(f"{counts['clips']} clips of {args.n_frames} frames, and for training {counts['passages']} passages and "
          f"{counts['empty']} empty clips are in {args.trimmed_path}; next: utils/generate_data.sh")


def build_parser() -> opts.Parser:
    parser = opts.Parser(__doc__.splitlines()[0])
    opts.add_dataset(parser, "raw_path", "trimmed_path")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="only these class folders")
    parser.add_argument("--sequences", type=Path, metavar="FILE",
                        help="file of frame ranges, or 'none' to find the ranges from motion (default: 00sequences.txt "
                             "in --raw_path or in its parent folder, if there is one)")
    parser.add_argument("--n_frames", type=opts.positive_int, default=30, help="frames per clip")
    parser.add_argument("--size", type=opts.positive_int, nargs=2, default=[120, 120], metavar=("WIDTH", "HEIGHT"),
                        help="size of the clips in pixels")
    parser.add_argument("--fps", type=opts.frame_rate, metavar="RATE", help="frames per second of all clips (default: "
                        "that of most videos); of other videos, the frame nearest to each time is taken")
    parser.add_argument("--windows", type=opts.positive_int, default=1, help="clips per range")
    parser.add_argument("--start", type=opts.positive_int,
                        help="cut one clip per video, which starts at this frame (1 is the first)")
    parser.add_argument("--context", type=opts.whole_number, default=22, metavar="FRAMES",
                        help="frames before and after each range in the passages for training; 0 writes neither "
                             "passages nor empty clips")
    parser.add_argument("--color", action="store_true", default=None,
                        help="write colour clips (default for class folders)")
    parser.add_argument("--grey", action="store_false", dest="color", default=None,
                        help="write grey clips (default for kth)")
    add_work_options(parser, "remove all clips in --trimmed_path and cut all videos again")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
