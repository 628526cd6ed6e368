"""Download the KTH action videos (Schuldt, Laptev and Caputo, ICPR 2004) from their official address.

    python3 utils/download_kth.py       # walking and running, 391 MB -> data/raw_dataset/kth_data/<class>/*.avi

A broken download continues where it stopped, also in a later run. An archive is checked before it is unpacked; this
also finds an archive put together from parts of two files. A video is written completely or not at all. Complete videos
are not downloaded again.
"""

import argparse
import http.client
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts

# isort: split

from data.datasets.kth import read_sequences
from runtime.errors import UserError
from runtime.files import sole_writer, whole_file
from runtime.progress import Progress, each

URL = "https://www.csc.kth.se/cvap/actions"
CLASSES = ("walking", "running", "jogging", "boxing", "handclapping", "handwaving")
RANGES = "00sequences.txt"
PERSONS = range(1, 26)
MISSING = {"person13_handclapping_d3_uncomp.avi"}  # KTH has no such video
MAX_ARCHIVE = 2 << 30  # bytes; the official archives have up to 250 MB
MAX_VIDEO = 64 << 20  # bytes; the official videos have a few MB
UNREACHABLE = (urllib.error.URLError, http.client.InvalidURL, OverflowError)  # raised if there is no connection
BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)  # raised if it breaks
BY_HAND = "copy the videos into data/raw_dataset/kth_data/<class>/ by hand or make some with utils/synthesize_kth.py"
TERMS = """The KTH videos are free for non-commercial use. Cite: C. Schuldt, I. Laptev and B. Caputo, Recognizing human
actions: a local SVM approach, ICPR 2004."""


def video_names(action: str) -> set[str]:
    """Return the names of KTH's videos of one action: 25 persons in 4 scenarios."""
    return {f"person{p:02d}_{action}_d{s}_uncomp.avi" for p in PERSONS for s in range(1, 5)} - MISSING


def _size(path: Path) -> int:
    """Return the size of a file in bytes, or 0 if there is no such file."""
    return path.stat().st_size if path.is_file() else 0


def _receive(url: str, part: Path, timeout: float) -> None:
    """Open one connection and append the missing bytes of `url` to the file `part`."""
    start = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        if answer.status != 206:  # the server sends the whole file, not the part that was asked for
            start = 0
        total = start + int(answer.headers.get("Content-Length", 0))
        with part.open("ab" if start else "wb") as file, Progress(total, part.stem, "byte", initial=start,
                                                                  unit_scale=True) as bar:
            while chunk := answer.read1(1 << 16):
                if file.tell() + len(chunk) > MAX_ARCHIVE:
                    raise UserError(f"it has more than {MAX_ARCHIVE} bytes, more than any file of KTH")
                file.write(chunk)
                bar.update(len(chunk))
    if _size(part) < total:
        raise ConnectionError(f"the connection ended at {_size(part)} of {total} bytes")


def fetch(url: str, part: Path, timeout: float = 30, retries: int = 5) -> None:
    """Download `url` into the file `part`. If the file exists, continue behind its last byte.

    A connection that breaks, or sends nothing for `timeout` seconds, is opened again after 2, 4, 8 ... seconds, at most
    `retries` times. The caller must check the content of the file.
    Raises OSError if there is no connection, if the server refuses, or after the last retry. The bytes received stay.
    """
    pauses = [min(60, 2**count) for count in range(1, retries + 1)]
    for pause in [*pauses, 0]:  # 0: the last attempt, no pause follows it
        try:
            _receive(url, part, timeout)
            return
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # the file has no bytes behind those that are here
                return
            if error.code < 500:
                raise OSError(f"{url}: {reason}; give another address with --url or {BY_HAND}") from error
        except UNREACHABLE as error:
            raise OSError(f"no connection to {url} ({getattr(error, 'reason', error)}); {BY_HAND}") from error
        except BROKEN as error:
            reason = error
        if pause:
            opts.warn(f"{url}: {reason}; trying again")
            time.sleep(pause)
    raise OSError(f"{url}: given up after {retries + 1} failures ({reason}); {_size(part)} bytes are kept, "
                  f"run the same command to go on, or {BY_HAND}")


def check_archive(path: Path, action: str) -> dict[str, zipfile.ZipInfo]:
    """Return the videos of `action` in a downloaded archive, {name: ZipInfo}; all other members are ignored.

    Decompresses every member and compares it with its checksum. Raises UserError if the archive is truncated, damaged
    or no zip archive, or if it has no such video.
    """
    names = video_names(action)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.file_size <= MAX_VIDEO]
            damaged = archive.testzip() if len(members) == len(archive.infolist()) else "larger than any KTH video"
    except Exception as error:  # zipfile and what it uses raise many kinds for damaged bytes
        raise UserError(f"it is no complete zip archive ({error})") from error
    if damaged:
        raise UserError(f"a member of it is damaged ({damaged})")
    videos = {name: member for member in members if (name := Path(member.filename).name) in names}
    if not videos:
        raise UserError(f"it holds no video named personPP_{action}_dS_uncomp.avi")
    return videos


def unpack(path: Path, videos: dict[str, zipfile.ZipInfo], folder: Path) -> int:
    """Write the members `videos` ({name: ZipInfo}) of an archive to `folder`, each completely or not at all.

    Keeps a file that exists with the right size. Returns the number of files written.
    """
    todo = {name: member for name, member in sorted(videos.items()) if _size(folder / name) != member.file_size}
    with zipfile.ZipFile(path) as archive:
        for name, member in each(todo.items(), f"unpacking {folder.name}", "file"):
            with whole_file(folder / name) as new, archive.open(member) as source, new.open("wb") as target:
                shutil.copyfileobj(source, target)
    return len(todo)


def download(name: str, check: Callable[[Path], Any], args: argparse.Namespace) -> tuple[Path, Any]:
    """Download the file `name` into `args.output`. Returns the path of the part file and the result of check(path).

    Raises ValueError if `check` does. The part file is deleted then.
    """
    url, part = f"{args.url.rstrip('/')}/{name}", args.output / f"{name}.part"
    try:
        fetch(url, part, args.timeout, args.retries)
        return part, check(part)
    except UserError as error:
        size = _size(part)
        part.unlink(missing_ok=True)
        raise UserError(f"{url} gave {size} useless bytes: {error}; they were deleted, run the same command "
                        f"to download them again, or {BY_HAND}") from error


def work(args: argparse.Namespace) -> None:
    """Download and unpack all classes that are not complete, and the file of ranges."""
    if not args.url.startswith(("http://", "https://")):
        raise UserError(f"--url {args.url} is not an address of the form https://host/folder; correct it")
    with sole_writer(args.output):
        for action in dict.fromkeys(args.classes):
            folder, names = args.output / action, video_names(action)
            if all(_size(folder / name) for name in names):
                print(f"{action}: all {len(names)} videos are in {folder}, nothing to download")
                continue
            part, videos = download(f"{action}.zip", partial(check_archive, action=action), args)
            written = unpack(part, videos, folder)
            part.unlink()
            print(f"{action}: {written} videos written to {folder}, {len(videos) - written} were there already; the "
                  f"archive lacks {len(names) - len(videos)}")
        if not _size(args.output / RANGES):
            part, sequences = download(RANGES, read_sequences, args)
            part.replace(args.output / RANGES)
            print(f"{RANGES}: ranges of {len(sequences)} videos written to {args.output}")
    print(TERMS)


def build_parser() -> opts.Parser:
    parser = opts.Parser(__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("data/raw_dataset/kth_data"), help="folder for the videos")
    parser.add_argument("--classes", nargs="+", choices=CLASSES, default=["walking", "running"], metavar="CLASS",
                        help=f"actions to download, out of {', '.join(CLASSES)}")
    parser.add_argument("--url", default=URL,
                        help="address of a folder with <class>.zip and 00sequences.txt, for example a mirror")
    parser.add_argument("--timeout", type=opts.positive_int, default=30,
                        help="seconds without data after which a connection counts as broken")
    parser.add_argument("--retries", type=opts.positive_int, default=5, help="how often a broken download is retried")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    main()
