"""KTH videos as the benchmarks read them: ranges, and the clips that utils/trim_videos.py would cut, without files."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data.datasets import DATASETS
from data.video import read_video
from data.windows import find_motion, place_windows
from runtime.files import write_json
from saliency.flow import grey

KTH = DATASETS["kth"]


def ranges_beside(videos: Path, sequences: Path | None = None) -> dict[str, list[tuple[int, int]]]:
    """Return {video: its ranges} from the file `sequences`, by default 00sequences.txt in `videos` or its parent."""
    places = [sequences] if sequences else [folder / "00sequences.txt" for folder in (videos, videos.parent)]
    found = [path for path in places if path.is_file()]
    if not found:
        raise FileNotFoundError(f"no ranges at {' or '.join(map(str, places))}; give KTH's 00sequences.txt")
    return KTH.read_ranges(found[0])


def centred_clips(path: Path, ranges: list[tuple[int, int]], duration: int, size: int) -> list[np.ndarray]:
    """Return the clips (T, size, size, 3) uint8 of a video, one per range, in the middle of its frames with motion."""
    frames, _ = read_video(path, size=(size, size))
    if len(frames) < duration:
        return []
    moving = find_motion(grey(frames))
    starts = [place_windows(first, min(last, len(frames)), moving, duration, 1)[0]
              for first, last in ranges if (first + last) / 2 <= len(frames)]
    return [frames[start:start + duration] for start in starts]


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of benchmarks that read KTH videos and their ranges."""
    parser.add_argument("--videos", type=Path, default=KTH.raw_path, help="class folders of KTH videos")
    parser.add_argument("--sequences", type=Path, help="ranges; default: 00sequences.txt beside the class folders")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of benchmarks that explain the models of tests.benchmarks.leave_one_out."""
    add_video_options(parser)
    parser.add_argument("--models", type=Path, default=Path("results/leave_one_out/seed0"),
                        help="folder of the models that the other benchmark has trained")
    parser.add_argument("--draws", type=int, default=1, help="random heads per model")
    parser.add_argument("--overwrite", action="store_true", help="explain again what earlier runs have explained")


def rows_of_persons(args: argparse.Namespace, name: str, explain: Callable[[int, Path], list[dict]]) -> list[dict]:
    """Return the rows explain(person, folder) of all persons left out; each person's rows are kept in the file `name`.

    Ends the program with one line and status 2 if there is no model.
    """
    folders = sorted(args.models.glob("person*"))
    if not folders:
        print(f"no models in {args.models}; train them with python3 -m tests.benchmarks.leave_one_out", file=sys.stderr)
        raise SystemExit(2)
    rows = []
    for folder in folders:
        path = folder / name
        if args.overwrite or not path.is_file():
            write_json(path, explain(int(folder.name.removeprefix("person")), folder))
        rows += json.loads(path.read_text())
    return rows
