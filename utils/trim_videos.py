"""Cut videos into clips of a fixed length in which somebody is to be seen.

    data/raw_dataset/kth_data/<class>/<video>.avi  ->  data/kth_trimmed/<class>/<video>_<range>.avi

Where a window lies does not depend on the class: it is in the middle of the frames of a range in which something moves
inside the picture. Ranges come from KTH's 00sequences.txt; without it they are found from motion.
"""

import sys
from collections import Counter
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts

# isort: split
import cv2
import numpy as np

from data.datasets import DATASETS
from data.video import masks_path, read_masks, read_video, resize_mask, write_masks, write_video
from data.windows import find_motion, find_ranges, place_windows
from runtime.files import by_name, sole_writer
from utils.batch import Record, add_work_options, list_videos, work_through

RECORD = "trim.json"  # in the trimmed folder: the options, and of each video its size and where each clip starts
FIELDS = {"bytes": int, "clips": dict, "problems": list}


def cut(key, videos, raw_path, trimmed_path, options):
    """Cut one of the videos of `find_videos`; runs in a process of its own.

    Returns its entry in the record: {"bytes": its size, "clips": {clip: its first frame in the video, 1-based},
    "problems": [why a range was passed over]}. ValueError where the video gives no clip.
    """
    name, ranges = videos[key]
    n_frames, start, size = options["n_frames"], options["start"], tuple(options["size"])
    frames, fps = read_video(raw_path / key, size=size)  # (N, H, W, 3)
    masks = read_masks(masks_path(raw_path / key), len(frames))
    needed = n_frames + (start or 1) - 1
    if len(frames) < needed:
        raise ValueError(f"it has {len(frames)} frames and {needed} are needed")
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])  # (N, H, W)
    moving = find_motion(grey)
    ranges = [(start, needed)] if start else ranges or find_ranges(moving)
    if not ranges:
        raise ValueError("nothing moves in it; --start N cuts it all the same")
    entry = {"bytes": (raw_path / key).stat().st_size, "clips": {}, "problems": []}
    for k, (first, last) in enumerate(ranges, start=1):
        if (first + last) / 2 > len(frames):
            entry["problems"].append(f"range {first}-{last} lies beyond the last frame, {len(frames)}")
            continue
        starts = place_windows(first, min(last, len(frames)), moving, n_frames, options["windows"])
        for w, begin in enumerate(starts, start=1):
            clip = f"{name}_{k}" + (f"_{w}" if options["windows"] > 1 else "")
            path = trimmed_path / Path(key).parent / f"{clip}.avi"
            window = slice(begin, begin + n_frames)
            if masks is not None:  # before the clip: a clip that is there is complete
                write_masks(masks_path(path), [resize_mask(mask, size) for mask in masks[window]])
            write_video(path, (frames if options["color"] else grey)[window], fps)
            entry["clips"][clip] = begin + 1
    if not entry["clips"]:
        raise ValueError(entry["problems"][0])
    return entry


def find_videos(raw_path, classes, sequences, dataset):
    """The videos in the class folders, {class/file: (name of its clips, ranges or None where they are to be found)}.

    Clips are named after the video; where several videos have one name, after class and video. ValueError where there
    is no video.
    """
    keys = list_videos(raw_path)
    if not keys:
        raise ValueError(f"no videos in the class folders of {raw_path} ({raw_path}/walking/ ...); get KTH with "
                         "utils/download_kth.py or make videos with utils/synthesize_kth.py")
    folders = sorted({key.split("/")[0] for key in keys})
    absent = sorted(set(classes or []) - set(folders))
    if absent:
        raise ValueError(f"--classes {' '.join(absent)}: {raw_path} holds {', '.join(folders)}")
    stems = {key: dataset.sequence_name(Path(key).stem) for key in keys}
    count = Counter(stems.values())
    names = {key: stem if count[stem] == 1 else f"{Path(key).parent}_{stem}" for key, stem in stems.items()}
    by_name((name, key) for key, name in names.items())
    return {key: (names[key], sequences.get(stems[key])) for key in keys if key.split("/")[0] in (classes or folders)}


def is_complete(key, entry, raw_path, trimmed_path):
    """Whether the record's entry tells of this very file and its clips are all there."""
    path = raw_path / key
    endings = (".avi", ".masks.npz") if masks_path(path).is_file() else (".avi",)
    return entry and entry["bytes"] == path.stat().st_size and all(
        (trimmed_path / Path(key).parent / (clip + end)).is_file() for clip in entry["clips"] for end in endings
    )


def work(args):
    if args.start and args.windows > 1:
        raise ValueError(f"--start cuts one clip per video, --windows asks for {args.windows}; leave one of them out")
    dataset = DATASETS[args.dataset]
    beside = [folder / "00sequences.txt" for folder in (args.raw_path, args.raw_path.parent)]
    path = args.sequences or next((path for path in beside if path.is_file()), Path("none"))
    sequences = {} if args.start or str(path) == "none" else dataset.read_ranges(path)
    videos = find_videos(args.raw_path, args.classes, sequences, dataset)
    options = {"n_frames": args.n_frames, "size": args.size, "color": args.color, "windows": args.windows,
               "start": args.start, "ranges": bool(sequences)}  # fmt: skip
    places = {"raw_path": args.raw_path, "trimmed_path": args.trimmed_path}
    with sole_writer(args.trimmed_path):
        record = Record(args.trimmed_path / RECORD, options, FIELDS, args.overwrite)
        record.update({})  # clips of a run that is killed are known as ours
        kept = {key for key in videos if is_complete(key, record.videos.get(key), **places)}
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
    print(f"{sum(len(entry['clips']) for entry in made.values())} clips of {args.n_frames} frames are in "
          f"{args.trimmed_path}; next: utils/generate_data.sh")


def build_parser():
    parser = opts.Parser(__doc__.split("\n")[0])
    opts.add_dataset(parser, "raw_path", "trimmed_path")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="only these class folders")
    parser.add_argument("--sequences", type=Path, metavar="FILE",
                        help="ranges, 'none' to find them from motion; 00sequences.txt in --raw_path or beside it")
    parser.add_argument("--n_frames", type=opts.positive_int, default=30, help="frames of a clip")
    parser.add_argument("--size", type=opts.positive_int, nargs=2, default=[120, 120], metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--windows", type=opts.positive_int, default=1, help="clips per range")
    parser.add_argument("--start", type=opts.positive_int, help="one clip per video, from this frame on (1: the first)")
    parser.add_argument("--color", action="store_true", help="keep the colour")
    add_work_options(parser, "remove the clips of --trimmed_path and cut all again")
    return parser


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
