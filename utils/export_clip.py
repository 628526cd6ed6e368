"""Export frames of explained clips with their map, as an animated GIF or a PNG, from results of frame_saliency.py.

    python3 utils/export_clip.py results/frame_saliency --clips person22_walking_d1_1 --frames 5-20 --export gif png

The files lie in the folder of the clip, such as results/frame_saliency/walking/<clip>/gradient_5-20.gif.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import opts
from runtime.declare import EXPORTS, frame_range
from saliency.export import export_clips


def build_parser() -> opts.Parser:
    parser = opts.Parser(__doc__.splitlines()[0])
    add = parser.add_argument
    add("results", type=Path, help="folder of results of frame_saliency.py")
    add("--clips", nargs="+", metavar="NAME", help="only these clips (default: all)")
    add("--frames", type=frame_range, default=(1, None), metavar="FIRST-LAST", help="frames, counted from 1 (default: "
        "all)")
    add("--export", nargs="+", choices=EXPORTS, default=["gif"], help="kinds of files")
    add("--map", metavar="NAME", help="a method, flow, or evidence_METHOD; (default: the map that the run drew)")
    add("--overwrite", action="store_true", help="replace files that exist")
    return parser


def work(args: argparse.Namespace) -> None:
    """Export the clips and print where the files are."""
    first, last = args.frames
    names = args.clips or [path.parent.name for path in sorted(args.results.glob("*/[!.]*/saliency.npz"))]
    for path in export_clips(args.results, names, args.export, first, last, args.map, args.overwrite):
        print(path)


def main(argv: Sequence[str] | None = None) -> None:
    opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
