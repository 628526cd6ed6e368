"""The recipe of a result folder: results that were made otherwise are not mixed."""

import shutil

import numpy as np
import pytest
import torch

from data.video import write_video
from tests.bad_cases import SCRIPTS, options_of
from tests.runs import bytes_of, data_options, refused, run_command
from tests.tiny_data import DURATION, SIZE


def test_results_of_another_model_are_not_mixed(data_set, trained, tmp_path, capsys):
    """Same path, other content: what is there came from a checkpoint that has been replaced."""
    checkpoint = shutil.copy(trained / "best.pth", tmp_path / "best.pth")
    options = [*data_options(data_set), "--resume_path", checkpoint, "--result_path", tmp_path / "results"]
    run_command("inference", *options, "--limit", 1)
    before = bytes_of(tmp_path / "results")
    assert "was made with --seed 0 (now 1)" in refused(capsys, "inference", *options, "--seed", 1)
    torch.save(torch.load(checkpoint, weights_only=True) | {"epoch": 77}, checkpoint)
    line = refused(capsys, "inference", *options)
    assert "was made with another checkpoint, whose content has changed; choose another" in line
    assert bytes_of(tmp_path / "results") == before
    run_command("inference", *options, "--overwrite")


def test_videos_of_one_name_in_two_folders_are_not_mixed(data_set, trained, tmp_path, capsys):
    other = tmp_path / "other" / data_set.video.name
    write_video(other, np.full((DURATION, SIZE, SIZE), 90, np.uint8))
    options = ["--resume_path", trained / "best.pth", "--result_path", tmp_path / "results", "--limit", 1]
    run_command("frame_saliency", *options, "--video", data_set.video)
    write_video(tmp_path / "run.avi", np.full((DURATION, SIZE, SIZE), 60, np.uint8))
    run_command("frame_saliency", *options, "--video", tmp_path / "run.avi")
    before = bytes_of(tmp_path / "results")
    line = refused(capsys, "frame_saliency", *options, "--video", other)
    assert "was made with another file of --video walk; choose another" in line
    assert bytes_of(tmp_path / "results") == before


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(("content", "complaint"), [
    ("{", "opts.json is not valid JSON"),
    ("[]", "opts.json does not hold the options of an earlier run"),
    ('{"options": 3}', "opts.json does not hold the options of an earlier run"),
    ('{"options": {"seed": 5}}', "was made with --seed 5 (now 0)"),
])
def test_opts_json_of_something_else(good, results, capsys, script, content, complaint):
    (results / "opts.json").write_text(content)
    before = bytes_of(results)
    assert complaint in refused(capsys, script, *options_of(script, good, results)[:-1])
    after = bytes_of(results)
    assert {path: after[path] for path in before} == before
