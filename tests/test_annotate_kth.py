"""The script that writes the annotation."""

import json

import pytest

from data.annotation import read_annotation
from tests.runs import refused
from tests.tiny_data import subsets_of
from utils import annotate_kth


def annotate(images, path, *more):
    """Call utils/annotate_kth.py and return what it has written."""
    annotate_kth.main([f"--image_path={images}", f"--annotation_path={path}", f"--trimmed_path={images}/none", *more])
    return read_annotation(path)


def make_clips(root, *clips):
    """Make folders of one image each."""
    for clip in clips:
        (root / clip).mkdir(parents=True)
        (root / clip / "image_00001.jpg").write_text("jpg")
    return root


def test_official_split(images, tmp_path, capsys):
    read = annotate(images, tmp_path / "kth1.json")
    assert read.labels == ["running", "walking"] and len(read.clips) == 12
    persons = {subset: {clip[:8] for clip in clips} for subset, clips in subsets_of(read).items()}
    assert persons == {"training": {"person11"}, "validation": {"person01"}, "testing": {"person02"}}
    assert "training: 4 clips (running 2, walking 2) of 1 person, which are few" in capsys.readouterr().out


def test_split_by_named_persons(images, tmp_path):
    read = annotate(images, tmp_path / "kth1.json", "--validation_persons", "11", "--testing_persons", "1")
    persons = {subset: {clip[:8] for clip in clips} for subset, clips in subsets_of(read).items()}
    assert persons == {"training": {"person02"}, "validation": {"person11"}, "testing": {"person01"}}
    read = annotate(images, tmp_path / "kth1.json", "--validation_persons", "11", "1")
    assert set(subsets_of(read)) == {"training", "validation"}  # testing may be empty when persons are named


@pytest.mark.parametrize("clips, more, message", [
    ("1 2 11", "--validation_persons 11 --testing_persons 11",
     "person 11 is named for validation and for testing; there are clips of persons 1 2 11"),
    ("1 2 11", "--validation_persons 5", "no clip of person 5; there are clips of persons 1 2 11"),
    ("1 2 11", "--validation_persons 1 2 11", "nobody is left for training"),
    ("1 11", "", "nobody is left for testing"),
    ("1 2 11 0", "", "the official split has no person 0"),
    ("", "", "utils/extract_frames.py"),
])  # fmt: skip
def test_splits_that_leave_a_subset_empty(tmp_path, capsys, clips, more, message):
    make_clips(tmp_path, *(f"walking/person{int(person):02d}_walking_d1_1" for person in clips.split()))
    assert message in refused(capsys, annotate, tmp_path, tmp_path / "kth1.json", *more.split())
    assert not (tmp_path / "kth1.json").exists()


def test_split_by_group_and_by_video(tmp_path, capsys):
    ucf = [f"Walking/v_Walking_g{g:02d}_c0{c}" for g in range(1, 11) for c in (1, 2, 3)]
    own = [f"wave/clip{v}_{k}" for v in range(10) for k in (1, 2)]
    videos = {f"wave/clip{v}.avi": {"clips": {f"clip{v}_1": 1, f"clip{v}_2": 9}} for v in range(10)}
    videos |= {f"{clip}.avi": {"clips": {clip.split("/")[1]: 1}} for clip in ucf}
    make_clips(tmp_path, *ucf, *own)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "trim.json").write_text(json.dumps({"options": {}, "videos": videos}))
    read = annotate(tmp_path, tmp_path / "a.json")
    parts = {subset: {clip.rsplit("_", 1)[0] for clip in clips} for subset, clips in subsets_of(read).items()}
    assert {subset: len(groups) for subset, groups in parts.items()} == {"training": 12, "validation": 4, "testing": 4}
    assert not (parts["training"] & parts["validation"] or parts["training"] & parts["testing"])
    printed, warned = capsys.readouterr()
    assert "warning: wave: 20 clips without person or group are split by video; a person or a scene" in warned
    assert "\nvalidation: 10 clips (Walking 6, wave 4) of 2 groups and 2 videos; these are few" in printed
    assert annotate(tmp_path, tmp_path / "b.json") == read != annotate(tmp_path, tmp_path / "c.json", "--seed=1")
    (tmp_path / "none" / "trim.json").write_text("[1]")
    assert "not a record" in refused(capsys, annotate, tmp_path, tmp_path / "d.json")


def test_clips_that_cannot_be_annotated(tmp_path, capsys):
    make_clips(tmp_path, *(f"wave/clip{k}" for k in range(5)), *(f"jump/hop{k}" for k in range(2)))
    (tmp_path / "wave" / "empty").mkdir()
    assert "groups or videos (jump/hop0, jump/hop1) cannot" in refused(capsys, annotate, tmp_path, tmp_path / "a.json")
    make_clips(tmp_path, "jump/hop2")
    assert "empty" not in annotate(tmp_path, tmp_path / "a.json").clips
    assert "1 folders without images are left out" in capsys.readouterr().err
    line = refused(capsys, annotate, tmp_path, tmp_path / "a.json", "--validation_persons", "1")
    assert "no clip has a name like" in line
    make_clips(tmp_path, "jump/clip1")
    line = refused(capsys, annotate, tmp_path, tmp_path / "a.json")
    assert f"{tmp_path / 'jump' / 'clip1'} and {tmp_path / 'wave' / 'clip1'} have the same name, clip1, " in line
