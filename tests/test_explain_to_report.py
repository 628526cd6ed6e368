"""A model and clips in Python become a folder of results and a page."""


import numpy as np
import pytest
import torch

from model.adapters import ClipModel
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, normalise
from runtime.files import read_json
from saliency.gradient import frame_gradient
from saliency.report import explain_to_report
from saliency.results.clip import ClipResult
from tests.tiny_data import moving_block
from tests.toys import MeanOfFrames

CLASSES = ["walking", "running"]


def clips():
    return [moving_block(speed, seed)[0] for seed, speed in enumerate((1, 4))]


def test_frames_and_tensors_give_the_same_results(tmp_path):
    model, frames = MeanOfFrames(), clips()
    tensors = [normalise(clip, IMAGENET_MEAN, IMAGENET_STD) for clip in frames]
    for name, given in (("frames", frames), ("tensors", tensors)):
        page = explain_to_report(model, given, CLASSES, tmp_path / name, names=["a", "b"], labels=["walking", None])
        assert page == tmp_path / name / "report.html" and '"clip": "a"' in page.read_text()
    one, other = (ClipResult.read(tmp_path / name / "walking/a/saliency.npz") for name in ("frames", "tensors"))
    np.testing.assert_array_equal(one.maps["gradient"], other.maps["gradient"])
    np.testing.assert_array_equal(one.frames, other.frames)
    assert (tmp_path / "frames/video/b/saliency.npz").is_file()
    slopes = frame_gradient(model, tensors[0], CLASSES.index(one.facts["target"])).abs().amax(1)
    np.testing.assert_allclose(one.maps["gradient"], slopes, rtol=1e-5)
    content = read_json(tmp_path / "frames/metrics.json")
    assert set(content["clips"]) == {"a", "b"} and content["findings"] and "gradient" in content["summary"]


def test_a_network_of_whole_clips_and_several_methods(tmp_path):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6 * 3 * 32 * 32, 2))
    explain_to_report(ClipModel(network), clips(), CLASSES, tmp_path, methods=["freeze", "gradient"], target="running")
    result = ClipResult.read(tmp_path / "video/clip001/saliency.npz")
    assert list(result.maps) == ["freeze", "gradient"] and "freeze" in result.evidence
    assert result.facts["target"] == "running"
    rows = read_json(tmp_path / "metrics.json")["summary"]
    assert "auc_flow_frame" in rows["gradient"] and "auc_flow_frame" not in rows["freeze"]


def test_the_page_tells_how_it_was_made(tmp_path):
    model = MeanOfFrames()
    page = explain_to_report(model, clips(), CLASSES, tmp_path / "one", methods=["smoothgrad", "gradient"],
                             target="running", options={"smoothgrad": {"samples": 2}})
    made = read_json(tmp_path / "one/opts.json")
    options = made["options"]
    assert options["model"] == "MeanOfFrames" and options["classes"] == CLASSES and options["target"] == "running"
    assert (options["method"], options["methods"]) == ("smoothgrad", ["smoothgrad", "gradient"])
    assert options["method_options"] == {"smoothgrad": {"samples": "2"}}
    assert made["versions"]["torch"] and made["inputs"]["weights"] in page.read_text()
    next(model.parameters()).data += 1
    explain_to_report(model, clips(), CLASSES, tmp_path / "other")
    assert read_json(tmp_path / "other/opts.json")["inputs"] != made["inputs"]


@pytest.mark.parametrize(("changes", "complaint"), [
    ({"clips": []}, "0 clips, 0 names and 0 labels"), ({"names": ["a"]}, "2 clips, 1 names"),
    ({"names": ["a", "a"]}, "a name of its own"), ({"names": ["a", "../b"]}, "cannot be the name of a folder"),
    ({"labels": ["walking", "jogging"]}, "'jogging' is none of the classes"),
    ({"target": "jogging"}, "'jogging' is none of the classes walking, running"),
    ({"target": "label"}, "a clip has no label"), ({"methods": ["magic"]}, "known are: gradient"),
    ({"classes": ["one", "two", "three"]}, "3 names of classes were given, but the model tells 2 apart"),
    ({"clips": [np.zeros((6, 32, 32), np.uint8)]}, r"uint8 \(6, 32, 32\); give frames"),
    ({"clips": ["walk.avi"]}, "clip001 is a str"), ({"clips": [torch.zeros(6, 3, 32, 32).byte()]}, "floating-point"),
])
def test_bad_input_is_one_sentence(tmp_path, changes, complaint):
    arguments = {"clips": clips(), "classes": CLASSES, "folder": tmp_path / "new"} | changes
    with pytest.raises(ValueError, match=complaint):
        explain_to_report(MeanOfFrames(), **arguments)
    assert not list(tmp_path.rglob("saliency.npz")) and not list(tmp_path.rglob("report.html"))


def test_a_wrong_clip_is_found_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="clip002 is float64"):
        explain_to_report(MeanOfFrames(), [clips()[0], clips()[1] / 255], CLASSES, tmp_path / "new")
    assert not (tmp_path / "new").exists()
