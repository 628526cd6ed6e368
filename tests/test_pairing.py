"""Results of frames and of features share a page only if they explain the same model and the same data."""

import shutil

import pytest
import torch

from runtime.files import read_json, write_json
from saliency.report import write_report
from saliency.report.pairing import read_recipe, why_apart
from tests.runs import bytes_of, use
from tests.tiny_data import CLIP

INPUTS = {"resume_path": "aa", "annotation_path": "bb"}
VIDEO = {"resume_path": "aa", "video walk": "cc"}


@pytest.mark.parametrize(("frames", "features", "reason"), [
    (INPUTS, INPUTS, None), (VIDEO, VIDEO, None),
    (VIDEO, VIDEO | {"video run": "dd"}, None),  # another video more
    (INPUTS, INPUTS | {"resume_path": "ee"}, "the checkpoints differ"),
    (INPUTS, INPUTS | {"annotation_path": "ee"}, "the data differ"),
    (VIDEO, VIDEO | {"video walk": "ee"}, "the data differ"),
    (INPUTS, VIDEO, "the data differ"), (VIDEO, INPUTS, "the data differ"),
    ({}, INPUTS, "an opts.json does not say which checkpoint was explained"),
    (INPUTS, "text", "an opts.json does not say which checkpoint was explained"),
])
def test_recipes_that_belong_together(frames, features, reason):
    assert why_apart({"inputs": frames}, {"inputs": features}) == reason


def test_a_folder_without_a_readable_recipe_belongs_to_nothing(tmp_path):
    assert read_recipe(tmp_path) == {}
    (tmp_path / "opts.json").write_text("[1]")
    assert read_recipe(tmp_path) == {}
    assert why_apart({}, {"inputs": INPUTS}) is not None


def test_features_of_another_model_stay_off_the_page(data_set, trained, tmp_path, capsys):
    """Neither feature_saliency.py changes the page of another model's frames, nor does frame_saliency.py show them."""
    other = tmp_path / "other"
    other.mkdir()
    torch.save(torch.load(trained / "best.pth", weights_only=True) | {"epoch": 77}, other / "best.pth")
    frames, features = tmp_path / "frame_saliency", tmp_path / "other_model_features"
    use("frame_saliency", data_set, trained, frames, "--limit", 1, "--no_overlay", "--no_when")
    before = bytes_of(frames)
    use("feature_saliency", data_set, other, features, "--limit", 1)
    assert "not on the page" in capsys.readouterr().out and bytes_of(frames) == before
    text = write_report(frames, features).read_text()
    assert "are not shown, because the checkpoints differ" in text and '"feature_recipe": {}' in text


def test_features_of_the_same_model_are_on_the_page(data_set, trained, tmp_path, capsys):
    frames = tmp_path / "maps"
    use("frame_saliency", data_set, trained, frames, "--limit", 1, "--no_overlay", "--no_when")
    use("feature_saliency", data_set, trained, tmp_path / "features", "--limit", 1, "--frame_results", frames)
    assert f"to look at: {frames / 'report.html'}" in capsys.readouterr().out
    assert '"features": {' in (frames / "report.html").read_text()
    recipe = read_json(tmp_path / "features" / "opts.json")
    shutil.rmtree(tmp_path / "features" / "walking" / CLIP)
    write_json(tmp_path / "features" / "opts.json", recipe)
    assert "are not shown" not in write_report(frames, tmp_path / "features").read_text()
