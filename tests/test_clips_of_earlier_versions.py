"""Folders of clips that an earlier version cut, which knew neither passages nor empty clips."""

import json

from tests.passing import times_of, trim

VIDEOS = 3  # in the class folder walking of `raw`


def forget(trimmed):
    """Make the record of a folder of clips one of an earlier version."""
    record = json.loads((trimmed / "trim.json").read_text())
    del record["options"]["context"]
    for entry in record["videos"].values():
        del entry["passages"], entry["empty"]
    (trimmed / "trim.json").write_text(json.dumps(record))


def test_passages_are_cut_from_videos_that_were_cut_before(raw, tmp_path, capsys):
    trim(raw, tmp_path, "--classes", "walking")
    before = {path: path.read_bytes() for path in times_of(tmp_path)}
    forget(tmp_path)
    capsys.readouterr()
    trim(raw, tmp_path, "--classes", "walking", "--context=5")
    printed = capsys.readouterr().out
    assert f"walking: {VIDEOS} videos trimmed, 0 kept" in printed
    assert f"for training {2 * VIDEOS} passages and {3 * VIDEOS} empty clips" in printed
    assert len(list(tmp_path.glob("_passage_walking/*.avi"))) == 2 * VIDEOS
    assert all(path.read_bytes() == content for path, content in before.items())
    trim(raw, tmp_path, "--classes", "walking", "--context=5")
    assert f"walking: 0 videos trimmed, {VIDEOS} kept" in capsys.readouterr().out


def test_without_passages_they_are_kept(raw, tmp_path, capsys):
    trim(raw, tmp_path, "--classes", "walking")
    forget(tmp_path)
    capsys.readouterr()
    trim(raw, tmp_path, "--classes", "walking")
    assert f"walking: 0 videos trimmed, {VIDEOS} kept" in capsys.readouterr().out
