"""The KTH download against a server on this machine that breaks off, stalls or refuses."""

from pathlib import Path

import pytest

from tests.kth_server import ARCHIVE, RANGES, TIMEOUT, archive, download, is_whole, leftovers, refusal
from utils.download_kth import main


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
    assert server.requests == [] and capsys.readouterr().out.count("nothing to download") == 2


@pytest.mark.parametrize("fault", ["break", "stall"])
def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path, capsys, fault):
    server.faults = [fault, fault]
    download(server, tmp_path)
    half = len(ARCHIVE) // 2
    asked = [first for name, first in server.requests if name == "walking.zip"]
    assert asked == [None, half, half + (len(ARCHIVE) - half) // 2]
    assert is_whole(tmp_path) and not leftovers(tmp_path)
    assert capsys.readouterr().err.count("trying again") == 2
    assert set(server.timeouts) == {TIMEOUT}


@pytest.mark.parametrize("fault", ["silent", "500"])
def test_a_server_in_trouble_is_asked_again(server, tmp_path, fault):
    server.faults = [fault]
    download(server, tmp_path)
    assert is_whole(tmp_path) and server.pauses == [2]


def test_a_later_run_goes_on_with_what_arrived(server, tmp_path, capsys):
    server.faults = ["break"] + ["vanish"] * 9
    line = refusal(server, tmp_path, capsys, "--retries", "2")
    half = len(ARCHIVE) // 2
    assert "given up after 3 failures (Remote end closed connection without response)" in line
    assert f"{half} bytes are kept, run the same command to go on" in line
    assert server.pauses == [2, 4] and (tmp_path / "walking.zip.part").stat().st_size == half
    server.faults, server.requests = [], []
    download(server, tmp_path)
    assert server.requests[0] == ("walking.zip", half) and is_whole(tmp_path) and not leftovers(tmp_path)


def test_a_server_that_ignores_range_is_read_from_the_start(server, tmp_path):
    server.faults, server.ignores_range = ["break"], True
    download(server, tmp_path)
    assert is_whole(tmp_path) and [name for name, _ in server.requests].count("walking.zip") == 2


@pytest.mark.parametrize("other", [archive(seed=1), archive(count=3)], ids=["other", "shorter"])
def test_the_parts_of_two_files_are_not_taken_for_one(server, tmp_path, capsys, other):
    server.faults = ["break"] + ["vanish"] * 9
    refusal(server, tmp_path, capsys)
    server.files["walking.zip"], server.faults = other, []
    assert "useless bytes" in refusal(server, tmp_path, capsys)
    assert not list(tmp_path.rglob("*.avi")) and not leftovers(tmp_path)
    download(server, tmp_path)
    assert list(tmp_path.rglob("*.avi")) and not leftovers(tmp_path)


def test_404_is_one_line_and_not_tried_again(server, tmp_path, capsys):
    server.files.clear()
    line = refusal(server, tmp_path, capsys)
    assert "walking.zip: the server answers 404 Not Found" in line and "--url" in line
    assert len(server.requests) == 1


def test_offline_is_one_line_that_says_what_to_do(server, tmp_path, capsys):
    server.shutdown()
    server.server_close()
    line = refusal(server, tmp_path, capsys)
    assert "no connection to http://127.0.0.1" in line and "by hand" in line and "utils/synthesize_kth.py" in line
    assert server.pauses == []


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--url", "file:///etc"], "is not an address of the form https://host/folder"),
    (["--url", "http://127.0.0.1:99999/kth"], "no connection"), (["--url", "http://a b"], "no connection"),
    (["--classes", "dancing"], "invalid choice: 'dancing'"), (["--output", "OCCUPIED"], "OCCUPIED"),
])
def test_bad_arguments_are_one_line(tmp_path, capsys, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    Path("OCCUPIED").write_text("a file")
    with pytest.raises(SystemExit) as end:
        main(arguments)
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and sentence in error
