"""Archives that are damaged, hostile, incomplete or of another kind."""

import random
import re
import zipfile

import pytest

from tests.kth_server import ARCHIVE, FIRST, archive, download, is_whole, leftovers, refusal
from utils import download_kth
from utils.download_kth import check_archive, video_names


def damaged():
    """One bit inside the first video is wrong, everything else is in order."""
    return ARCHIVE[:500] + bytes([ARCHIVE[500] ^ 1]) + ARCHIVE[501:]


def encrypted():
    content = bytearray(ARCHIVE)
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(("content", "reason"), [
    (ARCHIVE[: len(ARCHIVE) // 2], "it is no complete zip archive"),
    (b"<html>please log in</html>", "26 useless bytes: it is no complete zip archive"),
    (damaged(), "damaged"), (encrypted(), "encrypted"),
    (archive(extra=[("bomb.avi", bytes(2 << 20))]), "larger than any KTH video"),
    (archive("running"), "it holds no video named personPP_walking_dS_uncomp.avi"),
], ids=["truncated", "page", "damaged", "encrypted", "bomb", "other_class"])
def test_a_useless_archive_is_deleted_and_said_in_one_line(server, tmp_path, capsys, content, reason):
    server.files["walking.zip"] = content
    assert re.search(reason, refusal(server, tmp_path / "a" / "kth", capsys))
    assert not leftovers(tmp_path) and not [path for path in tmp_path.rglob("*.avi")]
    server.files["walking.zip"] = ARCHIVE
    download(server, tmp_path / "a" / "kth")
    assert is_whole(tmp_path / "a" / "kth")


def test_members_of_other_names_go_nowhere(server, tmp_path):
    names = ("../evil.avi", "..\\evil.avi", "/tmp/evil.avi", "C:evil.avi")
    server.files["walking.zip"] = archive(extra=[(name, b"x") for name in names])
    download(server, tmp_path / "a")
    assert is_whole(tmp_path / "a") and not list(tmp_path.rglob("*evil*"))


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
