"""Compare two runs of frame_saliency.py on the clips that both explain: two models, two methods, or two settings.

    python3 utils/compare_runs.py results/frame_saliency results/other_model

Leaves results/compare_runs/ with report.html, which shows the maps side by side, comparison.json and comparison.csv.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import opts
from runtime.errors import UserError
from runtime.files import sole_writer
from saliency.report.compare_page import PAGE, write_comparison
from saliency.results.compare import common_clips, terminal_text
from saliency.results.run import read_run


def build_parser() -> opts.Parser:
    parser = opts.Parser(__doc__.splitlines()[0])
    parser.add_argument("a", type=Path, metavar="A", help="folder of results of frame_saliency.py")
    parser.add_argument("b", type=Path, metavar="B", help="another one; differences are B minus A")
    parser.add_argument("--result_path", type=Path, default=Path("results/compare_runs"), help="folder for the page")
    return parser


def work(args: argparse.Namespace) -> None:
    """Write the page and the files, and print the tables."""
    a, b = read_run(args.a), read_run(args.b)
    common_clips(a, b)
    if any(args.result_path.glob("*/*/saliency.npz")):
        raise UserError(f"{args.result_path} holds the results of a run; give another --result_path")
    with sole_writer(args.result_path):
        print(terminal_text(write_comparison(a, b, args.result_path)))
    print(f"\nto look at: {args.result_path / PAGE}")


def main(argv: Sequence[str] | None = None) -> None:
    opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
