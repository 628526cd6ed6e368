"""The check of a data set: nothing leaks, nothing is stale, nothing is lost without a word."""

import random
import shutil
import warnings

import cv2
import pytest

from data.annotation import read_annotation, write_annotation
from data.checking import check_data_set
from data.clips import find_clips, read_frames
from data.datasets import DATASETS
from data.images import digest, numbered_images
from runtime.files import read_json
from tests.passing import extract, make_videos, trim
from tests.runs import data_options, refused, run_command, train_options
from tests.test_annotate_kth import annotate
from tests.tiny_data import numbered, subsets_of, write_clip
from utils import annotate_kth


@pytest.fixture
def checked_data(own_data_set):
    """A copy of the tiny data set whose annotation has digests and sources, as utils/annotate_kth.py writes them."""
    data, read = own_data_set, read_annotation(own_data_set.annotation)
    digests = {clip: digest(data.images / label / clip) for clip, (_, label) in read.clips.items()}
    sources = {clip: f"{label}/{clip[:-2]}.avi" for clip, (_, label) in read.clips.items()}
    write_annotation(data.annotation, *read._replace(digests=digests, sources=sources))
    return data


def check(data):
    return check_data_set(read_annotation(data.annotation), data.annotation, data.images, DATASETS["kth"])


def test_three_lines_say_what_there_is(checked_data, capsys):
    found = check(checked_data)
    assert capsys.readouterr().out.splitlines() == [
        "training: 8 clips (running 4, walking 4) of 2 persons, which are few: a model may learn how these look instead"
        " of what they do; an epoch draws about 4 windows each of running, walking, from 8 whole clips",
        *(f"{name}: 4 clips (running 2, walking 2) of 1 person; these are few, see the interval beside an accuracy"
          for name in ("validation", "testing"))]
    assert found.training_groups == ["kth person 11", "kth person 12"] and len(found.training_digests) == 8


def mutate(data, rng):
    """Change a data set on disk at random; return how."""
    clips = sorted(path for path in data.images.glob("*/*") if path.is_dir())
    clip, other = rng.sample(clips, 2)
    image = rng.choice(numbered_images(clip))
    how = rng.choice(["delete image", "truncate", "rename image", "copy image", "other image", "delete clip",
                      "rename clip", "move clip", "copy clip", "swap clips", "count", "stranger"])
    if how == "delete image":
        image.unlink()
    elif how == "truncate":
        image.write_bytes(image.read_bytes()[:rng.randrange(image.stat().st_size)])
    elif how == "rename image":
        image.rename(image.with_name("image_00099.jpg"))
    elif how == "copy image":
        shutil.copy(image, image.with_name(rng.choice(["image_00007.jpg", f"{image.stem} (copy).jpg", "image_1.png"])))
    elif how == "other image":
        shutil.copy(rng.choice(numbered_images(other)), image)
    elif how == "delete clip":
        shutil.rmtree(clip)
    elif how == "rename clip":
        clip.rename(clip.with_name("renamed"))
    elif how == "move clip":
        target = data.images / ("running" if clip.parent.name == "walking" else "walking") / clip.name
        clip.rename(target)
    elif how == "copy clip":
        shutil.copytree(clip, clip.with_name(f"{clip.name}_9"))
    elif how == "swap clips":
        clip.rename(clip.with_name("aside")), other.rename(clip), clip.with_name("aside").rename(other)
    elif how == "count":
        (clip / "n_frames").write_text(rng.choice(["5", "7", "six"]))
    elif how == "stranger":
        (clip / "notes.txt").write_text("mine")
    return how


def test_a_hundred_mutations_are_never_trained_on_in_silence(checked_data, tmp_path, capsys):
    """Either the check refuses, or it says what is left out, or all clips that it counts are as they were."""
    whole, rng = check(checked_data).digests, random.Random(0)
    for number in range(100):
        data = type(checked_data)(**vars(checked_data) | {
            "images": shutil.copytree(checked_data.images, tmp_path / str(number))})
        how = [mutate(data, rng) for _ in range(rng.choice([1, 1, 2]))]
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                found = check(data)
            except ValueError:
                shutil.rmtree(data.images)
                continue
        assert found.digests.items() <= whole.items(), how
        lines = capsys.readouterr().out
        assert f"training: {sum('person1' in clip and 'person19' not in clip for clip in found.digests)} clips" in lines
        words = " ".join(str(each.message) for each in told)
        if "delete clip" not in how and found.digests != whole:  # a clip that is gone is counted, and find_clips warns
            assert "are not in" in words or "are not read" in words, (how, words)
        shutil.rmtree(data.images)


@pytest.mark.parametrize(("change", "message"), [
    ({"person11_walking_d1_2": ("testing", "walking")},
     "is in training (person11_walking_d1_1) and in testing (person11_walking_d1_2)"),
    ({f"person{p}_running_d1_{k}": ("training", "walking") for p in (11, 12) for k in (1, 2)},
     "no clip of running is in training"),
])
def test_what_would_mislead_is_refused_before_training(checked_data, tmp_path, capsys, change, message):
    read = read_annotation(checked_data.annotation)
    write_annotation(checked_data.annotation, *read._replace(clips=read.clips | change))
    assert message in refused(capsys, "main", *train_options(checked_data, tmp_path / "run"))
    assert not (tmp_path / "run" / "last.pth").exists()


def test_numbers_decide_the_order_and_strangers_are_named(tmp_path):
    folder = tmp_path / "walking" / "clip"
    write_clip(folder, numbered(12))
    for number, path in enumerate(numbered_images(folder), start=1):
        path.rename(path.with_name(f"image_{number}.jpg"))
    shutil.copy(folder / "image_4.jpg", folder / "image_00004 (copy).jpg")
    cv2.imwrite(str(folder / "image_3.png"), cv2.imread(str(folder / "image_3.jpg")))
    (folder / "image_3.jpg").unlink()
    write_annotation(tmp_path / "a.json", ["walking"], {"clip": ("training", "walking")})
    frames = read_frames(find_clips(tmp_path / "a.json", tmp_path)[1][0])
    assert frames[:, 0, 0, 0].tolist() == list(range(12))
    with pytest.warns(UserWarning, match=r"1 file in the folders of clips are not read: clip/image_00004 \(copy\).jpg"):
        check_data_set(read_annotation(tmp_path / "a.json"), "a.json", tmp_path, DATASETS["folder"])
    (folder / "image_6.jpg").rename(folder / "image_13.jpg")
    with pytest.raises(ValueError, match="image 6 is missing"):
        read_frames(find_clips(tmp_path / "a.json", tmp_path)[1][0])


def prepare(raw, root, *more):
    """Trim, extract and annotate class folders without person or group. Return the annotation."""
    trim(raw, root / "trimmed", "--dataset=folder", *more)
    extract(root / "trimmed", root / "images")
    annotate_kth.main([f"--image_path={root / 'images'}", f"--annotation_path={root / 'a.json'}", "--dataset=folder",
                       f"--trimmed_path={root / 'trimmed'}"])
    return read_annotation(root / "a.json")


@pytest.fixture
def videos(tmp_path):
    """Six videos per class, without ranges, persons or groups in their names."""
    raw = make_videos(tmp_path / "raw", range(6), ranges=False)
    for path in sorted(raw.glob("*/*.avi")):
        path.rename(path.with_name(path.name.replace("person", "shot").replace("_d1_uncomp", "")))
    for path in raw.glob("*/*.npz"):
        path.unlink()
    return raw


def sides(read):
    """Return {video: subset}; fails if a video is in two."""
    found = {}
    for clip, (subset, _) in read.clips.items():
        assert found.setdefault(read.source_of(clip), subset) == subset
    return found


def test_videos_that_come_and_go(videos, tmp_path, capsys):
    """A new video moves no other, and clips of videos that are gone, renamed or cut in another way are stale."""
    before = sides(prepare(videos, tmp_path))
    assert len(before) == 12 and set(before.values()) == {"training", "validation", "testing"}
    assert read_json(tmp_path / "trimmed" / "trim.json")["options"]["color"] is True  # class folders are in colour
    shutil.copy(videos / "walking" / "shot00_walking.avi", videos / "walking" / "shot77_walking.avi")
    more = sides(prepare(videos, tmp_path))
    assert before.items() <= more.items() and len(more) == 13
    assert "changes since the earlier annotation: 2 new (shot77_walking_1, " in capsys.readouterr().out
    (videos / "walking" / "shot77_walking.avi").unlink()
    (videos / "walking" / "shot01_walking.avi").rename(videos / "running" / "shot01_walking.avi")
    capsys.readouterr()
    read = prepare(videos, tmp_path)
    told = capsys.readouterr().err
    assert "walking/shot01_walking_1" in told and "are stale" in told and "shot77" in told
    assert read.clips["shot01_walking_1"][1] == "running" and "shot77_walking_1" not in read.clips
    again = prepare(videos, tmp_path, "--windows=2", "--overwrite")
    assert sides(again).keys() == sides(read).keys() and all("_1_1" in clip or "_" in clip for clip in again.clips)
    assert {clip.count("_") for clip in again.clips} == {3} and len(again.clips) == 2 * len(read.clips)
    (tmp_path / "trimmed" / "trim.json").unlink()
    (tmp_path / "a.json").unlink()
    for label in ("walking", "running"):
        for folder in (tmp_path / "images" / label).iterdir():
            if folder.name.count("_") != 3:
                shutil.rmtree(folder)
    sides(annotate(tmp_path / "images", tmp_path / "b.json", "--dataset=folder"))


def test_own_people_above_25_are_not_drawn(tmp_path):
    clips = {f"person{person}_wave_d1_1": "wave" for person in range(26, 40)}
    subsets, _ = DATASETS["folder"].split({**clips, "person26_jump_d1_1": "jump"}, {})
    assert subsets["person26_jump_d1_1"] == subsets["person26_wave_d1_1"]
    assert set(subsets.values()) == {"training", "validation", "testing"}
    groups = {DATASETS["folder"].group_of(f"v_{group}_c1") for group in ("g1", "g01")}
    assert groups == {"g01"}


def test_a_clip_whose_images_have_changed_is_not_trained_on(checked_data, tmp_path, capsys):
    options = train_options(checked_data, tmp_path / "run", "--n_epochs", 1)
    run_command("main", *options)
    image = checked_data.images / "walking" / "person11_walking_d1_1" / "image_00002.jpg"
    shutil.copy(image.with_name("image_00003.jpg"), image)
    line = refused(capsys, "main", *options)
    assert "the images of 1 clip are not those that" in line and "person11_walking_d1_1" in line
    line = refused(capsys, "inference", *data_options(checked_data), "--resume_path", tmp_path / "run" / "best.pth",
                   "--subset", "training", "--result_path", tmp_path / "out")
    assert "the images of 1 clip are not those that" in line


def test_subsets_hold_every_clip(checked_data):
    assert sum(map(len, subsets_of(read_annotation(checked_data.annotation)).values())) == 16


def test_edited_ranges_and_a_video_of_equal_size_are_cut_again(raw, tmp_path, capsys):
    own = shutil.copytree(raw, tmp_path / "raw")
    trim(own, tmp_path / "trimmed", "--classes", "walking")
    ranges, video = own / "00sequences.txt", own / "walking" / "person02_walking_d1_uncomp.avi"
    text = ranges.read_text()
    ranges.write_text(text.replace("person01_walking_d1\t\tframes\t11-40", "person01_walking_d1 frames 13-42"))
    video.write_bytes(video.read_bytes()[:-1] + b"\x07")
    capsys.readouterr()
    trim(own, tmp_path / "trimmed", "--classes", "walking")
    printed = capsys.readouterr()
    assert "walking: 2 videos trimmed, 1 kept" in printed.out
    for name in ("person01_walking_d1_uncomp.avi", "person02_walking_d1_uncomp.avi"):
        assert f"walking/{name} is another file or has other ranges than before" in printed.err
