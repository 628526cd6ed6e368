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


def with_passage(visible):
    return {"labels": ["walking"], "database": {}, "passages": {
        "a": {"subset": "training", "annotations": {"label": "walking", "visible": visible}}}}


@pytest.mark.parametrize("content, message", [
    ([], r"should hold a list 'labels' and an object 'database', .* found \[\]"),
    ({"labels": ["walking"]}, "an object 'database'"),
    ({"labels": ["walking"], "database": {}, "empty": 3}, "should be objects"),
    ({"labels": [".."], "database": {}}, "names of the class folders"),
    ({"labels": ["walking", "walking"], "database": {}}, "each once"),
    ({"labels": ["walking"], "database": {}, "frame_rate": 0}, "'frame_rate' should be a number"),
    (with_entry(None), "should have one of the subsets"),
    (with_entry({**ENTRY, "subset": ["test"]}), "should have one of the subsets"),
    (with_entry({"subset": "training", "annotations": [1]}), "has label None"),
    (with_entry({"subset": "training", "annotations": {"label": {}}}), "has label {}"),
    *((with_entry(ENTRY, name), "is not a plain folder name") for name in ("../a", "a\\b", "C:a", "..", "", "a\0b")),
    *((with_passage(visible), "are no two frames") for visible in (None, [1], [0, 4], [5, 4], [1, 2.5], "ab")),
])
def test_wrong_content(tmp_path, content, message):
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        read_annotation(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[" * 100000])
def test_not_json(tmp_path, content):
    (tmp_path / "wrong.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"wrong\.json"):
        read_annotation(tmp_path / "wrong.json")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"generate_data\.sh"):
        read_annotation(tmp_path / "none.json")
