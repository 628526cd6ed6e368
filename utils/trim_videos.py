"""Cut videos into clips of a fixed length in which somebody is to be seen.

    data/raw_dataset/kth_data/<class>/<video>.avi  ->  data/kth_trimmed/<class>/<video>_<range>.avi

Where a window lies does not depend on the class: it is in the middle of the frames of a range in which something moves
inside the picture. Ranges come from KTH's 00sequences.txt; without it they are found from motion.
"""

import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts
from data.files import read_json, sole_writer, write_json
from data.isolated import n_cores, run_isolated
from data.kth import read_sequences, sequence_name
from data.video import VIDEO_SUFFIXES, cv2, masks_path, read_masks, read_video, write_masks, write_video
from data.windows import find_motion, find_ranges, place_windows

RECORD = "trim.json"  # in the trimmed folder: the options, and where each clip starts
RECORD_INTERVAL = 2  # seconds between two writings of it


def cut(video, trimmed_path, options):
    """Cut one entry of `list_videos`; runs in a process of its own.

    Returns ({clip: its first frame in the video, 1-based}, [why a range was passed over]). ValueError where the video
    gives no clip.
    """
    n_frames, start, size = options["n_frames"], options["start"], tuple(options["size"])
    frames, fps = read_video(video["path"], size=size)  # (N, H, W, 3)
    masks = read_masks(masks_path(video["path"]))
    if masks is not None and len(masks) != len(frames):
        raise ValueError(f"it has {len(frames)} frames and its masks are for {len(masks)}")
    if len(frames) < n_frames + (start or 1) - 1:
        raise ValueError(f"it has {len(frames)} frames and {n_frames + (start or 1) - 1} are needed")
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])  # (N, H, W)
    moving = find_motion(grey)
    ranges = [(start, start + n_frames - 1)] if start else video["ranges"] or find_ranges(moving)
    if not ranges:
        raise ValueError("nothing moves in it; --start N cuts it all the same")
    clips, problems = {}, []
    for k, (first, last) in enumerate(ranges, start=1):
        if (first + last) / 2 > len(frames):
            problems.append(f"range {first}-{last} lies beyond the last frame, {len(frames)}")
            continue
        starts = place_windows(first, min(last, len(frames)), moving, n_frames, options["windows"])
        for w, begin in enumerate(starts, start=1):
            clip = f"{video['name']}_{k}" + (f"_{w}" if options["windows"] > 1 else "")
            path = trimmed_path / video["class"] / f"{clip}.avi"
            window = slice(begin, begin + n_frames)
            if masks is not None:  # before the clip: a clip that is there is complete
                resized = [cv2.resize(m.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) for m in masks[window]]
                write_masks(masks_path(path), resized)
            write_video(path, (frames if options["color"] else grey)[window], fps)
            clips[clip] = begin + 1
    if not clips:
        raise ValueError(problems[0])
    return clips, problems


def list_videos(raw_path, classes=None, sequences=None):
    """The videos in the class folders: [{"path", "key": class/file, "class", "bytes", "name": of its clips, "ranges"}].

    Ranges are None where they are to be found. Clips are named after the video; where several classes have a video of
    one name, after class and video. ValueError where there is no video.
    """
    help_text = "get KTH with utils/download_kth.py or make videos with utils/synthesize_kth.py"
    if not raw_path.is_dir():
        raise ValueError(f"no folder of videos at {raw_path}; {help_text}")
    folders = [folder for folder in sorted(raw_path.glob("[!.]*")) if folder.is_dir()]
    found = {
        folder.name: [path for path in sorted(folder.glob("[!.]*")) if path.suffix.lower() in VIDEO_SUFFIXES]
        for folder in folders
    }
    absent = sorted(set(classes or found) - set(found))
    if absent:
        raise ValueError(f"--classes {' '.join(absent)}: {raw_path} holds {', '.join(found) or 'no class folders'}")
    shared = Counter(stem for paths in found.values() for stem in {path.stem for path in paths})
    videos = []
    for name in dict.fromkeys(classes or found):
        for path in found[name]:
            stem = sequence_name(path.stem)
            clip = stem if shared[path.stem] == 1 else f"{name}_{stem}"
            videos.append({"path": path, "key": f"{name}/{path.name}", "class": name, "bytes": path.stat().st_size,
                           "name": clip, "ranges": (sequences or {}).get(stem)})  # fmt: skip
    if not videos:
        raise ValueError(f"no videos in the class folders of {raw_path} ({raw_path}/walking/ and so on); {help_text}")
    twice = [name for name, count in Counter(video["name"] for video in videos).items() if count > 1]
    if twice:
        raise ValueError(f"several videos in {raw_path} would give clips named {twice[0]}; rename one of them")
    return videos


def open_record(trimmed_path, options, overwrite):
    """What trim.json holds of complete videos: {"options", "videos": {class/file: {"bytes", "clips", "problems"}}}.

    With `overwrite` the clips are removed and the record is empty. ValueError where the folder was made with other
    options, or by something else.
    """
    path, fresh = trimmed_path / RECORD, {"options": options, "videos": {}}
    clips = [*trimmed_path.glob("*/*.avi"), *trimmed_path.glob("*/*.masks.npz")]
    if not path.is_file():
        if clips:
            raise ValueError(f"{trimmed_path} holds clips and no {RECORD}; move them or give another --trimmed_path")
        return fresh
    if overwrite:
        for clip in clips:
            clip.unlink()
        return fresh
    record = read_json(path)
    if not _is_record(record):
        raise ValueError(f"{path} is not a record of this script; start again with --overwrite")
    made_with = record["options"]
    for name, value in options.items():
        if made_with.get(name) != value:
            raise ValueError(
                f"{trimmed_path} was made with {name} {made_with.get(name)}, now it is {value}: give the same options, "
                "another --trimmed_path, or --overwrite"
            )
    return record


def _is_record(content):
    def has(part, **types):
        return isinstance(part, dict) and all(isinstance(part.get(name), kind) for name, kind in types.items())

    entry = {"bytes": int, "clips": dict, "problems": list}
    return has(content, options=dict, videos=dict) and all(has(part, **entry) for part in content["videos"].values())


def is_complete(video, record, trimmed_path):
    """Whether the record tells of this very file and its clips are all there."""
    entry = record["videos"].get(video["key"])
    if entry is None or entry["bytes"] != video["bytes"]:
        return False
    endings = (".avi", ".masks.npz") if masks_path(video["path"]).is_file() else (".avi",)
    return all((trimmed_path / video["class"] / (clip + end)).is_file() for clip in entry["clips"] for end in endings)


def trim_all(videos, trimmed_path, options, overwrite, workers, time_limit):
    """Cut the videos whose clips are not all there. Returns (entries of the record, keys kept, {key: error})."""
    with sole_writer(trimmed_path):
        record = open_record(trimmed_path, options, overwrite)
        write_json(trimmed_path / RECORD, record)
        entries = record["videos"]
        kept = {video["key"] for video in videos if is_complete(video, record, trimmed_path)}
        todo = [video for video in videos if video["key"] not in kept]
        work = partial(cut, trimmed_path=trimmed_path, options=options)
        errors, written = {}, time.monotonic()
        try:
            results = run_isolated(work, todo, workers, time_limit)
            for video, result, error in tqdm(results, total=len(todo), desc="trimming", unit="video", disable=None):
                if error:
                    errors[video["key"]] = error
                    continue
                clips, problems = result
                entries[video["key"]] = {"bytes": video["bytes"], "clips": clips, "problems": problems}
                if time.monotonic() - written > RECORD_INTERVAL:
                    write_json(trimmed_path / RECORD, record)
                    written = time.monotonic()
        finally:
            write_json(trimmed_path / RECORD, record | {"videos": dict(sorted(entries.items()))})
    return entries, kept, errors


def report(videos, entries, kept, errors):
    """Print what became of the videos, by class. ValueError where there is not one clip."""
    for video in videos:
        key = video["key"]
        for reason in [errors[key]] if key in errors else entries[key]["problems"]:
            opts.warn(f"{key}: {reason}")
    for name in sorted({video["class"] for video in videos}):
        keys = [video["key"] for video in videos if video["class"] == name]
        good = [key for key in keys if key not in errors]
        n_clips = {state: sum(len(entries[key]["clips"]) for key in good if (key in kept) == state) for state in (0, 1)}
        n_passed = sum(len(entries[key]["problems"]) for key in good)
        print(f"{name}: {len(keys)} videos, {n_clips[0]} clips written, {n_clips[1]} kept from before, "
              f"{len(keys) - len(good)} videos skipped, {n_passed} ranges passed over")  # fmt: skip
    if len(errors) == len(videos):
        key, error = next(iter(errors.items()))
        raise ValueError(f"none of the {len(videos)} videos gave a clip; {key}: {error}")


def trim(args):
    if args.start and args.windows > 1:
        raise ValueError(f"--start cuts one clip per video, --windows asks for {args.windows}; leave one of them out")
    beside = [folder / "00sequences.txt" for folder in (args.raw_path, args.raw_path.parent)]
    path = args.sequences or next((path for path in beside if path.is_file()), None)
    sequences = None if path is None or args.start or str(path) == "none" else read_sequences(path)
    videos = list_videos(args.raw_path, args.classes, sequences)
    options = {"n_frames": args.n_frames, "size": args.size, "color": args.color, "windows": args.windows,
               "start": args.start, "ranges": sequences is not None}  # fmt: skip
    report(videos, *trim_all(videos, args.trimmed_path, options, args.overwrite, args.workers, args.time_limit))
    if not args.start:
        n_unknown = sum(video["ranges"] is None for video in videos)
        print(f"ranges of {len(videos) - n_unknown} videos from {path}, of {n_unknown} videos found from motion")
    print(f"clips of {args.n_frames} frames are in {args.trimmed_path}; next: utils/generate_data.sh")


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
