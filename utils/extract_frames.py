"""Extract the frames of clips as numbered JPEG images, which the other scripts load.

    data/kth_trimmed/<class>/<clip>.avi  ->  data/kth/image_data/<class>/<clip>/image_00001.jpg ... and n_frames
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts
from data.video import encode_jpeg, iterate_video, masks_path, read_masks, write_masks
from runtime.errors import UserError
from runtime.files import index_by_name, sole_writer, whole_folder
from utils.batch import add_work_options, list_videos, work_through


def folder_of(key: str, image_path: Path) -> Path:
    """Return the folder for the frames of a clip; key: class/file."""
    return image_path / Path(key).with_suffix("")


def extract(key: str, roots: dict[str, Path], image_path: Path) -> None:
    """Write the folder of the clip `key`, completely or not at all; roots: {key: its --trimmed_path}."""
    clip, n_frames = roots[key] / key, 0
    with whole_folder(folder_of(key, image_path)) as folder:
        for frame in iterate_video(clip):
            n_frames += 1
            is_grey = (frame[..., :1] == frame).all()  # all channels are equal
            (folder / f"image_{n_frames:05d}.jpg").write_bytes(encode_jpeg(frame[..., 0] if is_grey else frame))
        masks = read_masks(masks_path(clip), n_frames)
        if masks is not None:
            write_masks(folder / "masks.npz", masks)
        (folder / "n_frames").write_text(str(n_frames))


def is_complete(key: str, trimmed_path: Path, image_path: Path) -> bool:
    """Return whether the folder of a clip has all frames and masks, extracted after the clip was made."""
    clip, folder = trimmed_path / key, folder_of(key, image_path)
    n_frames = folder / "n_frames"
    if not n_frames.is_file() or n_frames.stat().st_mtime < clip.stat().st_mtime:
        return False
    if masks_path(clip).is_file() and not (folder / "masks.npz").is_file():
        return False
    return n_frames.read_text(errors="replace").strip() == str(len(list(folder.glob("image_*.jpg"))))


def work(args: argparse.Namespace) -> None:
    """Extract all clips that are not complete yet."""
    roots = {}  # {class/file: the folder of clips that it lies in}
    for trimmed_path in opts.as_list(args.trimmed_path):
        found = list_videos(trimmed_path)
        if not found:
            raise UserError(f"no clips in class folders of {trimmed_path}; make them with utils/trim_videos.py, or "
                            "check --trimmed_path")
        twice = sorted(roots.keys() & set(found))
        if twice:
            raise UserError(f"{roots[twice[0]]} and {trimmed_path} both hold {twice[0]}; rename one of the videos")
        roots |= dict.fromkeys(found, trimmed_path)
    folders = index_by_name((folder_of(key, args.image_path), key) for key in roots)
    with sole_writer(args.image_path):
        kept = {key for key, root in roots.items() if not args.overwrite and is_complete(key, root, args.image_path)}
        work_through(list(roots), kept, partial(extract, roots=roots, image_path=args.image_path), args, "clips",
                     "extracted")
    others = [path for path in args.image_path.glob("[!.]*/[!.]*") if path.is_dir() and path not in folders]
    if others:
        opts.warn(f"{len(others)} folders, such as {min(others)}, belong to no clip in --trimmed_path and are kept")
    print(f"frames are in {args.image_path}")


def build_parser() -> opts.Parser:
    parser = opts.Parser(__doc__.splitlines()[0])
    opts.add_dataset(parser, "trimmed_path", "image_path", several=("trimmed_path",))
    add_work_options(parser, "extract complete clips again")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
