"""Time and memory for the windows of long videos, which should grow with the length and stay flat, respectively.

    python3 -m tests.benchmarks.long_videos --lengths 1000 10000 100000

For each length, a video is drawn into a temporary folder, in which a small block crosses the picture now and then.
Printed are the number of its windows, that of the frames in them, the seconds of a processor core per 1,000 frames of
the video that the search for windows and the reading of all windows take, and the largest memory of this process and of
those that decode. Each length is measured in a process of its own. Only ratios within one run mean something.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from data.clips import clips_of_videos, read_frames
from data.video import write_video
from opts import positive_int

WIDTH, HEIGHT, BLOCK = 64, 48, 8  # pixels
CROSSING, PAUSE = 60, 40  # frames
DURATION = 30  # frames of a window


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lengths", type=positive_int, nargs="+", default=[1000, 10000], metavar="FRAMES",
                        help="lengths of the videos")
    return parser


def draw(length):
    """Yield the frames (HEIGHT, WIDTH) uint8 of a video of `length` frames."""
    ground = np.random.default_rng(0).integers(60, 90, (HEIGHT, WIDTH), dtype=np.uint8)
    for t in range(length):
        frame, step = ground.copy(), t % (CROSSING + PAUSE)
        if step < CROSSING:
            left = round(step / CROSSING * (WIDTH - BLOCK))
            frame[12:36, left:left + BLOCK] = 230
        yield frame


def peak(whose):
    """Return the largest resident memory in MiB: resource.RUSAGE_SELF or resource.RUSAGE_CHILDREN."""
    return resource.getrusage(whose).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))


def processor_seconds():
    """Return the time that this process and those that it has ended have computed."""
    spent = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def measure(length):
    """Print the row of one length."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "long.avi"
        write_video(video, draw(length))
        start = processor_seconds()
        clips, _ = clips_of_videos([video], DURATION)
        found = processor_seconds()
        n_frames = sum(len(read_frames(clip)) for clip in clips)
        read = processor_seconds()
    search, reading = (1000 * seconds / length for seconds in (found - start, read - found))
    print(f"{length:,} | {len(clips):,} | {n_frames:,} | {search:.2f} s | {reading:.2f} s "
          f"| {peak(resource.RUSAGE_SELF):.0f} MiB | {peak(resource.RUSAGE_CHILDREN):.0f} MiB", flush=True)


def main():
    args = build_parser().parse_args()
    print("frames | windows | frames in windows | search per 1,000 | reading per 1,000 | memory | of a decoder")
    for length in args.lengths:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(length,))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f"the process for {length:,} frames ended with status {process.exitcode}")


if __name__ == "__main__":
    main()
