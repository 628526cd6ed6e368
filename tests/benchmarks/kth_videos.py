"""KTH videos as the benchmarks read them: ranges, and the clips that utils/trim_videos.py would cut, without files."""

from pathlib import Path

import numpy as np

from data.datasets import DATASETS
from data.video import read_video
from data.windows import find_motion, place_windows
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
