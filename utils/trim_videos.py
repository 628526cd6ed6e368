"""Cut videos into clips of a fixed length in which somebody is to be seen.

    data/raw_dataset/kth_data/<class>/<video>.avi  ->  data/kth_trimmed/<class>/<video>_<range>.avi

Where a window lies does not depend on the class: it is in the middle of the frames of a range in which something moves
inside the picture. Ranges come from KTH's 00sequences.txt; without it they are found from motion.
"""

import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts
from data.files import sole_writer, write_json
from data.isolated import n_cores
from data.kth import read_sequences, sequence_name
from data.video import VIDEO_SUFFIXES, cv2, masks_path, read_masks, read_video, write_masks, write_video
from data.windows import find_motion, find_ranges, place_windows
from utils.batch import open_record, work_through, write_entry

RECORD = "trim.json"  # in the trimmed folder: the options, and of each video its size and where each clip starts
FIELDS = {"bytes": int, "clips": dict, "problems": list}


def cut(key, videos, raw_path, trimmed_path, options):
    """Cut one of the videos of `list_videos`; runs in a process of its own.

    Returns its entry in the record: {"bytes": its size, "clips": {clip: its first frame in the video, 1-based},
    "problems": [why a range was passed over]}. ValueError where the video gives no clip.
    """
    name, ranges = videos[key]
    n_frames, start, size = options["n_frames"], options["start"], tuple(options["size"])
    frames, fps = read_video(raw_path / key, size=size)  # (N, H, W, 3)
    masks = read_masks(masks_path(raw_path / key))
    if masks is not None and len(masks) != len(frames):
        raise ValueError(f"it has {len(frames)} frames and its masks are for {len(masks)}")
    if len(frames) < n_frames + (start or 1) - 1:
        raise ValueError(f"it has {len(frames)} frames and {n_frames + (start or 1) - 1} are needed")
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])  # (N, H, W)
    moving = find_motion(grey)
    ranges = [(start, start + n_frames - 1)] if start else ranges or find_ranges(moving)
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
                resized = [cv2.resize(m.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) for m in masks[window]]
                write_masks(masks_path(path), resized)
            write_video(path, (frames if options["color"] else grey)[window], fps)
            entry["clips"][clip] = begin + 1
    if not entry["clips"]:
        raise ValueError(entry["problems"][0])
    return entry


def list_videos(raw_path, classes=None, sequences=None):
    """The videos in the class folders, {class/file: (name of its clips, ranges or None where they are to be found)}.

    Clips are named after the video; where several videos have one name, after class and video. ValueError where there
    is no video.
    """
    folders = [folder.name for folder in sorted(raw_path.glob("[!.]*")) if folder.is_dir()]
    absent = sorted(set(classes or []) - set(folders))
    if folders and absent:
        raise ValueError(f"--classes {' '.join(absent)}: {raw_path} holds {', '.join(folders)}")
    paths = [path for path in sorted(raw_path.glob("[!.]*/[!.]*")) if path.suffix.lower() in VIDEO_SUFFIXES]
    names = Counter(path.stem for path in paths)
    videos = {}
    for path in paths:
        if path.parent.name in (classes or folders):
            stem = sequence_name(path.stem)
            clip = stem if names[path.stem] == 1 else f"{path.parent.name}_{stem}"
            videos[f"{path.parent.name}/{path.name}"] = clip, (sequences or {}).get(stem)
    if not videos:
        raise ValueError(f"no videos in the class folders of {raw_path} ({raw_path}/walking/ ...); get KTH with "
                         "utils/download_kth.py or make videos with utils/synthesize_kth.py")
    clip, count = Counter(name for name, _ in videos.values()).most_common(1)[0]
    if count > 1:
        raise ValueError(f"several videos in {raw_path} would give clips named {clip}; rename one of them")
    return videos


def is_complete(key, entry, raw_path, trimmed_path):
    """Whether the record's entry tells of this very file and its clips are all there."""
    path = raw_path / key
    endings = (".avi", ".masks.npz") if masks_path(path).is_file() else (".avi",)
    return entry and entry["bytes"] == path.stat().st_size and all(
        (trimmed_path / Path(key).parent / (clip + end)).is_file() for clip in entry["clips"] for end in endings
    )


def trim(args):
    if args.start and args.windows > 1:
        raise ValueError(f"--start cuts one clip per video, --windows asks for {args.windows}; leave one of them out")
    beside = [folder / "00sequences.txt" for folder in (args.raw_path, args.raw_path.parent)]
    path = args.sequences or next((path for path in beside if path.is_file()), None)
    sequences = None if path is None or args.start or str(path) == "none" else read_sequences(path)
    videos = list_videos(args.raw_path, args.classes, sequences)
    options = {"n_frames": args.n_frames, "size": args.size, "color": args.color, "windows": args.windows,
               "start": args.start, "ranges": sequences is not None}  # fmt: skip
    places = {"raw_path": args.raw_path, "trimmed_path": args.trimmed_path}
    with sole_writer(args.trimmed_path):
        record_path = args.trimmed_path / RECORD
        record = open_record(record_path, options, FIELDS, args.overwrite)
        write_json(record_path, record)
        entries = record["videos"]
        kept = {key for key in videos if is_complete(key, entries.get(key), **places)}
        work_through(list(videos), kept, partial(cut, videos=videos, options=options, **places), args.workers,
                     args.time_limit, "trimmed", partial(write_entry, record_path, record))
    made = {key: entries[key] for key in videos if key in entries}
    for key, entry in made.items():
        for problem in entry["problems"]:
            opts.warn(f"{key}: {problem}")
    if not args.start:
        n_unknown = sum(ranges is None for _, ranges in videos.values())
        print(f"ranges of {len(videos) - n_unknown} videos from {path}, of {n_unknown} videos found from motion")
    print(f"{sum(len(entry['clips']) for entry in made.values())} clips of {args.n_frames} frames are in "
          f"{args.trimmed_path}; next: utils/generate_data.sh")


def build_parser():
    parser = opts.Parser(__doc__.split("\n")[0])
    parser.add_argument("--raw_path", type=Path, default=Path("data/raw_dataset/kth_data"), help="class folders")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="only these class folders")
    parser.add_argument("--sequences", type=Path, metavar="FILE",
                        help="ranges, 'none' to find them from motion; 00sequences.txt in --raw_path or beside it")
    parser.add_argument("--trimmed_path", type=Path, default=Path("data/kth_trimmed"), help="where the clips go")
    parser.add_argument("--n_frames", type=opts.positive_int, default=30, help="frames of a clip")
    parser.add_argument("--size", type=opts.positive_int, nargs=2, default=[120, 120], metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--windows", type=opts.positive_int, default=1, help="clips per range")
    parser.add_argument("--start", type=opts.positive_int, help="one clip per video, from this frame on (1: the first)")
    parser.add_argument("--color", action="store_true", help="keep the colour")
    parser.add_argument("--workers", type=int, default=n_cores(), help="processes at once; 0: none, to debug")
    parser.add_argument("--time_limit", type=opts.not_negative, default=300.0, help="seconds a video may take")
    parser.add_argument("--overwrite", action="store_true", help="remove the clips of --trimmed_path and cut all again")
    return parser


def main(argv=None):
    return opts.run(build_parser(), trim, argv)


if __name__ == "__main__":
    main()
