"""Write the annotation file, which gives the class and the subset of every extracted clip.

    data/kth/image_data/<class>/<clip>/  ->  data/kth/annotation/kth1.json

Clips that are named as in KTH are split by person. Clips whose names contain a group as in UCF101 (_g07_, a person or a
scene) are split by group, across all classes. Other clips in trim.json are split by the video that they were cut from,
and the rest one by one. --split_files takes the official split of UCF101 or HMDB51 instead.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts
from data.annotation import SUBSETS, write_annotation
from data.datasets import DATASETS
from data.datasets.extra import PASSAGE, is_extra
from data.datasets.split_files import read_split_files, split_by_files
from runtime.errors import UserError
from runtime.files import index_by_name, sole_writer
from runtime.names import readable
from utils.batch import Entry, read_record


def list_clips(image_path: Path) -> dict[str, str]:
    """Return {clip: class} of the clips that have images, ordered by name. Raises ValueError if there are none."""
    folders = [path for path in sorted(image_path.glob("[!.]*/[!.]*")) if path.is_dir()]
    filled = [folder for folder in folders if any(folder.glob("image_*.jpg"))]
    if not filled:
        raise UserError(f"no clips in {image_path}; extract them with utils/extract_frames.py")
    if len(filled) < len(folders):
        empty = set(folders) - set(filled)
        opts.warn(f"{len(empty)} folders without images are left out, such as {min(empty)}")
    clips = index_by_name((folder.name, folder) for folder in filled)
    return {clip: folder.parent.name for clip, folder in sorted(clips.items())}


def assign_extra(extra: dict[str, str], subsets: dict[str, str], sources: dict[str, str],
                 videos: dict[str, Entry]) -> tuple[dict, dict]:
    """Return (passages, empty) in the form that data.annotation.write_annotation takes.

    extra: {clip: folder} of the clips that serve training only. subsets: {clip: subset} of the other clips. sources,
    videos: from the record of utils/trim_videos.py. Such a clip has the subset of the clips of the same video. Passages
    are listed for training only, because only training uses them.
    """
    subset_of = {video: subsets[clip] for clip, video in sources.items() if clip in subsets}
    passages, empty = {}, {}
    for video, entry in videos.items():
        subset = subset_of.get(video)
        for clip, visible in (entry or {}).get("passages", {}).items():
            if clip in extra and subset == "training":
                passages[clip] = (subset, extra[clip].removeprefix(PASSAGE), tuple(visible))
        for clip in (entry or {}).get("empty", {}):
            if clip in extra and subset:
                empty[clip] = subset
    return passages, empty


def common_rate(videos: Iterable[Entry]) -> float | None:
    """Return the frame rate of the videos in the record, frames per second; None if they differ or it is unknown."""
    rates = [entry.get("fps") for entry in videos if entry]
    known = rates and all(isinstance(rate, float) and 0 < rate < 1000 for rate in rates)
    return rates[0] if known and len(set(rates)) == 1 else None


def split_clips(args: argparse.Namespace, clips: dict[str, str], sources: dict[str, str]) -> tuple[dict, list[str]]:
    """Return ({clip: subset}, problems), by the split files or by the rule of the data set; clips: {clip: class}."""
    persons = [f"--{name}" for name in ("validation_persons", "testing_persons") if getattr(args, name) is not None]
    if not args.split_files:
        if args.validation_share:
            raise UserError("--validation_share belongs to --split_files, which is missing; leave it out")
        return DATASETS[args.dataset].split(clips, sources, args.validation_persons, args.testing_persons, args.seed)
    if persons:
        raise UserError(f"{persons[0]} and --split_files both choose the split; leave one of them out")
    return split_by_files(clips, sources, read_split_files(args.split_files), args.validation_share, args.seed)


def work(args: argparse.Namespace) -> None:
    """Split the clips and write the annotation file."""
    args.trimmed_path = opts.as_list(args.trimmed_path)
    found = list_clips(args.image_path)
    clips = {clip: folder for clip, folder in found.items() if not is_extra(folder)}
    extra = {clip: folder for clip, folder in found.items() if is_extra(folder)}
    videos = {}
    for folder in args.trimmed_path:
        record = read_record(folder / "trim.json", {"clips": dict}) or {"videos": {}}
        videos |= record["videos"]
    sources = {clip: video for video, entry in videos.items() if entry for clip in entry["clips"]}
    subsets, problems = split_clips(args, clips, sources)
    for problem in problems:
        opts.warn(problem)
    clips = {clip: label for clip, label in clips.items() if clip in subsets}
    labels = sorted(set(clips.values()))
    if len(labels) < 2:
        raise UserError(f"all {len(clips)} clips are of one class, {labels[0]}, but a classifier needs two classes; "
                        f"is {args.image_path} one level too deep, or do the videos of all classes lie in one folder?")
    passages, empty = assign_extra(extra, subsets, sources, videos)
    with sole_writer(args.annotation_path.parent):
        write_annotation(args.annotation_path, labels, {clip: (subsets[clip], label) for clip, label in clips.items()},
                         passages, empty, common_rate(videos.values()))
    counts = Counter((subsets[clip], label) for clip, label in clips.items())
    for subset in SUBSETS:
        print(f"{subset}: " + ", ".join(f"{counts[subset, label]} {readable(label)}" for label in labels))
    print(f"{len(clips)} clips of {len(labels)} classes are in {args.annotation_path}, and for training "
          f"{len(passages)} passages and {sum(subset == 'training' for subset in empty.values())} empty clips")


def build_parser() -> opts.Parser:
    parser = opts.Parser(__doc__.splitlines()[0])
    opts.add_dataset(parser, "image_path", "annotation_path", "trimmed_path", several=("trimmed_path",))
    parser.add_argument("--validation_persons", type=int, nargs="*", metavar="P",
                        help="persons for validation instead of those of the official split; persons named for no "
                             "subset are for training; give no number to leave validation empty")
    parser.add_argument("--testing_persons", type=int, nargs="*", metavar="P",
                        help="persons for testing instead of those of the official split")
    parser.add_argument("--split_files", type=Path, nargs="+", metavar="FILE",
                        help="the official split: trainlist01.txt and testlist01.txt of UCF101, or the files "
                             "<class>_test_split1.txt of HMDB51; videos that they do not list are left out")
    parser.add_argument("--validation_share", type=opts.fraction, default=0.0, metavar="SHARE",
                        help="with --split_files: share of the groups in training that is for validation instead; 0 "
                             "leaves validation empty")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split by group or by video")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
