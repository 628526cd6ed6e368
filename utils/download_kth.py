"""Fetch the KTH action videos (Schuldt, Laptev and Caputo, ICPR 2004) from their official address.

    python3 utils/download_kth.py       # walking and running, 391 MB -> data/raw_dataset/kth_data/<class>/*.avi

A broken download goes on where it stopped, in a later run too; an archive is unpacked only after it has been checked; a
video takes its place whole or not at all; what is complete is not fetched again.
"""

import http.client
import re
import shutil
import ssl
import stat
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import opts
from data.files import read_json, sole_writer, whole_file, write_json
from data.kth import read_sequences

URL = "https://www.csc.kth.se/cvap/actions"
CLASSES = ("walking", "running", "jogging", "boxing", "handclapping", "handwaving")
RANGES = "00sequences.txt"
PERSONS = range(1, 26)
MISSING = {"person13_handclapping_d3_uncomp.avi"}  # does not exist
MAX_ARCHIVE = 2 << 30  # bytes; the official archives have up to 250 MB
MAX_VIDEO = 64 << 20  # bytes; the official videos have a few MB
BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError)
BY_HAND = "copy the videos into data/raw_dataset/kth_data/<class>/ by hand or make some with utils/synthesize_kth.py"
TERMS = """The KTH videos are free for non-commercial use. Cite: C. Schuldt, I. Laptev and B. Caputo, Recognizing human
actions: a local SVM approach, ICPR 2004."""


def video_names(action):
    """The names of KTH's videos of one action: 25 persons in 4 scenarios."""
    return {f"person{p:02d}_{action}_d{s}_uncomp.avi" for p in PERSONS for s in range(1, 5)} - MISSING


def _size(path):
    return path.stat().st_size if path.is_file() else 0


def _state_path(part):
    """Where it is written which file `part` is the beginning of."""
    return part.with_name(part.name + ".json")


def _drop(part):
    part.unlink(missing_ok=True)
    _state_path(part).unlink(missing_ok=True)


def _read_state(part):
    try:
        return read_json(_state_path(part))
    except (ValueError, OSError):
        return {}


def _receive(url, part, timeout):
    """One connection: append what is lacking of `url` to `part`, from the start where the two do not fit together."""
    before = _read_state(part)
    start = _size(part) if before.get("url") == url else 0
    if start and start == before.get("total"):
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        length = found[2] if found else answer.headers.get("Content-Length")
        state = {"url": url, "total": length and int(length), "etag": answer.headers.get("ETag"),
                 "modified": answer.headers.get("Last-Modified")}
        if answer.status == 206 and (not found or int(found[1]) != start or state != before):
            _drop(part)
            raise ConnectionError("the file on the server has changed")
        if answer.status != 206:  # a first request, or a server that always sends the whole file
            start = 0
            _drop(part)
            write_json(_state_path(part), state)
        with part.open("ab") as file, tqdm(desc=part.stem, total=state["total"], initial=start, unit="B", disable=None,
                                           unit_scale=True, unit_divisor=1024) as bar:
            while chunk := answer.read1(1 << 16):
                if file.tell() + len(chunk) > MAX_ARCHIVE:
                    _drop(part)
                    raise ValueError(f"{url} is larger than {MAX_ARCHIVE} bytes and cannot be KTH's; check --url")
                file.write(chunk)
                bar.update(len(chunk))
    if state["total"] is not None and _size(part) != state["total"]:
        raise ConnectionError(f"the connection ended at {_size(part)} of {state['total']} bytes")


def fetch(url, part, timeout=30, retries=5):
    """Download `url` into the file `part`, going on behind what is there of it already.

    A connection that breaks, or sends nothing for `timeout` seconds, is opened again after 2, 4, 8 ... seconds, and
    given up after more than `retries` failures in a row that brought nothing new; what arrived stays. OSError where
    there is no connection, the server refuses, or it was given up.
    """
    at_first = furthest = _size(part)
    failures = 0
    while True:
        try:
            return _receive(url, part, timeout)
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # nothing lies behind what is here: it is of another file
                _drop(part)
            elif error.code < 500 and error.code not in (408, 429):
                raise OSError(f"{url}: {reason}; give another address with --url or {BY_HAND}") from error
        except BROKEN as error:
            reason = getattr(error, "reason", error)
            if isinstance(error, urllib.error.URLError) and _size(part) == at_first:  # not even a first connection
                raise OSError(f"no connection to {url} ({reason}); {BY_HAND}") from error
        failures = 1 if _size(part) > furthest else failures + 1
        furthest = max(furthest, _size(part))
        if failures > retries:
            raise OSError(f"{url}: given up after {failures} failures in a row ({reason}); {_size(part)} bytes stay, "
                          f"run the same command to go on, or {BY_HAND}")
        opts.warn(f"{url}: {reason}; trying again")
        time.sleep(min(60, 2**failures))


def check_archive(path, action):
    """The videos of `action` in a downloaded archive: ({name: ZipInfo}, the number of other files in it).

    Every member is decompressed and compared with its checksum. ValueError where the archive is truncated, damaged or
    of another kind, and where a member would not stay in its folder, is a link or is larger than a KTH video.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            for member in members:
                name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
                if re.match(r"[/\\]|.*:", name) or ".." in re.split(r"[/\\]", name) or kind not in (0, stat.S_IFREG):
                    raise ValueError(f"{name!r} is a link or lies outside the archive's folder")
                if member.file_size > MAX_VIDEO:
                    raise ValueError(f"{name!r} has {member.file_size} bytes, more than any KTH video")
            damaged = archive.testzip()
    except DAMAGED as error:
        raise ValueError(f"not a whole and harmless zip archive: {error}") from error
    if damaged:
        raise ValueError(f"{damaged!r} in it is damaged")
    wanted = video_names(action)
    videos = {name: member for member in members if (name := Path(member.filename).name) in wanted}
    if not videos:
        raise ValueError(f"it holds no video named personPP_{action}_dS_uncomp.avi")
    return videos, len(members) - len(videos)


def unpack(path, videos, folder):
    """Write the members `videos` ({name: ZipInfo}) of an archive to `folder`, one by one and each whole or not at all.

    A file that is there already with the right size is kept. Returns how many were written.
    """
    written = 0
    with zipfile.ZipFile(path) as archive:
        for name, member in tqdm(sorted(videos.items()), desc=f"unpacking {folder.name}", disable=None):
            if _size(folder / name) != member.file_size:
                with whole_file(folder / name) as new, archive.open(member) as source, new.open("wb") as target:
                    shutil.copyfileobj(source, target)
                written += 1
    return written


def download_class(action, args):
    """Fetch, check and unpack one class unless it is complete; prints one line of counts."""
    folder, part = args.output / action, args.output / f"{action}.zip.part"
    names = video_names(action)
    if all(_size(folder / name) for name in names):
        _drop(part)
        print(f"{action}: all {len(names)} videos are in {folder}, nothing to fetch")
        return
    url = f"{args.url}/{action}.zip"
    fetch(url, part, args.timeout, args.retries)
    try:
        videos, others = check_archive(part, action)
    except ValueError as error:
        size = _size(part)
        _drop(part)
        raise ValueError(f"{url} gave {size} useless bytes: {error}; they were deleted, run the same command "
                         f"to fetch them again, or {BY_HAND}") from error
    written = unpack(part, videos, folder)
    _drop(part)
    print(f"{action}: {written} videos written to {folder}, {len(videos) - written} were there already; the archive "
          f"lacks {len(names) - len(videos)} and holds {others} other files, which were left out")


def download_ranges(args):
    """Fetch the file that says in which frames of each video somebody acts."""
    path, part = args.output / RANGES, args.output / f"{RANGES}.part"
    if _size(path):
        print(f"{RANGES}: is in {args.output}, nothing to fetch")
        return
    url = f"{args.url}/{RANGES}"
    fetch(url, part, args.timeout, args.retries)
    try:
        known = len(read_sequences(part))
    except ValueError as error:
        _drop(part)
        raise ValueError(f"{url} is not KTH's list of ranges; it was deleted, check --url") from error
    part.replace(path)
    _drop(part)
    print(f"{RANGES}: ranges of {known} videos written to {path}")


def _is_address(url):
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not re.search("[^!-~]", url)
    except ValueError:  # the port is none
        return False


def work(args):
    args.url = args.url.rstrip("/")
    if not _is_address(args.url):
        raise ValueError(f"--url {args.url} is not an address of the form https://host/folder")
    with sole_writer(args.output):
        for action in dict.fromkeys(args.classes):
            download_class(action, args)
        download_ranges(args)
    print(TERMS)


def build_parser():
    parser = opts.Parser(__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("data/raw_dataset/kth_data"), help="where the videos go")
    parser.add_argument("--classes", nargs="+", choices=CLASSES, default=["walking", "running"], metavar="CLASS",
                        help=f"which actions: {', '.join(CLASSES)}")
    parser.add_argument("--url", default=URL, help="folder with <class>.zip and 00sequences.txt, for a mirror")
    parser.add_argument("--timeout", type=opts.positive_int, default=30, help="seconds without data that are a stall")
    parser.add_argument("--retries", type=opts.positive_int, default=5, help="failures in a row before giving up")
    return parser


def main(argv=None):
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
