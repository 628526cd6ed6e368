"""The official splits of UCF101 and HMDB51."""

import json
from collections import Counter

import pytest

from data.annotation import read_annotation
from data.datasets.split_files import group_in, read_split_files, split_by_files
from data.video import write_video
from tests.passing import passing
from tests.runs import refused, run_command
from tests.test_annotate_kth import annotate, make_clips
from tests.tiny_data import subsets_of

HMDB_NAMES = ("(HQ) One two [x]_{}_f_nm_np1_fr_goo_{}.avi", "#20_Film & co._{}_u_cm_np2_ba_med_{}.avi",
              "April_09_{}_f_cm_np1_le_bad_{}.avi")


def write(folder, files):
    """Write text files with the line ends of Windows and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / name).write_bytes("\r\n".join([*lines, ""]).encode())
    return [folder / name for name in files]


def ucf_files(folder, labels=("Bowling", "Jump Rope"), groups=range(1, 6)):
    """Write UCF101's files: groups 1 and 2 are for testing. Return their paths."""
    videos = {group: [f"{label}/v_{label.replace(' ', '')}_g{group:02d}_c0{c}.avi" for label in labels for c in (1, 2)]
              for group in groups}
    return write(folder, {
        "trainlist01.txt": [f"{video} {1 + video.startswith('J')}" for g in groups if g > 2 for video in videos[g]],
        "testlist01.txt": [video for g in groups if g <= 2 for video in videos[g]],
        "classInd.txt": [f"{number} {label}" for number, label in enumerate(labels, start=1)],
    })


def hmdb_files(folder, labels=("wave", "brush_hair"), marks=(1, 2, 0)):
    """Write HMDB51's files: one film per mark, of which each class has two videos. Return their paths."""
    return write(folder, {f"{label}_test_split1.txt": [
        f"{name.format(label, number)} {mark} " for name, mark in zip(HMDB_NAMES, marks, strict=True)
        for number in (0, 1)] for label in labels})


def test_lists_of_ucf101(tmp_path):
    listed = read_split_files(ucf_files(tmp_path))
    assert Counter(listed.values()) == {"training": 12, "testing": 8}
    assert listed["Jump Rope", "v_JumpRope_g02_c01"] == "testing"
    assert listed["Bowling", "v_Bowling_g03_c02"] == "training"


def test_lists_of_hmdb51(tmp_path):
    listed = read_split_files(hmdb_files(tmp_path))
    assert Counter(listed.values()) == {"training": 4, "testing": 4, None: 4}
    assert listed["wave", "(HQ) One two [x]_wave_f_nm_np1_fr_goo_1"] == "training"
    assert listed["brush_hair", "#20_Film & co._brush_hair_u_cm_np2_ba_med_0"] == "testing"
    assert listed["wave", "April_09_wave_f_cm_np1_le_bad_0"] is None


def test_clips_have_the_subset_of_their_video(tmp_path):
    listed = read_split_files(ucf_files(tmp_path))
    clips = {"v_Bowling_g01_c01": "Bowling", "v_Bowling_g03_c01_2": "Bowling", "v_JumpRope_g04_c02_1_3": "Jump Rope",
             "renamed": "Bowling", "v_Bowling_g03_c02": "Jump Rope"}
    sources = {"renamed": "Bowling/v_Bowling_g02_c02.mp4", "v_Bowling_g03_c02": "Jump Rope/v_Bowling_g03_c02.avi"}
    subsets, problems = split_by_files(clips, sources, listed)
    assert subsets == {"v_Bowling_g01_c01": "testing", "v_Bowling_g03_c01_2": "training",
                       "v_JumpRope_g04_c02_1_3": "training", "renamed": "testing"}
    assert problems == [
        "1 videos with clips are not in the split files and are left out: Jump Rope/v_Bowling_g03_c02",
        "16 of 20 listed videos have no clips: Bowling/v_Bowling_g01_c02, Bowling/v_Bowling_g02_c01, "
        "Bowling/v_Bowling_g03_c02 and 13 more",
    ]


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_validation_takes_whole_groups_of_training(tmp_path, share):
    listed = read_split_files(ucf_files(tmp_path, groups=range(1, 8)))
    clips = {f"{name}_{k}": label for label, name in listed for k in (1, 2)}
    subsets, problems = split_by_files(clips, {}, listed, share, seed=1)
    assert problems == []
    sides = {}
    for clip, subset in subsets.items():
        sides.setdefault(clip.split("_")[2], set()).add(subset)
    assert all(len(parts) == 1 for parts in sides.values())
    assert {group for group, parts in sides.items() if parts == {"testing"}} == {"g01", "g02"}
    assert sum(parts == {"validation"} for parts in sides.values()) == round(5 * share)
    assert split_by_files(clips, {}, listed, share, seed=1)[0] == subsets
    assert any(split_by_files(clips, {}, listed, share, seed=seed)[0] != subsets for seed in range(2, 6))


def test_validation_by_the_films_of_hmdb51(tmp_path):
    listed = read_split_files(hmdb_files(tmp_path, marks=(1, 1, 2)))
    clips = {name: label for label, name in listed}
    subsets, _ = split_by_files(clips, {}, listed, 0.5)
    films = {subset: {group_in((clips[clip], clip)) for clip in subsets if subsets[clip] == subset}
             for subset in subsets.values()}
    assert films["training"] | films["validation"] == {"(HQ) One two [x]", "#20_Film & co."}
    assert len(films["training"]) == len(films["validation"]) == 1 and films["testing"] == {"April_09"}
    assert group_in(("wave", "_wave_x")) == "_wave_x" and group_in(("wave", "clip")) == "clip"


def test_a_list_for_validation(tmp_path):
    files = write(tmp_path, {"trainlist.txt": ["a/x_g01.avi", "a/y_g02.avi"], "vallist.txt": ["a/z_g01.avi"]})
    clips = {"x_g01": "a", "y_g02": "a", "z_g01": "a"}
    subsets, problems = split_by_files(clips, {}, read_split_files(files))
    assert subsets == {"x_g01": "training", "y_g02": "training", "z_g01": "validation"}
    assert problems == []


@pytest.mark.parametrize(("files", "more", "message"), [
    ({"trainlist01.txt": ["a/x.avi 1"], "testlist02.txt": ["a/x.avi"]}, [],
     "a/x is training in one of the split files, but testing in {0}/testlist02.txt; give the files of one split only"),
    ({"trainlist01.txt": ["a/x.avi 1", "", "what is this"]}, [],
     "trainlist01.txt, line 3: 'what is this' is neither '<class>/<video>.avi 1' in a file such as"),
    ({"a_test_split1.txt": ["x.avi 3"]}, [], "line 1: 'x.avi 3' is neither"),
    ({"first.txt": ["a/x.avi 1"]}, [], "such as trainlist.txt, vallist.txt or testlist.txt (UCF101)"),
    ({"testlist01.txt": ["a/x.avi"]}, [], "none of the 1 videos in the split files is for training and has clips; the "
     "videos with clips are a/x, a/y, a/z, the listed ones a/x; check --split_files"),
    ({"trainlist01.txt": ["a/x.avi"]}, ["--validation_persons", "1"],
     "--validation_persons and --split_files both choose the split; leave one of them out"),
])
def test_what_cannot_be_a_split_is_refused_in_one_line(tmp_path, capsys, files, more, message):
    make_clips(tmp_path / "images", "a/x", "a/y", "a/z")
    paths = write(tmp_path, files)
    line = refused(capsys, annotate, tmp_path / "images", tmp_path / "a.json", "--split_files", *map(str, paths), *more)
    assert message.format(tmp_path) in line
    assert not (tmp_path / "a.json").exists()


def test_flags_and_files_that_are_missing(tmp_path, capsys):
    make_clips(tmp_path / "images", "a/v_g01", "a/w_g02")
    line = refused(capsys, annotate, tmp_path / "images", tmp_path / "a.json", "--validation_share=0.5")
    assert "--validation_share belongs to --split_files" in line
    line = refused(capsys, annotate, tmp_path / "images", tmp_path / "a.json", f"--split_files={tmp_path / 'no.txt'}")
    assert "no.txt: no such file; give the text files of the split" in line
    files = write(tmp_path, {"trainlist.txt": ["a/v_g01.avi", "b/x_g02.avi"], "testlist.txt": ["a/u_g02.avi"]})
    make_clips(tmp_path / "images", "a/u_g02", "b/x_g02")
    line = refused(capsys, annotate, tmp_path / "images", tmp_path / "a.json", "--split_files", *map(str, files))
    assert "group g02 is in testing (u_g02) and in training (x_g02)" in line


def make_raw(folder, videos):
    """Write small videos in which something moves: class/file."""
    for seed, video in enumerate(videos):
        write_video(folder / video, passing(40, ((5, 30),), seed)[0])


@pytest.mark.parametrize("kind", ["ucf", "hmdb"])
def test_from_videos_to_a_model(tmp_path, capsys, kind):
    """Trim, extract, annotate by the official split, train: with names as the two data sets have them."""
    if kind == "ucf":
        files = ucf_files(tmp_path, groups=(1, 3, 4))
        videos = [line.strip().rpartition(".avi")[0] + ".avi" for path in files[:2]
                  for line in path.read_text().splitlines()]
        share = ["--validation_share", 0.5]
    else:
        files, share = hmdb_files(tmp_path), []
        videos = [f"{label}/{name.format(label, 0)}" for label in ("wave", "brush_hair") for name in HMDB_NAMES]
    stranger = f"{videos[0].partition('/')[0]}/stranger.avi"
    make_raw(tmp_path / "raw", [*videos, stranger])
    places = {name: tmp_path / name for name in ("trimmed", "images", "a.json", "run")}
    run_command("utils.trim_videos", "--dataset", "folder", "--raw_path", tmp_path / "raw", "--trimmed_path",
                places["trimmed"], "--n_frames", 6, "--size", 32, 32, "--context", 3, "--color")
    run_command("utils.extract_frames", "--dataset", "folder", "--trimmed_path", places["trimmed"], "--image_path",
                places["images"])
    capsys.readouterr()
    run_command("utils.annotate_kth", "--dataset", "folder", "--trimmed_path", places["trimmed"], "--image_path",
                places["images"], "--annotation_path", places["a.json"], "--split_files", *files, *share)
    told = capsys.readouterr().err
    assert f"1 videos with clips are not in the split files and are left out: {stranger.removesuffix('.avi')}" in told
    if kind == "hmdb":
        assert "2 videos with clips are not used by this split and are left out: brush_hair/April_09_brush" in told
        assert "4 of 8 listed videos have no clips: brush_hair/#20_Film & co._brush_hair_u_cm_np2_ba_med_1" in told
    read = read_annotation(places["a.json"])
    parts = subsets_of(read)
    assert {subset: len(clips) for subset, clips in parts.items()} == (
        {"training": 4, "validation": 4, "testing": 4} if kind == "ucf" else {"training": 2, "testing": 2})
    assert read.passages and {subset for subset, _, _ in read.passages.values()} == {"training"}
    sources = json.loads((places["trimmed"] / "trim.json").read_text())["videos"]
    assert all(set(sources[video]["clips"]) <= set(read.clips) for video in videos if "April" not in video)
    run_command("main", "--dataset", "folder", "--annotation_path", places["a.json"], "--video_path", places["images"],
                "--result_path", places["run"], "--backbone", "squeezenet1_1", "--backbone_weights", "none",
                "--sample_size", 32, "--sample_duration", 6, "--n_epochs", 1, "--hidden_size", 8)
    metrics = json.loads((places["run"] / "metrics.json").read_text())
    assert ("validation" in metrics) == (kind == "ucf") and metrics["testing"]["per_class"].keys() == set(read.labels)
