"""Extract the frames of clips as numbered JPEG images, the form in which they are loaded.

    data/kth_trimmed/<class>/<clip>.avi  ->  data/kth/image_data/<class>/<clip>/image_00001.jpg ... and n_frames
"""

import sys
from collections import Counter
from functools import partial
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts
from data.files import sole_writer, whole_folder
from data.isolated import n_cores, run_isolated
from data.video import VIDEO_SUFFIXES, cv2, iterate_video, masks_path, read_masks, write_masks

JPEG_QUALITY = 95


def extract(clip, image_path):
    """Write the folder of one clip, whole or not at all; runs in a process of its own. Returns the number of frames."""
    masks = read_masks(masks_path(clip))
    with whole_folder(_folder(clip, image_path)) as folder:
        for count, frame in enumerate(iterate_video(clip), start=1):
            grey = (frame[..., :1] == frame).all()
            pixels = frame[..., 0] if grey else cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
            _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            (folder / f"image_{count:05d}.jpg").write_bytes(content.tobytes())
        if masks is not None and len(masks) != count:
            raise ValueError(f"it has {count} frames and its masks are for {len(masks)}")
        if masks is not None:
            write_masks(folder / "masks.npz", masks)
        (folder / "n_frames").write_text(str(count))
    return count


def is_complete(clip, image_path):
    """Whether all frames of a clip are there, extracted after the clip was made."""
    folder = _folder(clip, image_path)
    made = folder / "n_frames"
    if not made.is_file() or made.stat().st_mtime < clip.stat().st_mtime:
        return False
    if masks_path(clip).is_file() and not (folder / "masks.npz").is_file():
        return False
    return made.read_text(errors="replace").strip() == str(len(list(folder.glob("image_*.jpg"))))


def _folder(clip, image_path):
    return image_path / clip.parent.name / clip.stem


def extract_all(args):
    clips = [path for path in sorted(args.trimmed_path.glob("[!.]*/[!.]*")) if path.suffix.lower() in VIDEO_SUFFIXES]
    if not clips:
        raise ValueError(f"no clips in class folders of {args.trimmed_path}; make them with utils/trim_videos.py")
    folders = Counter(_folder(clip, args.image_path) for clip in clips)
    twice = [folder for folder, count in folders.items() if count > 1]
    if twice:
        raise ValueError(f"several clips would be extracted to {twice[0]}; rename one of them")
    with sole_writer(args.image_path):
        kept = set() if args.overwrite else {clip for clip in clips if is_complete(clip, args.image_path)}
        todo = [clip for clip in clips if clip not in kept]
        results = run_isolated(partial(extract, image_path=args.image_path), todo, args.workers, args.time_limit)
        errors = {}
        for clip, _, error in tqdm(results, total=len(todo), desc="extracting", unit="clip", disable=None):
            if error:
                errors[clip] = error
    report(clips, kept, errors)
    others = [path for path in args.image_path.glob("[!.]*/[!.]*") if path.is_dir() and path not in folders]
    if others:
        opts.warn(f"{len(others)} folders such as {min(others)} are of no clip in {args.trimmed_path}, they are kept")
    print(f"frames are in {args.image_path}")


def report(clips, kept, errors):
    """Print what became of the clips, by class. ValueError where not one is there."""
    for clip, error in sorted(errors.items()):
        opts.warn(f"{clip}: {error}")
    for name in sorted({clip.parent.name for clip in clips}):
        total, old, bad = (sum(clip.parent.name == name for clip in group) for group in (clips, kept, errors))
        print(f"{name}: {total - old - bad} clips extracted, {old} kept from before, {bad} skipped")
    if len(errors) == len(clips):
        clip, error = min(errors.items())
        raise ValueError(f"none of the {len(clips)} clips could be extracted; {clip}: {error}")


def build_parser():
    parser = opts.Parser(__doc__.split("\n")[0])
    parser.add_argument("--trimmed_path", type=Path, default=Path("data/kth_trimmed"), help="class folders of clips")
    parser.add_argument("--image_path", type=Path, default=Path("data/kth/image_data"), help="where the frames go")
    parser.add_argument("--workers", type=int, default=n_cores(), help="processes at once; 0: none, to debug")
    parser.add_argument("--time_limit", type=opts.not_negative, default=300.0, help="seconds a clip may take")
    parser.add_argument("--overwrite", action="store_true", help="extract again what is complete")
    return parser


def main(argv=None):
    return opts.run(build_parser(), extract_all, argv)


if __name__ == "__main__":
    main()
