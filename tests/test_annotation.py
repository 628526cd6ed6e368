"""The annotation file."""

import json
from collections import Counter

import pytest

from data.annotation import read_annotation, write_annotation
from data.datasets import DATASETS
from data.datasets.kth import OFFICIAL_SPLIT

ENTRY = {"subset": "training", "annotations": {"label": "walking"}}


def test_what_is_written_is_read(tmp_path):
    clips = {"b_1": ("validation", "walking"), "a_1": ("training", "running")}
    write_annotation(tmp_path / "new" / "kth1.json", ["running", "walking"], clips)
    read = read_annotation(tmp_path / "new" / "kth1.json")
    assert read.labels == ["running", "walking"] and read.clips == clips
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
    (with_entry(None), "has subset None"),
    (with_entry({**ENTRY, "subset": "test"}), "has subset 'test'"),
    (with_entry({**ENTRY, "subset": ["training"]}), "has subset"),
    (with_entry({"subset": "training"}), "has label None"),
    (with_entry({"subset": "training", "annotations": [1]}), "has label None"),
    (with_entry({"subset": "training", "annotations": {"label": "flying"}}), "has label 'flying'"),
    (with_entry({"subset": "training", "annotations": {"label": {}}}), "has label {}"),
    (with_entry(ENTRY, "../../etc"), "is no plain folder name"),
    (with_entry(ENTRY, "/etc"), "is no plain folder name"),
    (with_entry(ENTRY, "a/b"), "is no plain folder name"),
    (with_entry(ENTRY, "a\\b"), "is no plain folder name"),
    (with_entry(ENTRY, "C:a"), "is no plain folder name"),
    (with_entry(ENTRY, ".."), "is no plain folder name"),
    (with_entry(ENTRY, "."), "is no plain folder name"),
    (with_entry(ENTRY, ""), "is no plain folder name"),
    (with_entry(ENTRY, "a\0b"), "is no plain folder name"),
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


def test_groups_are_on_one_side_in_all_classes_and_stay_there():
    """As UCF101 names them; a class that lacks some groups, and groups that come later, change nothing much."""
    clips = {f"v_{label}_g{group:02d}_c01_1": label for label in ("Jog", "Stroll") for group in range(1, 26)
             if (label, group) != ("Jog", 3)}
    subsets, problems = DATASETS["kth"].split(clips, {})
    assert problems == []
    group_of = {clip: clip.split("_")[2] for clip in clips}
    sides = {group: {subsets[clip] for clip in clips if group_of[clip] == group} for group in group_of.values()}
    assert len(sides) == 25 and all(len(side) == 1 for side in sides.values())
    assert sorted(Counter(map(min, sides.values())).values()) == [5, 5, 15]
    more, _ = DATASETS["kth"].split(clips | {"v_Jog_g26_c01_1": "Jog"}, {})
    assert sum(more[clip] != subsets[clip] for clip in clips) <= 4  # two groups at most, where the fifths end


def test_all_six_actions_of_kth_are_split_by_person():
    actions = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
    clips = {f"person{person:02d}_{action}_d4_1": action for person in range(1, 26) for action in actions}
    subsets, problems = DATASETS["kth"].split(clips, {})
    assert problems == []
    assert Counter(subsets.values()) == {"training": 48, "validation": 48, "testing": 54}
    assert all(subsets[f"person{person:02d}_boxing_d4_1"] == subset
               for subset, persons in OFFICIAL_SPLIT.items() for person in persons)
