"""Drawn people together with real ones: persons above 25 are in training, and in training only."""

from types import SimpleNamespace

import pytest

from data.annotation import read_annotation
from data.datasets import DATASETS
from data.training_clips import find_training_extra
from tests.passing import make_videos, times_of, trim
from tests.runs import refused
from utils import annotate_kth, extract_frames

KTH = DATASETS["kth"]
REAL, DRAWN = (11, 1, 2), (26, 30)
PLACES = ("TRIMMED_PATH", "DRAWN_PATH", "IMAGE_PATH", "ANNOTATION_PATH")


def clips_of(*persons):
    return {f"person{person:02d}_{label}_d1_1": label for person in persons for label in ("running", "walking")}


def persons_in(subsets):
    """Return {subset: its persons} of {clip: subset}."""
    return {part: {KTH.person_of(clip) for clip, own in subsets.items() if own == part} for part in subsets.values()}


@pytest.mark.parametrize(("named", "expected"), [
    ({}, {"training": {11, *DRAWN}, "validation": {1}, "testing": {2}}),
    ({"validation": [11], "testing": [1]}, {"training": {2, *DRAWN}, "validation": {11}, "testing": {1}}),
    ({"validation": [], "testing": [1]}, {"training": {2, 11, *DRAWN}, "testing": {1}}),
])
def test_drawn_persons_are_in_training_whatever_the_split(named, expected):
    subsets, problems = KTH.split(clips_of(*REAL, *DRAWN), {}, **named)
    assert problems == [] and persons_in(subsets) == expected


@pytest.mark.parametrize("subset", ["validation", "testing"])
def test_a_drawn_person_is_refused_in_other_subsets(subset):
    with pytest.raises(ValueError, match=r"person 30 is drawn .* serve training only; name real persons"):
        KTH.split(clips_of(*REAL, *DRAWN), {}, **{"validation": [1], "testing": [2]} | {subset: [11, 30]})


def test_real_and_drawn_people_are_drawn_equally_often():
    assert KTH.training_group("person11_walking_d1_1_passage") == ("real", 11)
    assert KTH.training_group("person30_walking_d1_empty_1") == ("drawn", 30)
    assert KTH.training_group("my own clip") == ()


@pytest.fixture(scope="module")
def folders(raw, tmp_path_factory):
    """The clips of real and of drawn people, with passages, in two folders whose names have a space. Read only."""
    root = tmp_path_factory.mktemp("people")
    drawn = make_videos(root / "kth_drawn", DRAWN)
    places = SimpleNamespace(real=root / "real clips", drawn=root / "drawn clips")
    trim(raw, places.real, "--context=5")
    trim(drawn, places.drawn, "--context=5")
    return places


def prepare(folders, root, *more):
    """Extract and annotate the clips of both folders. Return the annotation."""
    both = ["--trimmed_path", str(folders.real), str(folders.drawn), "--image_path", str(root / "images")]
    extract_frames.main(both)
    annotate_kth.main([*both, "--annotation_path", str(root / "kth1.json"), *more])
    return read_annotation(root / "kth1.json")


def check(read):
    """Check an annotation of real and drawn people with the official split."""
    assert persons_in({clip: subset for clip, (subset, _) in read.clips.items()}) == {
        "training": {11, *DRAWN}, "validation": {1}, "testing": {2}}
    assert len(read.clips) == 5 * 4
    assert {KTH.person_of(clip) for clip in read.passages} == {11, *DRAWN}
    assert persons_in(read.empty) == {"training": {11, *DRAWN}, "validation": {1}, "testing": {2}}


def test_two_folders_of_clips_become_one_data_set(folders, tmp_path, capsys):
    check(prepare(folders, tmp_path))
    printed = capsys.readouterr().out
    assert "20 clips of 2 classes are in" in printed and "for training 12 passages and 18 empty clips" in printed
    extra = find_training_extra(read_annotation(tmp_path / "kth1.json"), tmp_path / "images")
    assert {KTH.training_group(clip.name) for clip in extra} == {("real", 11), ("drawn", 26), ("drawn", 30)}
    assert len(extra) == 12 + 18
    before = times_of(tmp_path / "images")
    prepare(folders, tmp_path)  # nothing is extracted again, and no folder is taken for a stranger
    printed = capsys.readouterr()
    assert times_of(tmp_path / "images") == before and "belong to no clip" not in printed.err


def test_two_folders_with_the_same_clip_are_refused(folders, raw, tmp_path, capsys):
    trim(raw, tmp_path / "again")
    line = refused(capsys, extract_frames.main, ["--trimmed_path", str(folders.real), str(tmp_path / "again"),
                                                 "--image_path", str(tmp_path / "images")])
    assert f"{folders.real} and {tmp_path / 'again'} both hold running/person01_running_d1_1.avi; rename one" in line
    line = refused(capsys, extract_frames.main, ["--trimmed_path", str(folders.real), str(tmp_path / "none"),
                                                 "--image_path", str(tmp_path / "images")])
    assert f"no clips in class folders of {tmp_path / 'none'}; " in line
    assert not (tmp_path / "images").exists()
