"""The annotation file."""

import json

import pytest

from data.annotation import read_annotation, write_annotation

ENTRY = {"subset": "training", "annotations": {"label": "walking"}}


def test_what_is_written_is_read(tmp_path):
    clips = {"b_1": ("validation", "walking"), "a_1": ("training", "running")}
    write_annotation(tmp_path / "new" / "kth1.json", ["running", "walking"], clips, frame_rate=25.0)
    read = read_annotation(tmp_path / "new" / "kth1.json")
    assert read.labels == ["running", "walking"] and read.clips == clips and read.frame_rate == 25
    assert list(read.clips) == ["b_1", "a_1"]  # the order of the file


def test_form_of_the_file(tmp_path):
    write_annotation(tmp_path / "kth1.json", ["walking"], {"a_1": ("training", "walking")})
    assert json.loads((tmp_path / "kth1.json").read_text()) == {"labels": ["walking"], "database": {"a_1": ENTRY}}


def test_file_of_another_tool(tmp_path):
    """Other keys are passed over, no testing subset is needed."""
    entry = {"subset": "validation", "annotations": {"label": "running", "segment": [0, 2]}, "url": "x"}
    content = {"version": 1, "labels": ["running"], "database": {"person01 running (1).d1": entry}}
    (tmp_path / "old.json").write_text(json.dumps(content))
    assert read_annotation(tmp_path / "old.json").clips == {"person01 running (1).d1": ("validation", "running")}


def with_entry(entry, clip="a_1"):
    return {"labels": ["walking"], "database": {clip: entry}}


@pytest.mark.parametrize("content, message", [
    ([], "found \\[\\]"),
    ({"labels": ["walking"]}, "an object 'database'"),
    ({"labels": "walking", "database": {}}, "a list 'labels'"),
    ({"labels": [], "database": {}}, "names of the class folders"),
    ({"labels": [1], "database": {}}, "names of the class folders"),
    ({"labels": [".."], "database": {}}, "names of the class folders"),
    ({"labels": ["walking", "walking"], "database": {}}, "a class twice"),
    ({"labels": ["walking"], "database": {}, "frame_rate": "25"}, "'frame_rate' should be a number"),
    ({"labels": ["walking"], "database": {}, "frame_rate": 0}, "'frame_rate' should be a number"),
    (with_entry(None), "has subset None"),
    (with_entry({**ENTRY, "subset": "test"}), "has subset 'test'"),
    (with_entry({**ENTRY, "subset": ["training"]}), "has subset"),
    (with_entry({"subset": "training"}), "has label None"),
    (with_entry({"subset": "training", "annotations": [1]}), "has label None"),
    (with_entry({"subset": "training", "annotations": {"label": "flying"}}), "has label 'flying'"),
    (with_entry({"subset": "training", "annotations": {"label": {}}}), "has label {}"),
    (with_entry(ENTRY, "../../etc"), "is not a plain folder name"),
    (with_entry(ENTRY, "/etc"), "is not a plain folder name"),
    (with_entry(ENTRY, "a/b"), "is not a plain folder name"),
    (with_entry(ENTRY, "a\\b"), "is not a plain folder name"),
    (with_entry(ENTRY, "C:a"), "is not a plain folder name"),
    (with_entry(ENTRY, ".."), "is not a plain folder name"),
    (with_entry(ENTRY, "."), "is not a plain folder name"),
    (with_entry(ENTRY, ""), "is not a plain folder name"),
    (with_entry(ENTRY, "a\0b"), "is not a plain folder name"),
])  # fmt: skip
def test_wrong_content(tmp_path, content, message):
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        read_annotation(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"labels: []", b"[" * 100000, b"9" * 5000])
def test_not_json(tmp_path, content):
    (tmp_path / "wrong.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"wrong\.json"):
        read_annotation(tmp_path / "wrong.json")


def test_a_huge_file_is_not_read(tmp_path):
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(300 << 20)  # takes no room on the disk
    with pytest.raises(ValueError, match="larger than 256 MiB"):
        read_annotation(tmp_path / "huge.json")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"generate_data\.sh"):
        read_annotation(tmp_path / "none.json")
