"""Clips: data laid out by other tools, and frames read from disk."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from data.clips import (
    Clip,
    find_clips,
    frame_count,
    groups_of,
    limited,
    load_frames,
    load_with_masks,
    read_frames,
    resize,
    short_clips,
    to_duration,
)
from data.datasets import DATASETS
from data.training_clips import ClipDataset
from model.preprocessing import normalise
from runtime.files import read_json, write_json
from tests.runs import data_options, run_command, table, train_options
from tests.tiny_data import CLIP, DURATION, SIZE, numbered, write_clip


def clip_at(path, **options):
    """Return the Clip in a folder, or in a video file."""
    return Clip(path.name, "walking", "testing", path, **options)


def test_clips_are_found_by_subset_in_the_order_of_the_annotation(data_set):
    labels, clips, problems = find_clips(data_set.annotation, data_set.images, "testing")
    assert labels == ["running", "walking"]
    assert [clip.name for clip in clips] == [f"person22_{c}_d1_{k}" for c in ("walking", "running") for k in (1, 2)]
    assert clips[2] == Clip(clips[2].name, "running", "testing", data_set.images / "running" / clips[2].name)
    assert problems == []
    assert len(find_clips(data_set.annotation, data_set.images)[1]) == 16
    assert [clip.name for clip in find_clips(data_set.annotation, data_set.images, "all", [CLIP])[1]] == [CLIP]


def some_clips(persons=3, scenarios=2, passages=2):
    """Return clips in the order of an annotation: one class after the other, and each video's passages in a row."""
    return [Clip(f"person{person:02}_{label}_d{scenario}_{passage}", label, "testing", Path(label) / "clip")
            for label in ("walking", "running") for person in range(1, persons + 1)
            for scenario in range(1, scenarios + 1) for passage in range(1, passages + 1)]


def test_a_limit_spreads_over_classes_then_persons_then_videos_and_keeps_what_a_smaller_one_took():
    clips, taken = some_clips(), [set()]
    new = []
    for limit in range(1, len(clips) + 1):
        found = limited(clips, limit, DATASETS["kth"])
        assert found == [clip for clip in clips if clip in set(found)]  # in their order, so that videos are read once
        taken.append({clip.name for clip in found})
        new += taken[-1] - taken[-2]
        assert len(new) == limit
    assert new[:8] == ["person01_walking_d1_1", "person01_running_d1_1", "person02_walking_d1_1",
                       "person02_running_d1_1", "person03_walking_d1_1", "person03_running_d1_1",
                       "person01_walking_d2_1", "person01_running_d2_1"]
    assert new[12] == "person01_walking_d1_2"  # when every video had its turn
    assert limited(clips, None, DATASETS["kth"]) == clips
    assert limited(limited(clips, 7, DATASETS["kth"]), 3, DATASETS["kth"]) == limited(clips, 3, DATASETS["kth"])


def test_windows_of_video_files_take_turns():
    clips = [Clip(f"{name}_{first}", None, None, Path(f"{name}.avi"), first, 6) for name, count in (("p", 3), ("q", 1))
             for first in range(count)]
    assert [clip.name for clip in limited(clips, 2)] == ["p_0", "q_0"]
    assert [clip.name for clip in limited(clips, 3)] == ["p_0", "p_1", "q_0"]


def test_a_script_says_which_clips_a_limit_takes(data_set, trained, tmp_path, capsys):
    run_command("inference", *data_options(data_set), "--resume_path", trained / "best.pth", "--subset", "all",
                "--limit", 3, "--result_path", tmp_path)
    assert "--limit 3: 3 of 16 clips: 2 walking, 1 running, of 3 videos\n" in capsys.readouterr().out
    rows = table(tmp_path / "predictions.csv")
    assert [row["clip"] for row in rows] == ["person11_walking_d1_1", "person11_running_d1_1", "person12_walking_d1_1"]


def test_data_of_other_tools(own_data_set, tmp_path, capsys):
    """No testing subset, a clip not on disk, one of 29 frames, one without n_frames: trained on, and told."""
    data = own_data_set
    content = read_json(data.annotation)
    content["database"] = {name: entry for name, entry in content["database"].items() if entry["subset"] != "testing"}
    write_json(data.annotation, content)
    shutil.rmtree(data.images / "walking" / "person11_walking_d1_1")
    (data.images / "walking" / "person11_walking_d1_2" / "n_frames").unlink()
    shutil.rmtree(data.images / "running" / "person19_running_d1_1")
    write_clip(data.images / "running" / "person19_running_d1_1", numbered(29, SIZE))
    run_command("main", *train_options(data, tmp_path / "run", "--n_epochs", 1, "--sample_duration", 30))
    printed = capsys.readouterr()
    assert "training: 7 clips (running 4, walking 3)" in printed.out
    assert "testing: no clip\n" in printed.out
    assert "training: 1 of 8 listed clips have no frames on disk and are left out: person11_walking_d1_1" in printed.err
    assert "1 clip without n_frames file, so the images were counted: person11_walking_d1_2" in printed.err
    assert set(read_json(tmp_path / "run" / "metrics.json")) == {"best_epoch", "validation"}
    run_command("inference", *data_options(data), "--resume_path", tmp_path / "run" / "best.pth",
                "--subset", "validation", "--result_path", tmp_path / "results")
    assert "4 clips classified, 0 left out" in capsys.readouterr().out


def test_frames_come_in_order_and_in_rgb(tmp_path):
    red, blue = np.zeros((2, 16, 16, 3), np.uint8)
    red[..., 0], blue[..., 2] = 200, 200
    write_clip(tmp_path / "clip", [red, blue])
    frames = read_frames(clip_at(tmp_path / "clip"))
    assert frames.shape == (2, 16, 16, 3)
    np.testing.assert_allclose(frames[:, 0, 0], [[200, 0, 0], [0, 0, 200]], atol=4)


@pytest.mark.parametrize(("text", "count"), [("3", 3), (" 2\r\n", 2), ("005", 5), (None, 5)])
def test_n_frames_says_how_many_images_count(tmp_path, text, count):
    write_clip(tmp_path / "clip", numbered(5), n_frames=False)
    if text:
        (tmp_path / "clip" / "n_frames").write_bytes(text.encode())
    assert len(read_frames(clip_at(tmp_path / "clip"))) == count


@pytest.mark.parametrize(("text", "complaint"), [
    ("6", "holds 5 images, but its n_frames file says 6"), ("0", "not a number of frames"),
    ("", "not a number of frames"), ("\u00b2", "not a number of frames"), ("9" * 5000, "not a number of frames"),
])
def test_n_frames_that_cannot_be(tmp_path, text, complaint):
    write_clip(tmp_path / "clip", numbered(5), n_frames=False)
    (tmp_path / "clip" / "n_frames").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=complaint):
        read_frames(clip_at(tmp_path / "clip"))


def test_masks_of_a_clip(data_set, tmp_path):
    _, clips, _ = find_clips(data_set.annotation, data_set.images, names=[CLIP])
    frames, masks = load_with_masks(clips[0], DURATION, SIZE)
    assert (masks.shape, masks.dtype) == ((DURATION, SIZE, SIZE), bool)
    assert frames[masks].mean() > 200 > 120 > frames[~masks].mean()
    assert [pixels.shape[:3] for pixels in load_with_masks(clips[0], 4, 16)] == [(4, 16, 16)] * 2
    write_clip(tmp_path / "clip", frames)
    assert load_with_masks(clip_at(tmp_path / "clip"), DURATION, SIZE)[1] is None
    assert load_with_masks(clip_at(data_set.video, length=3), DURATION, SIZE)[1] is None


@pytest.mark.parametrize(("length", "duration", "kept"), [
    (7, 4, [1, 2, 3, 4]),  # the middle, the odd one lost at the end
    (8, 4, [2, 3, 4, 5]),
    (3, 5, [0, 1, 2]),
    (3, None, [0, 1, 2]),
])
def test_to_duration(length, duration, kept):
    assert to_duration(numbered(length), duration)[:, 0, 0, 0].tolist() == kept
    assert to_duration(numbered(length)[..., 0] > 0, duration).shape == (len(kept), 8, 8)


def test_whole_clips_are_checked_and_resized_while_they_are_read(tmp_path, data_set):
    """With the same pixels as in one piece."""
    checked = []
    write_clip(tmp_path / "clip", np.random.default_rng(0).integers(0, 255, (5, 24, 20, 3), dtype=np.uint8))
    for clip, count in ((clip_at(tmp_path / "clip"), 5), (clip_at(data_set.video, length=3), 3)):
        frames = load_frames(clip, None, 16, check=lambda *sizes: checked.append(sizes))
        np.testing.assert_array_equal(frames, resize(read_frames(clip), 16))
        assert checked.pop() == (count, 16) == (frame_count(clip), 16)
        load_frames(clip, 2, 16, check=checked.append)
        assert not checked  # the model's own number of frames was checked before


def test_short_clips_are_named(tmp_path):
    clips = [clip_at(tmp_path / f"{count}_of_many", length=count) for count in (1, 7, 3, 8, 2, 4)]
    assert short_clips(clips, 7) == [
        "4 of 6 clips are shorter than the model's 7 frames: 1_of_many has 1 frame, 3_of_many has 3 frames, 2_of_many "
        "has 2 frames and 1 more; only these frames are read; nothing moves in a single frame, so metrics of motion "
        "have no value for it"]
    assert short_clips(clips, 1) == []
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "n_frames").write_text("many")
    assert short_clips([clip_at(tmp_path / "damaged")], 7) == []  # reading it will tell


def test_data_set_items(data_set):
    labels, clips, _ = find_clips(data_set.annotation, data_set.images, "testing")
    dataset = ClipDataset(clips, labels, 16, 4, partial(normalise, mean=[0.5] * 3, std=[0.5] * 3))
    clip, label = dataset[0]
    assert (clip.shape, labels[label]) == ((4, 3, 16, 16), "walking")
    assert dataset.labels == [1, 1, 0, 0]
    expected = normalise(resize(read_frames(clips[0])[1:5], 16), [0.5] * 3, [0.5] * 3)
    assert torch.equal(clip, expected)


def test_clips_of_one_person_or_video_are_one_group(tmp_path):
    names = ["person03_walking_d1_1", "person03_running_d4_2", "v_jump_g07_c01_1", "walk_1", "walk_2"]
    clips = [clip_at(tmp_path / name) for name in names]
    video = Clip("person03_walking_d1_uncomp_00031", None, None, tmp_path / "person03_walking_d1_uncomp.avi", 30, 30)
    other = Clip("my_g12_00031", None, None, tmp_path / "my_g12.mp4", 30, 30)
    assert list(groups_of([*clips, video, other], DATASETS["kth"]).values()) == [
        "person 3", "person 3", "group g07", "video walk", "video walk", "person 3", "video my_g12.mp4"]
