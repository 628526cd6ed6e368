"""Size of the page of many clips, and the seconds to write it and to open it in Chromium without a window.

    python3 -m tests.benchmarks.page --clips 100 300

The results are drawn: blocks that walk over noise, with a gradient, TSR, a signed map and the optical flow. Ten
different clips stand for all clips of a page, because the results of hundreds of them would fill the disk; the page
holds each clip anew. Both are done three times, and the median is shown. Opened is the time until the
load event has ended, when all clips are in the gallery; without chromium it is not measured. A clip is the time until
the panel of the first clip shows its maps. Memory is the largest of the process that writes. Only ratios within one run
mean something.
"""

import argparse
import contextlib
import math
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from opts import positive_int
from saliency.report import write_report
from tests.browser import Page, chromium
from tests.report_data import save_clip, save_metrics, stand_in_maps, walk

DIFFERENT = 10  # clips that are drawn; the others are links to these
LOADED = "return performance.getEntriesByType('navigation')[0].loadEventEnd"


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--clips", type=positive_int, nargs="+", default=[100, 300], help="clips of each page")
    add("--frames", type=positive_int, default=30, help="frames of a clip")
    add("--size", type=positive_int, default=120, help="side of a frame in pixels")
    add("--repeats", type=positive_int, default=3, help="how often each page is written and opened")
    return parser


def make_results(folder, clips, frames, size):
    """Write the results of `clips` clips into a folder, as frame_saliency.py leaves them."""
    drawn, names = {}, {}
    for seed in range(min(clips, DIFFERENT)):
        arrays = stand_in_maps(walk(seed, frames, size), seed)
        signs = np.random.default_rng(seed).choice([-1, 1], arrays["gradient"].shape)
        arrays["evidence_gradient"] = arrays["gradient"] * signs
        drawn[seed] = save_clip(folder, f"clip {seed}", arrays, number=seed), arrays
        names[f"clip {seed}"] = arrays
    for number in range(len(drawn), clips):
        place = folder / "class" / f"clip{number:03}"
        place.mkdir()
        (place / "saliency.npz").symlink_to(drawn[number % len(drawn)][0])
    save_metrics(folder, names)


def write(folder, queue):
    """Write the page and put its seconds and the largest memory in MiB into the queue."""
    before = time.perf_counter()
    write_report(folder)
    unit = 1 << (20 if sys.platform == "darwin" else 10)
    queue.put((time.perf_counter() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit))


def written(folder):
    """Return the seconds and the largest memory in MiB of writing the page in a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=write, args=(folder, queue))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"the process that writes the page ended with status {process.exitcode}")
    return queue.get()


def opened(browser, path, clips):
    """Return the seconds until the page is loaded, and until the panel of the first clip shows its maps."""
    browser.get("about:blank")
    page = Page(browser, path)
    page.until(lambda: page.run(LOADED))
    assert len(page.all(".card")) == clips, f"the page shows {len(page.all('.card'))} of {clips} clips"
    before = page.run("return performance.now()")
    page.all(".card")[0].click()
    page.until(lambda: page.all("#panel[aria-busy=false]"))
    return page.run(LOADED) / 1000, (page.run("return performance.now()") - before) / 1000


def main():
    args = build_parser().parse_args()
    print("clips | size | written | memory | opened | a clip")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, contextlib.ExitStack() as stack:
        try:
            browser = stack.enter_context(chromium(Path(folder) / "profile"))
        except pytest.skip.Exception as missing:
            print(f"nothing is opened: {missing}")
            browser = None
        for clips in args.clips:
            results = Path(folder) / str(clips)
            make_results(results, clips, args.frames, args.size)
            writing = [written(results) for _ in range(args.repeats)]
            path = results / "report.html"
            opening = [opened(browser, path, clips) for _ in range(args.repeats)] if browser else [(math.nan, math.nan)]
            seconds, memory = (statistics.median(column) for column in zip(*writing, strict=True))
            whole, one = (statistics.median(column) for column in zip(*opening, strict=True))
            print(f"{clips} | {path.stat().st_size / 1e6:.1f} MB | {seconds:.1f} s | {memory:.0f} MiB | {whole:.2f} s "
                  f"| {one:.2f} s", flush=True)


if __name__ == "__main__":
    main()
