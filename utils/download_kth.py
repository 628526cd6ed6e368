"""Fetch the KTH action videos (Schuldt, Laptev and Caputo, ICPR 2004) from their official address.

    python3 utils/download_kth.py       # walking and running, 391 MB -> data/raw_dataset/kth_data/<class>/*.avi

A broken download goes on where it stopped, in a later run too; an archive is unpacked only after it has been checked,
which also finds the parts of two different files put together; a video takes its place whole or not at all; what is
complete is not fetched again.
"""

import http.client
import re
import shutil
import ssl
import stat
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts

# isort: split
from tqdm import tqdm

from data.datasets.kth import read_sequences
from runtime.files import sole_writer, whole_file

URL = "https://www.csc.kth.se/cvap/actions"
CLASSES = ("walking", "running", "jogging", "boxing", "handclapping", "handwaving")
RANGES = "00sequences.txt"
PERSONS = range(1, 26)
MISSING = {"person13_handclapping_d3_uncomp.avi"}  # does not exist
MAX_ARCHIVE = 2 << 30  # bytes; the official archives have up to 250 MB
MAX_VIDEO = 64 << 20  # bytes; the official videos have a few MB
UNREACHABLE = (urllib.error.URLError, http.client.InvalidURL, OverflowError)
BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError)
BY_HAND = "copy the videos into data/raw_dataset/kth_data/<class>/ by hand or make some with utils/synthesize_kth.py"
TERMS = """The KTH videos are free for non-commercial use. Cite: C. Schuldt, I. Laptev and B. Caputo, Recognizing human
actions: a local SVM approach, ICPR 2004."""


def video_names(action):
    """The names of KTH's videos of one action: 25 persons in 4 scenarios."""
    return {f"person{p:02d}_{action}_d{s}_uncomp.avi" for p in PERSONS for s in range(1, 5)} - MISSING


def _size(path):
    return path.stat().st_size if path.is_file() else 0


def _receive(url, part, timeout):
    """One connection: append to `part` what is lacking of `url`."""
    start = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        start = start if answer.status == 206 else 0  # a server that always sends the whole file
        total = start + int(answer.headers.get("Content-Length", 0))
        with part.open("ab" if start else "wb") as file, tqdm(desc=part.stem, total=total, initial=start, unit="B",
                                                              unit_scale=True, disable=None) as bar:
            while chunk := answer.read1(1 << 16):
                if file.tell() + len(chunk) > MAX_ARCHIVE:
                    raise ValueError(f"more than {MAX_ARCHIVE} come, which cannot be KTH's")
                file.write(chunk)
                bar.update(len(chunk))
    if _size(part) < total:
        raise ConnectionError(f"the connection ended at {_size(part)} of {total} bytes")


def fetch(url, part, timeout=30, retries=5):
    """Download `url` into the file `part`, going on behind what is there of it already.

    A connection that breaks, or sends nothing for `timeout` seconds, is opened again after 2, 4, 8 ... seconds, at
    most `retries` times. OSError where there is no connection, the server refuses, or it was given up; what arrived
    stays. Whether it is the right file is for the caller to check.
    """
    for pause in [min(60, 2**count) for count in range(1, retries + 1)] + [0]:
        try:
            return _receive(url, part, timeout)
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # nothing lies behind what is here
                return None
            if error.code < 500:
                raise OSError(f"{url}: {reason}; give another address with --url or {BY_HAND}") from error
        except UNREACHABLE as error:
            raise OSError(f"no connection to {url} ({getattr(error, 'reason', error)}); {BY_HAND}") from error
        except BROKEN as error:
            reason = error
        if pause:
            opts.warn(f"{url}: {reason}; trying again")
            time.sleep(pause)
    raise OSError(f"{url}: given up after {retries + 1} failures ({reason}); {_size(part)} bytes stay, "
                  f"run the same command to go on, or {BY_HAND}")


def check_archive(path, action):
    """The videos of `action` in a downloaded archive, {name: ZipInfo}.

    Every member is decompressed and compared with its checksum. ValueError where the archive is truncated, damaged or
    of another kind, and where a member would not stay in its folder, is a link or is larger than a KTH video.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename
                if re.search(r"^[/\\]|:|\.\.", name) or stat.S_ISLNK(member.external_attr >> 16):
                    raise ValueError(f"{name!r} is a link or lies outside the archive's folder")
                if member.file_size > MAX_VIDEO:
                    raise ValueError(f"{name!r} has {member.file_size} bytes, more than any KTH video")
            if damaged := archive.testzip():
                raise ValueError(f"{damaged!r} in it is damaged")
            members = {Path(member.filename).name: member for member in archive.infolist()}
    except DAMAGED as error:
        raise ValueError(f"not a whole and harmless zip archive: {error}") from error
    videos = {name: member for name, member in members.items() if name in video_names(action)}
    if not videos:
        raise ValueError(f"it holds no video named personPP_{action}_dS_uncomp.avi")
    return videos


def unpack(path, videos, folder):
    """Write the members `videos` ({name: ZipInfo}) of an archive to `folder`, one by one and each whole or not at all.

    A file that is there already with the right size is kept. Returns how many were written.
    """
    todo = {name: member for name, member in sorted(videos.items()) if _size(folder / name) != member.file_size}
    with zipfile.ZipFile(path) as archive:
        for name, member in tqdm(todo.items(), desc=f"unpacking {folder.name}", disable=None):
            with whole_file(folder / name) as new, archive.open(member) as source, new.open("wb") as target:
                shutil.copyfileobj(source, target)
    return len(todo)


def download(name, check, args):
    """Fetch one file into `args.output`. Returns the path of the part file and what check(path) says of it."""
    url, part = f"{args.url.rstrip('/')}/{name}", args.output / f"{name}.part"
    try:
        fetch(url, part, args.timeout, args.retries)
        return part, check(part)
    except ValueError as error:
        size = _size(part)
        part.unlink(missing_ok=True)
        raise ValueError(f"{url} gave {size} useless bytes: {error}; they were deleted, run the same command "
                         f"to fetch them again, or {BY_HAND}") from error


def work(args):
    if not args.url.startswith(("http://", "https://")):
        raise ValueError(f"--url {args.url} is not an address of the form https://host/folder")
    with sole_writer(args.output):
        for action in dict.fromkeys(args.classes):
            folder, names = args.output / action, video_names(action)
            if all(_size(folder / name) for name in names):
                print(f"{action}: all {len(names)} videos are in {folder}, nothing to fetch")
                continue
            part, videos = download(f"{action}.zip", partial(check_archive, action=action), args)
            written = unpack(part, videos, folder)
            part.unlink()
            print(f"{action}: {written} videos written to {folder}, {len(videos) - written} were there already; the "
                  f"archive lacks {len(names) - len(videos)}")
        if not _size(args.output / RANGES):
            part, known = download(RANGES, read_sequences, args)
            part.replace(args.output / RANGES)
            print(f"{RANGES}: ranges of {len(known)} videos written to {args.output}")
    print(TERMS)


def build_parser():
    parser = opts.Parser(__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("data/raw_dataset/kth_data"), help="where the videos go")
    parser.add_argument("--classes", nargs="+", choices=CLASSES, default=["walking", "running"], metavar="CLASS",
                        help=f"which actions: {', '.join(CLASSES)}")
    parser.add_argument("--url", default=URL, help="folder with <class>.zip and 00sequences.txt, for a mirror")
    parser.add_argument("--timeout", type=opts.positive_int, default=30, help="seconds without data that are a stall")
    parser.add_argument("--retries", type=opts.positive_int, default=5, help="failures before giving up")
    return parser


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
