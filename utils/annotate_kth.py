"""Write the annotation file, which gives the class and the subset of every extracted clip.

    data/kth/image_data/<class>/<clip>/  ->  data/kth/annotation/kth1.json

Clips that are named as in KTH are split by person. Clips whose names contain a group as in UCF101 (_g07_, a person or a
scene) are split by group, across all classes. Other clips are split by the video that they were cut from, which
trim.json names; without trim.json it is the name of the clip without the numbers at its end. A group that the earlier
annotation lists stays in its subset. --split_files takes the official split of UCF101 or HMDB51 instead.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts
from data.annotation import Annotation, read_annotation, source_by_name, write_annotation
from data.checking import check_data_set
from data.datasets import DATASETS
from data.datasets.extra import EMPTY, PASSAGE, is_extra, passage_folder
from data.datasets.split_files import read_split_files, split_by_files
from data.images import numbered_images
from runtime.errors import UserError
from runtime.files import index_by_name, sole_writer
from runtime.sentences import counted, first_names
from utils.batch import Entry, read_record


def list_clips(image_path: Path, made: set[tuple[str, str]] | None) -> dict[str, str]:
    """Return {clip: class} of the clips that have images, ordered by name. Raises UserError if there are none.

    made: {(class, clip)} that utils/trim_videos.py has cut, or None if this is not known. Other clips are stale: their
    video was removed, renamed, moved to another class or cut in another way.
    """
    folders = [path for path in sorted(image_path.glob("[!.]*/[!.]*")) if path.is_dir()]
    filled = [folder for folder in folders if numbered_images(folder)]
    if not filled:
        raise UserError(f"no clips in {image_path}; extract them with utils/extract_frames.py")
    if len(filled) < len(folders):
        empty = set(folders) - set(filled)
        opts.warn(f"{len(empty)} folders without images are left out, such as {min(empty)}")
    stale = [folder for folder in filled if made is not None and (folder.parent.name, folder.name) not in made]
    if stale:
        opts.warn(f"{counted(len(stale), 'clip')} on disk are stale, because no video that is there now was cut into "
                  f"them, and are left out: {first_names([f'{path.parent.name}/{path.name}' for path in stale])}")
    clips = index_by_name((folder.name, folder) for folder in filled if folder not in stale)
    if not clips:
        raise UserError(f"all {len(filled)} clips in {image_path} are stale; run utils/trim_videos.py and "
                        "utils/extract_frames.py again")
    return {clip: folder.parent.name for clip, folder in sorted(clips.items())}


def clips_made(videos: dict[str, Entry]) -> dict[tuple[str, str], str]:
    """Return {(class folder, clip): video} of all clips in the record of utils/trim_videos.py, passages included."""
    made = {}
    for video, entry in videos.items():
        label = video.partition("/")[0]
        for part, folder in (("clips", label), ("passages", passage_folder(label)), ("empty", EMPTY)):
            made |= {(folder, clip): video for clip in (entry or {}).get(part, ())}
    return made


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


def split_clips(args: argparse.Namespace, clips: dict[str, str], sources: dict[str, str],
                earlier: Annotation | None) -> tuple[dict, list[str]]:
    """Return ({clip: subset}, problems), by the split files or by the rule of the data set; clips: {clip: class}."""
    persons = [f"--{name}" for name in ("validation_persons", "testing_persons") if getattr(args, name) is not None]
    if not args.split_files:
        if args.validation_share:
            raise UserError("--validation_share belongs to --split_files, which is missing; leave it out")
        data_set, kept = DATASETS[args.dataset], {}
        if earlier and not args.new_split:
            kept = {data_set.group_of(clip) or without_suffix(earlier.source_of(clip)): subset
                    for clip, (subset, _) in earlier.clips.items()}
        videos = {clip: without_suffix(video) for clip, video in sources.items()}
        return data_set.split(clips, videos, args.validation_persons, args.testing_persons, args.seed, kept)
    if persons:
        raise UserError(f"{persons[0]} and --split_files both choose the split; leave one of them out")
    return split_by_files(clips, sources, read_split_files(args.split_files), args.validation_share, args.seed)


def without_suffix(video: str) -> str:
    """Return the name class/file of a video without the suffix of the file."""
    return PurePosixPath(video).with_suffix("").as_posix()


def tell_changes(earlier: Annotation | None, now: dict[str, tuple[str, str]]) -> None:
    """Print what is different from the earlier annotation; now: {clip: (subset, class)}."""
    before = earlier.clips if earlier else now
    changed = {
        "new": now.keys() - before.keys(), "gone": before.keys() - now.keys(),
        "moved to another subset": {clip for clip in now.keys() & before.keys() if now[clip][0] != before[clip][0]},
        "of another class": {clip for clip in now.keys() & before.keys() if now[clip][1] != before[clip][1]}}
    told = [f"{len(clips)} {what} ({first_names(sorted(clips))})" for what, clips in changed.items() if clips]
    if told:
        print(f"changes since the earlier annotation: {'; '.join(told)}")


def read_earlier(path: Path) -> Annotation | None:
    """Return the annotation that is replaced, or None if there is none; warn if it is damaged."""
    try:
        return read_annotation(path) if path.is_file() else None
    except UserError as error:
        opts.warn(f"the earlier annotation is replaced and nothing is kept of it: {error}")
        return None


def work(args: argparse.Namespace) -> None:
    """Split the clips, write the annotation file and check the data set."""
    videos, records = {}, []
    for folder in opts.as_list(args.trimmed_path):
        records.append(read_record(folder / "trim.json", {"clips": dict}))
        videos |= (records[-1] or {"videos": {}})["videos"]
    made = clips_made(videos)
    found = list_clips(args.image_path, set(made) if all(records) else None)
    clips = {clip: folder for clip, folder in found.items() if not is_extra(folder)}
    extra = {clip: folder for clip, folder in found.items() if is_extra(folder)}
    sources = {clip: made[folder, clip] for clip, folder in found.items() if (folder, clip) in made}
    earlier = read_earlier(args.annotation_path)
    by_name = {} if args.split_files else {clip: f"{label}/{source_by_name(clip)}" for clip, label in clips.items()}
    subsets, problems = split_clips(args, clips, by_name | sources, earlier)
    for problem in problems:
        opts.warn(problem)
    now = {clip: (subsets[clip], label) for clip, label in clips.items() if clip in subsets}
    labels = sorted({label for _, label in now.values()})
    if len(labels) < 2:
        raise UserError(f"all {len(now)} clips are of one class, {labels[0]}, but a classifier needs two classes; "
                        f"is {args.image_path} one level too deep, or do the videos of all classes lie in one folder?")
    passages, empty = assign_extra(extra, subsets, sources, videos)
    annotation = Annotation(labels, now, passages, empty, common_rate(videos.values()), sources)
    checked = check_data_set(annotation, args.annotation_path, args.image_path, DATASETS[args.dataset])
    with sole_writer(args.annotation_path.parent):
        write_annotation(args.annotation_path, *annotation._replace(digests=checked.digests))
    tell_changes(earlier, now)
    print(f"{len(now)} clips of {len(labels)} classes are in {args.annotation_path}, and for training "
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
    parser.add_argument("--new_split", action="store_true",
                        help="split all groups and videos anew, also those that the earlier annotation lists")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
