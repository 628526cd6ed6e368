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
from data.files import read_json
from data.kth import OFFICIAL_SPLIT, parse_name

FRACTIONS = {"validation": 0.2, "testing": 0.2}  # of the groups of a class without persons; the rest is for training
GROUP = re.compile(r"_(g\d+)(?:_|$)")


def find_clips(image_path):
    """The clips that have images, {clip: class}, in the order of their names. ValueError where there are none."""
    clips, empty = {}, []
    for folder in sorted(path for path in image_path.glob("[!.]*/[!.]*") if path.is_dir()):
        if not any(folder.glob("image_*.jpg")):
            empty.append(str(folder))
        elif folder.name in clips:
            classes = f"{clips[folder.name]} and {folder.parent.name}"
            raise ValueError(f"clip {folder.name} is in {classes} of {image_path}; names must differ, rename one")
        else:
            clips[folder.name] = folder.parent.name
    if empty:
        opts.warn(f"{len(empty)} folders without images are left out, such as {empty[0]}")
    if not clips:
        raise ValueError(f"no clips in {image_path}; extract them with utils/extract_frames.py")
    return dict(sorted(clips.items()))


def split_persons(persons, validation=None, testing=None):
    """{person: subset}: the official split, or the persons named here and all others for training.

    An empty list of persons for validation means that there is to be none. ValueError where training or validation is
    left without persons otherwise, or testing in the official split.
    """
    present, named = sorted(persons), set(validation or []) | set(testing or [])
    there = f"there are clips of persons {' '.join(map(str, present))}"
    advice = f"name persons with --validation_persons and --testing_persons; {there}"
    if set(validation or []) & set(testing or []):
        raise ValueError("a person is named for validation and for testing, nobody can be in both")
    if named - set(present):
        raise ValueError(f"there is no clip of person {min(named - set(present))}; {there}")
    if named or validation == []:
        split = {person: "training" for person in present}
        split |= dict.fromkeys(validation or [], "validation") | dict.fromkeys(testing or [], "testing")
        needed = ("training",) if validation == [] else ("training", "validation")
    else:
        split = {person: subset for subset in SUBSETS for person in OFFICIAL_SPLIT[subset] if person in persons}
        needed = SUBSETS
    strangers = [person for person in present if person not in split]
    if strangers:
        raise ValueError(f"the official split has no person {strangers[0]}; {advice}")
    for subset in needed:
        if subset not in split.values():
            raise ValueError(f"nobody is left for {subset}; {advice}")
    return split


def split_groups(groups, seed):
    """{group: subset} drawn from seed and name, a fifth each for validation and testing. ValueError for less than 3."""
    groups = sorted(set(groups), key=lambda group: random.Random(f"{seed} {group}").random())
    if len(groups) < 3:
        raise ValueError(
            f"{len(groups)} groups or videos ({', '.join(sorted(groups))}) cannot fill {len(SUBSETS)} subsets; add some"
        )
    counts = {subset: max(1, round(fraction * len(groups))) for subset, fraction in FRACTIONS.items()}
    subsets = [subset for subset, count in counts.items() for _ in range(count)]
    return dict(zip(groups, subsets + ["training"] * (len(groups) - len(subsets)), strict=True))


def assign(clips, sources, validation=None, testing=None, seed=0):
    """{clip: subset} for {clip: class}; `sources` tells of some clips the video they were cut from."""
    names = {clip: parse_name(clip) for clip in clips}
    persons = {name[0] for name in names.values() if name}
    if not persons and (validation or testing):
        raise ValueError("persons are named for a subset and no clip has a name like person01_walking_d1_1")
    by_person = split_persons(persons, validation, testing) if persons else {}
    subsets = {clip: by_person[name[0]] for clip, name in names.items() if name}
    group_of = {clip: found[1] for clip in clips if clip not in subsets and (found := GROUP.search(clip))}
    if group_of:
        by_group = split_groups(group_of.values(), seed)
        subsets |= {clip: by_group[group] for clip, group in group_of.items()}
    for label in sorted(set(clips.values())):
        video_of = {clip: sources.get(clip, clip) for clip in clips if clips[clip] == label and clip not in subsets}
        if video_of:
            by_video = split_groups(video_of.values(), seed)
            subsets |= {clip: by_video[video] for clip, video in video_of.items()}
            opts.warn(f"{label}: {len(video_of)} clips without person or group are split by video; a person or a scene "
                      "that is in several videos can be on both sides, name groups in the files (_g01_) to prevent it")
    return subsets


def read_sources(path):
    """{clip: class/video} from the record of utils/trim_videos.py; empty where there is none."""
    if not path.is_file():
        return {}
    record = read_json(path)
    try:
        return {clip: video for video, entry in record["videos"].items() for clip in entry["clips"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a record of utils/trim_videos.py; trim again with --overwrite") from error


def annotate(args):
    clips = find_clips(args.image_path)
    sources = read_sources(args.trimmed_path / "trim.json")
    subsets = assign(clips, sources, args.validation_persons, args.testing_persons, args.seed)
    labels = sorted(set(clips.values()))
    write_annotation(args.annotation_path, labels, {clip: (subsets[clip], label) for clip, label in clips.items()})
    counts = Counter((subsets[clip], label) for clip, label in clips.items())
    for subset in SUBSETS:
        print(f"{subset}: " + ", ".join(f"{counts[subset, label]} {label}" for label in labels))
        absent = [label for label in labels if not counts[subset, label]]
        if absent and len(absent) < len(labels):
            opts.warn(f"{subset} holds no clip of class {', '.join(absent)}")
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
    return opts.run(build_parser(), annotate, argv)


if __name__ == "__main__":
    main()
