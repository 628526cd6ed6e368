"""Extract the frames of clips as numbered JPEG images, the form in which they are loaded.

    data/kth_trimmed/<class>/<clip>.avi  ->  data/kth/image_data/<class>/<clip>/image_00001.jpg ... and n_frames
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts

# isort: split
import cv2

from data.video import QUALITY, iterate_video, masks_path, read_masks, write_masks
from runtime.files import by_name, sole_writer, whole_folder
from utils.batch import add_work_options, list_videos, work_through


def folder_of(key, image_path):
    """Where the frames of the clip class/file go."""
    return image_path / Path(key).with_suffix("")


def extract(key, trimmed_path, image_path):
    """Write the folder of one clip, whole or not at all; runs in a process of its own."""
    clip = trimmed_path / key
    with whole_folder(folder_of(key, image_path)) as folder:
        for count, frame in enumerate(iterate_video(clip), start=1):
            grey = (frame[..., :1] == frame).all()
            pixels = frame[..., 0] if grey else cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
            _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            (folder / f"image_{count:05d}.jpg").write_bytes(content.tobytes())
        masks = read_masks(masks_path(clip), count)
        if masks is not None:
            write_masks(folder / "masks.npz", masks)
        (folder / "n_frames").write_text(str(count))


def is_complete(key, trimmed_path, image_path):
    """Whether all frames of a clip are there, extracted after the clip was made."""
    clip, folder = trimmed_path / key, folder_of(key, image_path)
    made = folder / "n_frames"
    if not made.is_file() or made.stat().st_mtime < clip.stat().st_mtime:
        return False
    if masks_path(clip).is_file() and not (folder / "masks.npz").is_file():
        return False
    return made.read_text(errors="replace").strip() == str(len(list(folder.glob("image_*.jpg"))))


def work(args):
    clips = list_videos(args.trimmed_path)
    if not clips:
        raise ValueError(f"no clips in class folders of {args.trimmed_path}; make them with utils/trim_videos.py")
    places = {"trimmed_path": args.trimmed_path, "image_path": args.image_path}
    folders = by_name((folder_of(key, args.image_path), key) for key in clips)
    with sole_writer(args.image_path):
        kept = {key for key in clips if not args.overwrite and is_complete(key, **places)}
        work_through(clips, kept, partial(extract, **places), args, "clips", "extracted")
    others = [path for path in args.image_path.glob("[!.]*/[!.]*") if path.is_dir() and path not in folders]
    if others:
        opts.warn(f"{len(others)} folders such as {min(others)} are of no clip in {args.trimmed_path}, they are kept")
    print(f"frames are in {args.image_path}")


def build_parser():
    parser = opts.Parser(__doc__.split("\n")[0])
    opts.add_dataset(parser, "trimmed_path", "image_path")
    add_work_options(parser, "extract again what is complete")
    return parser


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
