"""Make KTH-like videos of drawn people who walk and run, under KTH's names, with ranges and the person's masks.

    data/raw_dataset/kth_data/<action>/person11_walking_d1_uncomp.avi and .masks.npz, 00sequences.txt

A video depends on the seed, person, scenario and action alone, so any choice of them can be made later or elsewhere.
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts

# isort: split
import cv2

from data.datasets.kth import parse_name, sequence_name
from data.synthetic.people import ACTIONS, EVIDENCE, SCENARIOS, evidence_span, synthesize
from data.video import masks_path, write_masks, write_video
from runtime.files import sole_writer, whole_file
from utils.batch import Record, add_work_options, work_through

RECORD = "synthetic.json"  # in the folder: the options, and of each video what it holds, or null until it is complete
SEQUENCES = "00sequences.txt"
PERSONS = (11, 12, 13, 14, 15, 16, 19, 20, 2, 3)  # training, validation and testing persons of the official split


def make(key, output, options):
    """Write the video `key` and its masks. Returns its entry in the record."""
    number, action, scenario = parse_name(Path(key).name)
    frames, masks, ranges = synthesize(number=number, scenario=int(scenario[1:]), action=action, **options)
    write_masks(masks_path(output / key), masks)
    write_video(output / key, frames)
    return {"bytes": (output / key).stat().st_size, "ranges": ranges}


def is_complete(path, entry):
    return entry and path.is_file() and path.stat().st_size == entry["bytes"] and masks_path(path).is_file()


def work(args):
    if not 1 <= min(args.persons) <= max(args.persons) <= 99:
        raise ValueError(f"--persons {' '.join(map(str, args.persons))}: KTH's names have room for persons 1 to 99")
    if args.evidence:
        evidence_span(args.n_frames, args.evidence)
    options = {"seed": args.seed, "passes": args.passes, "evidence": args.evidence,
               "n_frames": args.n_frames if args.evidence else None}
    keys = [f"{action}/person{number:02}_{action}_d{scenario}_uncomp.avi" for number in sorted(set(args.persons))
            for scenario in sorted(set(args.scenarios)) for action in sorted(set(args.actions))]
    cv2.setNumThreads(1)  # the processes share the cores, and none may inherit threads that it does not have
    with sole_writer(args.output):
        record = Record(args.output / RECORD, options, {"bytes": int, "ranges": list}, args.overwrite, lists_all=True)
        kept = {key for key in keys if is_complete(args.output / key, record.videos.get(key))}
        record.update(dict.fromkeys(set(keys) - kept))  # videos of a run that is killed are known as ours
        work_through(keys, kept, partial(make, output=args.output, options=options), args, "videos", "drawn", record)
        with whole_file(args.output / SEQUENCES) as sequences, sequences.open("w", encoding="utf-8") as file:
            for key, entry in sorted(record.videos.items()):
                ranges = ", ".join(f"{first}-{last}" for first, last in entry["ranges"]) if entry else "*missing*"
                file.write(f"{sequence_name(Path(key).stem)}\t\tframes\t{ranges}\n")
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
    parser.add_argument("--seed", type=opts.whole_number, default=1, help="other persons, places and passes")
    add_work_options(parser, "remove the videos made before and start again")
    return parser


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
