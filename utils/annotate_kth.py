"""Write the annotation: which extracted clip is of which class and in which subset.

    data/kth/image_data/<class>/<clip>/  ->  data/kth/annotation/kth1.json

Clips named as KTH names them are split by person. Of other names, those with a group as in UCF101 (_g07_, which may
be a person or a scene) are split by group, over all classes alike; clips in trim.json by the video they were cut from,
the rest one by one.
"""

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts
from data.annotation import SUBSETS, write_annotation
from data.datasets import DATASETS
from runtime.files import by_name
from utils.batch import read_record


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


def work(args):
    clips = list_clips(args.image_path)
    record = read_record(args.trimmed_path / "trim.json", {"clips": dict}) or {"videos": {}}
    sources = {clip: video for video, entry in record["videos"].items() if entry for clip in entry["clips"]}
    subsets, problems = DATASETS[args.dataset].split(clips, sources, args.validation_persons, args.testing_persons,
                                                     args.seed)
    for problem in problems:
        opts.warn(problem)
    labels = sorted(set(clips.values()))
    write_annotation(args.annotation_path, labels, {clip: (subsets[clip], label) for clip, label in clips.items()})
    counts = Counter((subsets[clip], label) for clip, label in clips.items())
    for subset in SUBSETS:
        print(f"{subset}: " + ", ".join(f"{counts[subset, label]} {label}" for label in labels))
    print(f"{len(clips)} clips of {len(labels)} classes are in {args.annotation_path}")


def build_parser():
    parser = opts.Parser(__doc__.split("\n")[0])
    opts.add_dataset(parser, "image_path", "annotation_path", "trimmed_path")
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
