"""Make KTH-like videos of drawn people who walk and run, with KTH's names, frame ranges and person masks.

    data/raw_dataset/kth_data/<action>/person11_walking_d1_uncomp.avi and .masks.npz, 00sequences.txt

A video depends only on the seed, person, scenario and action, so videos that are made separately agree.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts

# isort: split
import cv2

from data.datasets.kth import parse_name, sequence_name
from data.synthetic.people import ACTIONS, EVIDENCE, SCENARIOS, evidence_span, synthesize
from data.video import masks_path, write_masks, write_video
from runtime.errors import UserError
from runtime.files import sole_writer, whole_file
from utils.batch import Record, add_work_options, work_through

RECORD = "synthetic.json"  # in the output folder: the options, and an entry per video, null until it is complete
SEQUENCES = "00sequences.txt"
PERSONS = (11, 12, 13, 14, 15, 16, 19, 20, 2, 3)  # training, validation and testing persons of the official split


def make(key: str, output: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Write the video `key` (class/file) and its masks. Returns its entry in the record: {"bytes", "ranges"}."""
    number, action, scenario = parse_name(Path(key).name)
    frames, masks, ranges = synthesize(number=number, scenario=int(scenario[1:]), action=action, **options)
    write_masks(masks_path(output / key), masks)
    write_video(output / key, frames)
    return {"bytes": (output / key).stat().st_size, "ranges": ranges}


def is_complete(path: Path, entry: dict[str, Any] | None) -> bool:
    """Return whether the video at `path` and its masks are as the entry in the record says."""
    if entry is None or not path.is_file() or not masks_path(path).is_file():
        return False
    return path.stat().st_size == entry["bytes"]


def work(args: argparse.Namespace) -> None:
    """Draw all videos that are not complete yet, and write the file of ranges."""
    if not 1 <= min(args.persons) <= max(args.persons) <= 99:
        raise UserError(f"--persons {' '.join(map(str, args.persons))}: KTH's names have room for persons 1 to 99; "
                        "give numbers in this range")
    if args.evidence:
        evidence_span(args.n_frames, args.evidence)
    options = {"seed": args.seed, "passes": args.passes, "evidence": args.evidence,
               "n_frames": args.n_frames if args.evidence else None}
    keys = [f"{action}/person{number:02}_{action}_d{scenario}_uncomp.avi" for number in sorted(set(args.persons))
            for scenario in sorted(set(args.scenarios)) for action in sorted(set(args.actions))]
    cv2.setNumThreads(1)  # the processes share the cores, and a forked process has none of its parent's threads
    with sole_writer(args.output):
        record = Record(args.output / RECORD, options, {"bytes": int, "ranges": list}, args.overwrite,
                        keys_are_files=True)
        kept = {key for key in keys if is_complete(args.output / key, record.videos.get(key))}
        record.update(dict.fromkeys(set(keys) - kept))  # if this run is killed, the next one knows its videos
        work_through(keys, kept, partial(make, output=args.output, options=options), args, "videos", "drawn", record)
        with whole_file(args.output / SEQUENCES) as sequences, sequences.open("w", encoding="utf-8") as file:
            for key, entry in sorted(record.videos.items()):
                ranges = ", ".join(f"{first}-{last}" for first, last in entry["ranges"]) if entry else "*missing*"
                file.write(f"{sequence_name(Path(key).stem)}\t\tframes\t{ranges}\n")
    print(f"videos, masks and {SEQUENCES} are in {args.output}; next: utils/trim_videos.py")


def build_parser() -> opts.Parser:
    parser = opts.Parser(__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("data/raw_dataset/kth_data"), help="folder for the videos")
    parser.add_argument("--persons", type=int, nargs="+", metavar="N", default=PERSONS,
                        help="numbers of the persons, 1 to 99")
    parser.add_argument("--scenarios", type=int, nargs="+", choices=tuple(SCENARIOS), default=tuple(SCENARIOS),
                        help="; ".join(f"{number}: {description}" for number, description in SCENARIOS.items()))
    parser.add_argument("--actions", nargs="+", choices=ACTIONS, default=ACTIONS, help="actions to draw")
    parser.add_argument("--passes", type=opts.positive_int, default=4,
                        help="how often the person crosses the picture in a video")
    parser.add_argument("--evidence", choices=tuple(EVIDENCE),
                        help="make ranges of --n_frames frames and show the person only in this third of a range")
    parser.add_argument("--n_frames", type=opts.positive_int, default=30, help="frames per range, used with --evidence")
    parser.add_argument("--seed", type=opts.whole_number, default=1, help="seed of persons, backgrounds and passes")
    add_work_options(parser, "remove the videos made before and start again")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
