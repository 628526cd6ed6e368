"""Make KTH-like videos of drawn people who walk and run, under KTH's names, with ranges and the person's masks.

    data/raw_dataset/kth_data/<action>/person11_walking_d1_uncomp.avi and .masks.npz, 00sequences.txt

A video depends on the seed, person, scenario and action alone, so any choice of them can be made later or elsewhere.
"""

import sys
import time
from functools import partial
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts
from data.files import read_json, sole_writer, whole_file, write_json
from data.isolated import n_cores, run_isolated
from data.kth import sequence_name
from data.synthetic import ACTIONS, EVIDENCE, SCENARIOS, evidence_span, synthesize
from data.video import VIDEO_SUFFIXES, cv2, masks_path, write_masks, write_video

RECORD = "synthetic.json"  # in the folder: the options, and of each video what it holds, or null until it is complete
SEQUENCES = "00sequences.txt"
PERSONS = (11, 12, 13, 14, 15, 16, 19, 20, 2, 3)  # training, validation and testing persons of the official split
RECORD_INTERVAL = 5  # seconds between two writings of the record
TIME_LIMIT = 600  # seconds for one video


def video_key(number, scenario, action):
    return f"{action}/person{number:02}_{action}_d{scenario}_uncomp.avi"


def make(video, output, options):
    """Write one video (person, scenario, action) and its masks. Returns its entry in the record."""
    frames, masks, ranges = synthesize(number=video[0], scenario=video[1], action=video[2], **options)
    path = output / video_key(*video)
    write_masks(masks_path(path), masks)
    write_video(path, frames)
    return {"bytes": path.stat().st_size, "frames": len(frames), "ranges": ranges}


def read_record(output):
    """What synthetic.json holds: {"options", "videos": {key: entry or None}}, nothing where there is no such file.

    ValueError where the folder holds videos or ranges that are not of this script's making.
    """
    path = output / RECORD
    record = read_json(path) if path.is_file() else {"options": {}, "videos": {}}
    if not isinstance(record, dict) or not all(isinstance(record.get(part), dict) for part in ("options", "videos")):
        raise ValueError(f"{path} is not a record of this script; remove it with the videos beside it")
    videos = [file.relative_to(output).as_posix() for file in sorted(output.glob("*/[!.]*"))
              if file.suffix.lower() in VIDEO_SUFFIXES]
    ranges = [] if path.is_file() or not (output / SEQUENCES).is_file() else [SEQUENCES]
    strangers = [key for key in videos + ranges if key not in record["videos"]]
    if strangers:
        raise ValueError(f"{output} holds {strangers[0]}, which this script did not make; give another --output")
    return record


def open_record(output, options, overwrite):
    """The record to go on with; with `overwrite` its videos are removed. ValueError for options unlike those before."""
    record = read_record(output)
    if overwrite:
        for key in record["videos"]:
            for path in (output / key, masks_path(output / key)):
                path.unlink(missing_ok=True)
    if overwrite or not record["videos"]:
        return {"options": options, "videos": {}}
    for name, value in options.items():
        before = record["options"].get(name)
        if before != value:
            raise ValueError(f"{output} was made with {name} {before}, now it is {value}: give the same options, "
                             "another --output, or --overwrite")
    return record


def is_complete(key, record, output):
    entry, path = record["videos"].get(key), output / key
    known = isinstance(entry, dict) and entry.keys() == {"bytes", "frames", "ranges"}
    return known and path.is_file() and path.stat().st_size == entry["bytes"] and masks_path(path).is_file()


def write_record(output, record):
    """Write synthetic.json, and the ranges of the complete videos as KTH does: from 1, last frame included."""
    record["videos"] = dict(sorted(record["videos"].items()))
    write_json(output / RECORD, record)
    lines = []
    for key, entry in record["videos"].items():
        if is_complete(key, record, output):
            ranges = ", ".join(f"{first}-{last}" for first, last in entry["ranges"])
            lines.append(f"{sequence_name(Path(key).stem)}\t\tframes\t{ranges}\n")
    with whole_file(output / SEQUENCES) as path:
        path.write_text("".join(lines), encoding="utf-8")


def make_all(videos, output, options, overwrite, workers):
    """Make the videos that are not complete. Returns (record, keys kept, {key: what went wrong})."""
    read_record(output)  # before anything is written there
    with sole_writer(output):
        record = open_record(output, options, overwrite)
        kept = {video_key(*video) for video in videos if is_complete(video_key(*video), record, output)}
        todo = [video for video in videos if video_key(*video) not in kept]
        record["videos"].update({video_key(*video): None for video in todo})
        write_record(output, record)  # videos of a run that is killed are known as ours
        errors, written = {}, time.monotonic()
        cv2.setNumThreads(1)  # the processes share the cores, and none may inherit threads that it does not have
        try:
            results = run_isolated(partial(make, output=output, options=options), todo, workers, TIME_LIMIT)
            for video, entry, error in tqdm(results, total=len(todo), desc="drawing", unit="video", disable=None):
                if error:
                    errors[video_key(*video)] = error
                    continue
                record["videos"][video_key(*video)] = entry
                if time.monotonic() - written > RECORD_INTERVAL:
                    write_record(output, record)
                    written = time.monotonic()
        finally:
            write_record(output, record)
    return record, kept, errors


def synthesize_all(args):
    numbers, scenarios = sorted(set(args.persons)), sorted(set(args.scenarios))
    if not 1 <= numbers[0] <= numbers[-1] <= 99:
        raise ValueError(f"--persons {' '.join(map(str, args.persons))}: KTH's names have room for persons 1 to 99")
    if args.seed < 0:
        raise ValueError(f"--seed {args.seed} was given; a seed is 0 or more")
    if args.evidence:
        evidence_span(args.n_frames, args.evidence)
    options = {"seed": args.seed, "passes": args.passes, "evidence": args.evidence,
               "n_frames": args.n_frames if args.evidence else None}
    videos = [(number, scenario, action) for number in numbers for scenario in scenarios for action in ACTIONS
              if action in args.actions]
    record, kept, errors = make_all(videos, args.output, options, args.overwrite, args.workers)
    for action in sorted(set(args.actions)):
        keys = [video_key(*video) for video in videos if video[2] == action and video_key(*video) not in errors]
        n_ranges = sum(len(record["videos"][key]["ranges"]) for key in keys)
        n_frames = sum(record["videos"][key]["frames"] for key in keys)
        n_kept = sum(key in kept for key in keys)
        print(f"{action}: {len(keys) - n_kept} videos made, {n_kept} kept from before; {n_ranges} passes, "
              f"{n_frames} frames")
    if errors:
        key, error = next(iter(errors.items()))
        raise OSError(f"{len(errors)} of {len(videos)} videos could not be made; {key}: {error}")
    print(f"videos, masks and {SEQUENCES} are in {args.output}; next: utils/trim_videos.py")


def build_parser():
    parser = opts.Parser(__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("data/raw_dataset/kth_data"), help="where the videos go")
    parser.add_argument("--persons", type=int, nargs="+", metavar="N", default=PERSONS, help="persons, 1 to 99")
    parser.add_argument("--scenarios", type=int, nargs="+", choices=tuple(SCENARIOS), default=tuple(SCENARIOS),
                        help="; ".join(f"{number}: {what}" for number, what in SCENARIOS.items()))
    parser.add_argument("--actions", nargs="+", choices=ACTIONS, default=ACTIONS, help="class folders to make")
    parser.add_argument("--passes", type=opts.positive_int, default=4, help="times through the picture per video")
    parser.add_argument("--evidence", choices=tuple(EVIDENCE),
                        help="make every range --n_frames long and the person visible in this third of it only")
    parser.add_argument("--n_frames", type=opts.positive_int, default=30, help="frames of a range, with --evidence")
    parser.add_argument("--seed", type=int, default=1, help="other persons, places and passes")
    parser.add_argument("--workers", type=int, default=n_cores(), help="processes at once; 0: none, to debug")
    parser.add_argument("--overwrite", action="store_true", help="remove the videos made before and start again")
    return parser


def main(argv=None):
    return opts.run(build_parser(), synthesize_all, argv)


if __name__ == "__main__":
    main()
