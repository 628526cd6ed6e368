"""Write the annotation: which extracted clip is of which class and in which subset.

    data/kth/image_data/<class>/<clip>/  ->  data/kth/annotation/kth1.json

Clips named as KTH names them are split by person. Of other names, those with a group as in UCF101 (_g07_, which may
be a person or a scene) are split by group, over all classes alike; clips in trim.json by the video they were cut from,
the rest one by one.
"""

import random
import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts
from data.annotation import SUBSETS, write_annotation
from data.files import by_name
from data.kth import OFFICIAL_SPLIT, parse_name
from utils.batch import read_record

GROUP = re.compile(r"_(g\d+)(?:_|$)")


def list_clips(image_path):
    """The clips that have images, {clip: class}, in the order of their names. ValueError where there are none."""
    folders = [path for path in sorted(image_path.glob("[!.]*/[!.]*")) if path.is_dir()]
    filled = [folder for folder in folders if any(folder.glob("image_*.jpg"))]
    if not filled:
        raise ValueError(f"no clips in {image_path}; extract them with utils/extract_frames.py")
    if len(filled) < len(folders):
        empty = set(folders) - set(filled)
        opts.warn(f"{len(empty)} folders without images are left out, such as {min(empty)}")
    clips = by_name((folder.name, folder) for folder in filled)
    return {clip: folder.parent.name for clip, folder in sorted(clips.items())}


def split_persons(persons, validation=None, testing=None):
    """{person: subset}: the official split, or the persons named here and all others for training.

    An empty list of persons for validation means that there is to be none. ValueError where training or validation is
    left without persons otherwise, or testing in the official split.
    """
    there = f"there are clips of persons {' '.join(map(str, sorted(persons)))}"
    advice = f"name persons with --validation_persons and --testing_persons; {there}"
    parts, needed = {subset: set(members) for subset, members in OFFICIAL_SPLIT.items()}, SUBSETS
    if testing or validation is not None:
        parts = {"validation": set(validation or []), "testing": set(testing or [])}
        needed = ("training",) if validation == [] else ("training", "validation")
        named = parts["validation"] | parts["testing"]
        if parts["validation"] & parts["testing"]:
            raise ValueError("a person is named for validation and for testing, nobody can be in both")
        if named - persons:
            raise ValueError(f"there is no clip of person {min(named - persons)}; {there}")
        parts["training"] = persons - named
    split = {person: subset for subset, members in parts.items() for person in members & persons}
    if persons - split.keys():
        raise ValueError(f"the official split has no person {min(persons - split.keys())}; {advice}")
    for subset in needed:
        if subset not in split.values():
            raise ValueError(f"nobody is left for {subset}; {advice}")
    return split


def split_groups(group_of, seed):
    """{clip: subset} for {clip: group}: a fifth of the groups for validation and one for testing, by seed and name.

    ValueError for fewer than three groups.
    """
    groups = sorted(set(group_of.values()), key=lambda group: random.Random(f"{seed} {group}").random())
    if len(groups) < len(SUBSETS):
        raise ValueError(f"{len(groups)} groups or videos ({', '.join(sorted(groups))}) cannot fill {len(SUBSETS)} "
                         "subsets; add some")
    fifth = max(1, round(len(groups) / 5))
    subset_of = dict.fromkeys(groups[:fifth], "validation") | dict.fromkeys(groups[fifth : 2 * fifth], "testing")
    return {clip: subset_of.get(group, "training") for clip, group in group_of.items()}


def assign(clips, sources, validation=None, testing=None, seed=0):
    """{clip: subset} for {clip: class}; `sources` tells of some clips the video they were cut from."""
    person_of = {clip: name[0] for clip in clips if (name := parse_name(clip))}
    if not person_of and (validation or testing):
        raise ValueError("persons are named for a subset and no clip has a name like person01_walking_d1_1")
    subset_of = split_persons(set(person_of.values()), validation, testing) if person_of else {}
    subsets = {clip: subset_of[person] for clip, person in person_of.items()}
    group_of = {clip: found[1] for clip in clips if clip not in subsets and (found := GROUP.search(clip))}
    if group_of:
        subsets |= split_groups(group_of, seed)
    for label in sorted(set(clips.values())):
        video_of = {clip: sources.get(clip, clip) for clip in clips if clips[clip] == label and clip not in subsets}
        if video_of:
            subsets |= split_groups(video_of, seed)
            opts.warn(f"{label}: {len(video_of)} clips without person or group are split by video; a person or a scene "
                      "that is in several videos can be on both sides, name groups in the files (_g01_) to prevent it")
    return subsets


def work(args):
    clips = list_clips(args.image_path)
    record = read_record(args.trimmed_path / "trim.json", {"clips": dict}) or {"videos": {}}
    sources = {clip: video for video, entry in record["videos"].items() if entry for clip in entry["clips"]}
    subsets = assign(clips, sources, args.validation_persons, args.testing_persons, args.seed)
    labels = sorted(set(clips.values()))
    write_annotation(args.annotation_path, labels, {clip: (subsets[clip], label) for clip, label in clips.items()})
    counts = Counter((subsets[clip], label) for clip, label in clips.items())
    for subset in SUBSETS:
        print(f"{subset}: " + ", ".join(f"{counts[subset, label]} {label}" for label in labels))
    print(f"{len(clips)} clips of {len(labels)} classes are in {args.annotation_path}")


def build_parser():
    parser = opts.Parser(__doc__.split("\n")[0])
    parser.add_argument("--image_path", type=Path, default=Path("data/kth/image_data"), help="class folders of clips")
    parser.add_argument("--annotation_path", type=Path, default=Path("data/kth/annotation/kth1.json"), help="to write")
    parser.add_argument("--trimmed_path", type=Path, default=Path("data/kth_trimmed"), help="where trim.json lies")
    for subset in ("validation", "testing"):
        parser.add_argument(f"--{subset}_persons", type=int, nargs="*", metavar="P",
                            help="instead of the official split; who is in neither is for training; validation may "
                                 "be given without a number, for none")
    parser.add_argument("--seed", type=int, default=0, help="of the split of clips that show no person's number")
    return parser


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
