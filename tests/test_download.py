"""The KTH download against a server on this machine that breaks off, stalls, refuses, or sends something else."""

import io
import random
import re
import stat
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from utils import download_kth
from utils.download_kth import check_archive, fetch, main, video_names

RANGES = b"\r\nperson01_walking_d1\t\tframes\t1-75, 152-225\r\nperson01_running_d1\tframes\t1-35\r\n"
FIRST = "person01_walking_d1_uncomp.avi"


def archive(action="walking", count=12, extra=(), seed=0):
    """A zip like KTH's with `count` small videos (3 persons); `extra` holds further (name or ZipInfo, content)."""
    noise = random.Random(seed)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in sorted(video_names(action))[:count]:
            file.writestr(name, noise.randbytes(2000))
        for name, content in extra:
            file.writestr(name, content)
    return buffer.getvalue()


ARCHIVE = archive()


class Handler(BaseHTTPRequestHandler):
    """Serves server.files ({path: bytes}) with Range; server.faults are taken one per request, from the front."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Keep the test output quiet."""

    def do_GET(self):
        server, name = self.server, self.path.removeprefix("/kth/")
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        server.requests.append((name, int(asked[1]) if asked else None))
        fault = server.faults.pop(0) if server.faults else ""
        content = server.files.get(name)
        self.close_connection = True
        if fault == "silent":
            time.sleep(3)
        if fault in ("404", "500", "503") or content is None:
            return self.send_error(int(fault) if fault.isdigit() else 404)
        if fault == "vanish":
            return None
        start = int(asked[1]) if asked and not server.ignores_range else 0
        if start and start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if not server.hides_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        self.wfile.write(rest[: len(rest) // 2] if fault in ("break", "stall") else rest)
        self.wfile.flush()
        if fault == "stall":
            time.sleep(3)
        return None


@pytest.fixture
def server(monkeypatch):
    """A running server: .url, .files, .faults, .requests (name, first byte asked for), .pauses between attempts."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download_kth, "PERSONS", range(1, 4))
    monkeypatch.setattr(download_kth, "MAX_VIDEO", 1 << 20)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda request, address: None  # a client that has gone
    server.url = f"http://127.0.0.1:{server.server_port}/kth"
    server.files = {"walking.zip": ARCHIVE, "running.zip": archive("running"), "00sequences.txt": RANGES}
    server.faults, server.requests, server.pauses = [], [], []
    server.ignores_range, server.hides_length = False, False
    monkeypatch.setattr(download_kth, "time", SimpleNamespace(sleep=server.pauses.append))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def download(server, output, *more):
    main(["--url", server.url, "--output", str(output), "--classes", "walking", "--timeout", "1", *more])


def refusal(server, output, capsys, *more):
    """Run a download that must fail with status 2, and return its one line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        download(server, output, *more)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert end.value.code == 2 and len(lines) == 1 and "Traceback" not in lines[0]
    return lines[0]


def is_whole(output, content=ARCHIVE):
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return all((output / "walking" / name).read_bytes() == file.read(name) for name in video_names("walking"))


def leftovers(output):
    return [path.name for path in output.rglob("*") if ".part" in path.name]


def test_videos_and_ranges_are_put_in_place_and_then_kept(server, tmp_path, capsys):
    main(["--url", server.url + "/", "--output", str(tmp_path / "kth")])
    out = capsys.readouterr().out
    assert is_whole(tmp_path / "kth") and len(list((tmp_path / "kth/running").iterdir())) == 12
    assert (tmp_path / "kth/00sequences.txt").read_bytes() == RANGES
    assert not leftovers(tmp_path)
    assert "walking: 12 videos written" in out and "ranges of 2 videos" in out
    assert "non-commercial" in out and "ICPR 2004" in out
    server.requests.clear()
    main(["--url", server.url, "--output", str(tmp_path / "kth")])
    assert server.requests == [] and capsys.readouterr().out.count("nothing to fetch") == 2


@pytest.mark.parametrize("fault", ["break", "stall"])
def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path, capsys, fault):
    server.faults = [fault, fault]
    download(server, tmp_path)
    half = len(ARCHIVE) // 2
    asked = [first for name, first in server.requests if name == "walking.zip"]
    assert asked == [None, half, half + (len(ARCHIVE) - half) // 2]
    assert is_whole(tmp_path) and not leftovers(tmp_path)
    assert capsys.readouterr().err.count("trying again") == 2


@pytest.mark.parametrize("fault", ["silent", "vanish", "500", "503"])
def test_a_server_in_trouble_is_asked_again(server, tmp_path, fault):
    server.faults = [fault]
    download(server, tmp_path)
    assert is_whole(tmp_path) and server.pauses == [2]


def test_a_later_run_goes_on_with_what_arrived(server, tmp_path, capsys):
    server.faults = ["break"] + ["vanish"] * 9
    line = refusal(server, tmp_path, capsys, "--retries", "2")
    half = len(ARCHIVE) // 2
    assert "given up after 3 failures (Remote end closed connection without response)" in line
    assert f"{half} bytes stay, run the same command to go on" in line
    assert server.pauses == [2, 4] and (tmp_path / "walking.zip.part").stat().st_size == half
    server.faults, server.requests = [], []
    download(server, tmp_path)
    assert server.requests[0] == ("walking.zip", half) and is_whole(tmp_path) and not leftovers(tmp_path)


def test_a_server_that_ignores_range_is_read_from_the_start(server, tmp_path):
    server.faults, server.ignores_range = ["break"], True
    download(server, tmp_path)
    assert is_whole(tmp_path) and [name for name, _ in server.requests].count("walking.zip") == 2


def test_a_server_that_ignores_range_and_always_breaks_off_is_given_up(server, tmp_path, capsys):
    server.faults, server.ignores_range = ["break"] * 50, True
    assert "given up after 4 failures" in refusal(server, tmp_path, capsys, "--retries", "3")
    assert len(server.requests) == 4


@pytest.mark.parametrize("other", [archive(seed=1), archive(count=3)], ids=["other", "shorter"])
def test_the_parts_of_two_files_are_not_taken_for_one(server, tmp_path, capsys, other):
    server.faults = ["break"] + ["vanish"] * 9
    refusal(server, tmp_path, capsys)
    server.files["walking.zip"], server.faults = other, []
    assert "useless bytes" in refusal(server, tmp_path, capsys)
    assert not list(tmp_path.rglob("*.avi")) and not leftovers(tmp_path)
    download(server, tmp_path)
    assert list(tmp_path.rglob("*.avi")) and not leftovers(tmp_path)


def test_another_address_goes_on_with_what_arrived(server, tmp_path, capsys):
    server.faults = ["break"] + ["vanish"] * 9
    refusal(server, tmp_path, capsys)
    server.faults, server.requests = [], []
    server.files |= {f"mirror/{name}": content for name, content in server.files.items()}
    server.url += "/mirror"
    download(server, tmp_path)
    assert server.requests[0] == ("mirror/walking.zip", len(ARCHIVE) // 2) and is_whole(tmp_path)


def test_a_server_that_does_not_tell_the_length(server, tmp_path):
    server.hides_length = True
    download(server, tmp_path)
    assert is_whole(tmp_path) and not leftovers(tmp_path)


def test_404_is_one_line_and_not_tried_again(server, tmp_path, capsys):
    server.files.clear()
    line = refusal(server, tmp_path, capsys)
    assert "walking.zip: the server answers 404 Not Found" in line and "--url" in line
    assert len(server.requests) == 1


def test_what_came_before_a_404_is_kept(server, tmp_path, capsys):
    del server.files["00sequences.txt"]
    assert "00sequences.txt: the server answers 404" in refusal(server, tmp_path, capsys)
    assert is_whole(tmp_path)


def test_offline_is_one_line_that_says_what_to_do(server, tmp_path, capsys):
    server.shutdown()
    server.server_close()
    line = refusal(server, tmp_path, capsys)
    assert "no connection to http://127.0.0.1" in line and "by hand" in line and "utils/synthesize_kth.py" in line
    assert server.pauses == []


def with_link(name):
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def damaged():
    """One bit inside the first video is wrong, everything else is in order."""
    return ARCHIVE[:500] + bytes([ARCHIVE[500] ^ 1]) + ARCHIVE[501:]


def encrypted():
    content = bytearray(ARCHIVE)
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    "content, reason",
    [
        (ARCHIVE[: len(ARCHIVE) // 2], "not a whole and harmless zip archive: File is not a zip file"),
        (b"", "0 useless bytes"),
        (b"<html>please log in</html>", "26 useless bytes: not a whole and harmless zip archive"),
        (damaged(), "damaged|not a whole"),
        (encrypted(), "encrypted"),
        (archive(extra=[("../evil.avi", b"x")]), "'../evil.avi' is a link or lies outside"),
        (archive(extra=[("a/../../evil.avi", b"x")]), "evil.avi' is a link or lies outside"),
        (archive(extra=[("..\\evil.avi", b"x")]), "evil.avi' is a link or lies outside"),
        (archive(extra=[("/tmp/evil.avi", b"x")]), "'/tmp/evil.avi' is a link or lies outside"),
        (archive(extra=[("C:evil.avi", b"x")]), "'C:evil.avi' is a link or lies outside"),
        (archive(count=0, extra=[(with_link(FIRST), b"/etc/passwd")]), "is a link or lies outside"),
        (archive(extra=[("bomb.avi", bytes(2 << 20))]), "'bomb.avi' has 2097152 bytes, more than any KTH video"),
        (archive("running"), "it holds no video named personPP_walking_dS_uncomp.avi"),
    ],
    ids=["truncated", "empty", "page", "damaged", "encrypted", "above", "above_later", "backslash", "absolute", "drive",
         "link", "bomb", "other_class"],
)  # fmt: skip
def test_a_useless_archive_is_deleted_and_said_in_one_line(server, tmp_path, capsys, content, reason):
    server.files["walking.zip"] = content
    assert re.search(reason, refusal(server, tmp_path / "a" / "kth", capsys))
    assert not leftovers(tmp_path) and not [path for path in tmp_path.rglob("*.avi")]
    server.files["walking.zip"] = ARCHIVE
    download(server, tmp_path / "a" / "kth")
    assert is_whole(tmp_path / "a" / "kth")


def test_any_damage_is_noticed(tmp_path):
    """No change of one byte passes the check with other videos, and none ends in another exception."""
    small, noise = archive(count=2), random.Random(1)
    path = tmp_path / "walking.zip"
    path.write_bytes(small)
    with zipfile.ZipFile(path) as file:
        good = {name: file.read(name) for name in file.namelist()}
    for place in [*noise.sample(range(len(small) - 300), 200), *range(len(small) - 300, len(small))]:
        path.write_bytes(small[:place] + bytes([noise.randrange(256)]) + small[place + 1 :])
        try:
            videos = check_archive(path, "walking")
        except ValueError:
            continue
        with zipfile.ZipFile(path) as file:
            assert all(good[name] == file.read(member) for name, member in videos.items())


def test_other_files_are_left_out_and_missing_ones_counted(server, tmp_path, capsys):
    extra = [("readme.txt", b"x"), ("__MACOSX/._" + FIRST, b"x"), ("person01_walking_d9_uncomp.avi", b"x")]
    server.files["walking.zip"] = archive(count=9, extra=extra)
    download(server, tmp_path)
    assert len(list((tmp_path / "walking").iterdir())) == 9
    assert "lacks 3" in capsys.readouterr().out


def test_videos_in_a_folder_of_the_archive_are_found(server, tmp_path):
    server.files["walking.zip"] = archive(count=0, extra=[("walking/", b""), (f"walking/{FIRST}", b"video")])
    download(server, tmp_path)
    assert (tmp_path / "walking" / FIRST).read_bytes() == b"video"


def test_half_copied_videos_are_replaced_and_whole_ones_kept(server, tmp_path, capsys):
    download(server, tmp_path)
    names = sorted(video_names("walking"))
    (tmp_path / "walking" / names[0]).unlink()
    (tmp_path / "walking" / names[1]).write_bytes(b"half")
    (tmp_path / "walking" / "own.avi").write_bytes(b"mine")
    before = (tmp_path / "walking" / names[2]).stat().st_mtime_ns
    download(server, tmp_path)
    assert "walking: 2 videos written" in capsys.readouterr().out and is_whole(tmp_path)
    assert (tmp_path / "walking" / names[2]).stat().st_mtime_ns == before
    assert (tmp_path / "walking" / "own.avi").read_bytes() == b"mine"


def test_interrupted_while_unpacking(server, tmp_path, monkeypatch, capsys):
    """A video is whole or not there; the archive stays, so that the next run fetches nothing."""
    copy, calls = download_kth.shutil.copyfileobj, []

    def stop(source, target):
        calls.append(1)
        if len(calls) > 3:
            target.write(b"half")
            raise KeyboardInterrupt
        copy(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(download_kth.shutil, "copyfileobj", stop)
        with pytest.raises(SystemExit) as end:
            download(server, tmp_path)
    assert end.value.code == 130 and len(list((tmp_path / "walking").iterdir())) == 3
    server.requests.clear()
    download(server, tmp_path)
    assert is_whole(tmp_path) and server.requests[0] == ("walking.zip", len(ARCHIVE)) and not leftovers(tmp_path)


def test_a_page_in_place_of_the_ranges_is_refused(server, tmp_path, capsys):
    server.files["00sequences.txt"] = b"<html>please log in</html>"
    assert "useless bytes" in refusal(server, tmp_path, capsys)
    assert not (tmp_path / "00sequences.txt").exists() and not leftovers(tmp_path)


def test_an_endless_answer_is_cut_off(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(download_kth, "MAX_ARCHIVE", 1000)
    assert "more than 1000 come" in refusal(server, tmp_path, capsys)
    assert not list(tmp_path.rglob("*.avi")) and not leftovers(tmp_path)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--url", "file:///etc"], "is not an address of the form https://host/folder"),
        (["--url", "http://127.0.0.1:99999/kth"], "no connection"),
        (["--url", "http://127.0.0.1:x/kth"], "no connection"),
        (["--url", "http://a b"], "no connection"),
        (["--url", "kth.se"], "is not an address"),
        (["--classes", "dancing"], "invalid choice: 'dancing'"),
        (["--timeout", "0"], "--timeout"),
        (["--retries", "-1"], "--retries"),
        (["--output", "OCCUPIED"], "OCCUPIED"),
    ],
)
def test_bad_arguments_are_one_line(tmp_path, capsys, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    Path("OCCUPIED").write_text("a file")
    with pytest.raises(SystemExit) as end:
        main(arguments)
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and sentence in error


def test_the_names_are_those_of_kth():
    assert len(video_names("walking")) == 100 and FIRST in video_names("walking")
    assert len(video_names("handclapping")) == 99


def test_fetch_alone(server, tmp_path):
    server.faults = ["break"]
    fetch(server.url + "/walking.zip", tmp_path / "file.part", timeout=1)
    assert (tmp_path / "file.part").read_bytes() == ARCHIVE
    fetch(server.url + "/walking.zip", tmp_path / "file.part")
    assert (tmp_path / "file.part").read_bytes() == ARCHIVE and len(server.requests) == 3  # the third is answered 416
