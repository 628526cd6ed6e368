"""Passages and empty clips, which serve training only: from the videos to the training run."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from data.annotation import read_annotation
from data.clips import find_clips
from data.training_clips import find_empty, find_training_extra
from data.video import read_video
from model.checkpoint import load_model
from runtime.files import read_json
from tests.passing import extract, passing, times_of, trim
from tests.runs import run_command, table, train_options
from utils import annotate_kth

CONTEXT = 5
RANGES = ((11, 40), (51, 80))  # of each video of `raw`, which has 90 frames


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    """The clips of `raw` with passages and empty clips, their images and their annotation, read only."""
    root = tmp_path_factory.mktemp("extra")
    trim(raw, root / "trimmed", f"--context={CONTEXT}")
    extract(root / "trimmed", root / "images")
    annotate_kth.main([f"--image_path={root / 'images'}", f"--annotation_path={root / 'kth1.json'}",
                       f"--trimmed_path={root / 'trimmed'}"])
    return SimpleNamespace(trimmed=root / "trimmed", images=root / "images", annotation=root / "kth1.json")


def test_a_passage_is_a_range_with_frames_before_and_after_it(prepared):
    record = json.loads((prepared.trimmed / "trim.json").read_text())
    entry = record["videos"]["walking/person11_walking_d1_uncomp.avi"]
    assert entry["passages"] == {f"person11_walking_d1_{k}_passage": [CONTEXT + 1, CONTEXT + 30] for k in (1, 2)}
    frames, masks = passing()
    for k, (first, last) in enumerate(RANGES, start=1):
        cut, _ = read_video(prepared.trimmed / "_passage_walking" / f"person11_walking_d1_{k}_passage.avi")
        begin, end = first - 1 - CONTEXT, last + CONTEXT
        assert len(cut) == end - begin and masks[begin:end].any()
        assert np.abs(cut[..., 0].astype(int) - frames[begin:end]).mean() < 3


def test_an_empty_clip_is_a_gap_without_anybody(prepared):
    record = json.loads((prepared.trimmed / "trim.json").read_text())
    empty = record["videos"]["running/person02_running_d1_uncomp.avi"]["empty"]
    assert empty == {"person02_running_d1_empty_1": 1, "person02_running_d1_empty_2": 42,
                     "person02_running_d1_empty_3": 82}
    frames, masks = passing()
    for clip, first in empty.items():
        cut, _ = read_video(prepared.trimmed / "_empty" / f"{clip}.avi")
        assert len(cut) >= 10 and not masks[first - 1:first + 7].any()
        np.testing.assert_allclose(cut[..., 0].mean((1, 2)), frames[0].mean(), atol=1)  # nobody is there
    assert not list(prepared.trimmed.glob("_*/*.npz"))


def test_a_passage_that_is_lost_is_cut_again_and_the_rest_is_kept(raw, tmp_path, capsys):
    trim(raw, tmp_path, "--context=5", "--classes", "walking")
    before = times_of(tmp_path)
    lost = tmp_path / "_passage_walking" / "person02_walking_d1_1_passage.avi"
    lost.unlink()
    capsys.readouterr()
    trim(raw, tmp_path, "--context=5", "--classes", "walking")
    assert "walking: 1 videos trimmed, 2 kept" in capsys.readouterr().out and lost.is_file()
    same = [path for path, written in times_of(tmp_path).items() if before[path] == written]
    assert {path.name[:8] for path in same} == {"person01", "person11"}


def test_the_annotation_lists_them_apart_from_the_clips(prepared):
    """Passages of the training subset alone, empty clips of all; each with the subset of its video."""
    read = read_annotation(prepared.annotation)
    assert read.labels == ["running", "walking"] and len(read.clips) == 12
    assert not [clip for clip in read.clips if "passage" in clip or "empty" in clip]
    assert read.passages == {
        f"person11_{label}_d1_{k}_passage": ("training", label, (CONTEXT + 1, CONTEXT + 30))
        for label in ("running", "walking") for k in (1, 2)}
    subsets = {"person11": "training", "person01": "validation", "person02": "testing"}
    assert read.empty == {f"{person}_{label}_d1_empty_{k}": subset for person, subset in subsets.items()
                          for label in ("running", "walking") for k in (1, 2, 3)}


def test_they_are_found_where_they_are_on_disk(prepared, tmp_path):
    read = read_annotation(prepared.annotation)
    extra = find_training_extra(read, prepared.images)
    assert [clip.label for clip in extra] == ["running"] * 2 + ["walking"] * 2 + [None] * 6
    assert all(clip.path.is_dir() and clip.subset == "training" for clip in extra)
    assert [clip.visible for clip in extra] == [(CONTEXT + 1, CONTEXT + 30)] * 4 + [None] * 6
    assert len(find_empty(read, prepared.images, "testing")) == 6
    assert find_training_extra(read, tmp_path) == []
    assert len(find_clips(prepared.annotation, prepared.images)[1]) == 12
    assert find_training_extra(read._replace(passages={}), prepared.images) == []
    running = {name: entry for name, entry in read.passages.items() if entry[1] == "running"}
    mixed = find_training_extra(read._replace(passages=running), prepared.images)  # walking without passages
    assert sorted(clip.name for clip in mixed if clip.label == "walking") == [
        "person11_walking_d1_1", "person11_walking_d1_2"]
    assert [clip.name for clip in mixed if clip.label == "running"] == list(running)


@pytest.mark.parametrize("more", [[], ["--finetune", "--backbone", "resnet18", "--n_epochs", 1]])
def test_training_draws_windows_from_them(prepared, tmp_path, capsys, more):
    run_command("main", *train_options(prepared, tmp_path, *more, "--annotation_path", prepared.annotation))
    printed = capsys.readouterr().out
    assert "an epoch draws about 3 windows each of nobody, running, walking, from 4 passages, 6 empty clips" in printed
    assert "validation: probabilities on 6 clips without anybody: running 0." in printed
    metrics = read_json(tmp_path / "metrics.json")
    assert sum(metrics["testing"]["empty"].values()) == pytest.approx(1)
    assert set(metrics["testing"]["empty"]) == {"running", "walking"}
    assert load_model(tmp_path / "last.pth")[1].frame_rate == 25  # that of the videos
    assert len(table(tmp_path / "log.csv")) == (1 if more else 2)