"""A server of KTH's archives on this machine that breaks off, stalls, refuses, or sends something else."""

import http.client
import io
import random
import re
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

from tests.runs import refused
from utils import download_kth
from utils.download_kth import main, video_names

RANGES = b"\r\nperson01_walking_d1\t\tframes\t1-75, 152-225\r\nperson01_running_d1\tframes\t1-35\r\n"
FIRST = "person01_walking_d1_uncomp.avi"
TIMEOUT = 120  # seconds that `download` gives a server


def archive(action="walking", count=12, extra=(), seed=0):
    """Return a zip like KTH's with `count` small videos (3 persons) and `extra` (name or ZipInfo, content)."""
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
        fault = server.fault = server.faults.pop(0) if server.faults else ""
        server.reached.release()
        content = server.files.get(name)
        self.close_connection = True
        if fault == "silent":
            server.over.wait()
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
            server.stalled.release()
            server.over.wait()
        return None


@contextmanager
def serving(monkeypatch):
    """Yield a running server: .url, .files, .faults, .requests (name, first byte asked for), .pauses, .timeouts.

    The client's patience ends at once when the server is silent for good, and never before, however busy the machine
    is. `timeouts` holds the seconds that it would have waited.
    """
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download_kth, "PERSONS", range(1, 4))
    monkeypatch.setattr(download_kth, "MAX_VIDEO", 1 << 20)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda request, address: None  # a client that has gone
    server.url = f"http://127.0.0.1:{server.server_port}/kth"
    server.files = {"walking.zip": ARCHIVE, "running.zip": archive("running"), "00sequences.txt": RANGES}
    server.faults, server.requests, server.pauses, server.timeouts = [], [], [], []
    server.ignores_range, server.hides_length = False, False
    server.reached, server.stalled, server.over = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    wait_for_response = http.client.HTTPConnection.getresponse

    def getresponse(connection):
        server.timeouts.append(connection.timeout)
        server.reached.acquire()
        if server.fault == "silent":
            connection.sock.settimeout(0.01)
        response = wait_for_response(connection)
        if server.fault == "stall":
            server.stalled.acquire()  # all that will come is here
            response.fp.raw._sock.settimeout(0.01)
        return response

    monkeypatch.setattr(http.client.HTTPConnection, "getresponse", getresponse)
    monkeypatch.setattr(download_kth, "time", SimpleNamespace(sleep=server.pauses.append))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def download(server, output, *more):
    """Download the class walking from the server."""
    main(["--url", server.url, "--output", str(output), "--classes", "walking", "--timeout", str(TIMEOUT), *more])


def refusal(server, output, capsys, *more):
    """Run a download that must fail with status 2, and return its one line."""
    return refused(capsys, download, server, output, *more)


def is_whole(output, content=ARCHIVE):
    """Return whether the class folder holds the videos of the archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return all((output / "walking" / name).read_bytes() == file.read(name) for name in video_names("walking"))


def leftovers(output):
    """Return the names of files that are half-written."""
    return [path.name for path in output.rglob("*") if ".part" in path.name]
