"""Several explained classes of a clip: --target running walking, their files, figures and maps on the page."""

import json

import numpy as np
import pytest

from saliency.drawing import FrameLook, draw_frames
from saliency.methods import METHODS, attribute
from saliency.report import PAGE
from saliency.results.clip import ClipResult, facts_of
from tests.drawn import drawn_images
from tests.runs import as_seen, data_options, refused, use
from tests.tiny_data import CLIP

NAME = "gradient_x_input"
OPTIONS = ["--limit", 1, "--method", NAME, "--signed", "--no_when", "--no_overlay"]
CLASSES = ["running", "walking"]


@pytest.fixture(scope="module")
def both(data_set, trained, tmp_path_factory):
    """The folder of a run that explains both classes."""
    folder = tmp_path_factory.mktemp("both")
    use("frame_saliency", data_set, trained, folder, *OPTIONS, "--target", *CLASSES)
    return folder


@pytest.fixture(scope="module")
def one(data_set, trained, tmp_path_factory):
    """The folder of the same run that explains the first class alone."""
    folder = tmp_path_factory.mktemp("one")
    use("frame_saliency", data_set, trained, folder, *OPTIONS, "--target", CLASSES[0])
    return folder


def test_each_class_has_its_maps(data_set, trained, both):
    model, info, clip = as_seen(data_set, trained)
    result = ClipResult.read(both / "walking" / CLIP / "saliency.npz")
    (other,) = result.others
    assert [each.facts["target"] for each in (result, other)] == CLASSES
    assert result.facts["probability"] + other.facts["probability"] == pytest.approx(1)
    for each in (result, other):
        expected = attribute(METHODS[NAME], model, clip, info.classes.index(each.facts["target"])).evidence.numpy()
        np.testing.assert_allclose(each.evidence[NAME], expected, atol=1e-4 * np.abs(expected).max())
        np.testing.assert_array_equal(each.frames, result.frames)


def test_the_page_has_the_classes_and_their_difference(both):
    result = ClipResult.read(both / "walking" / CLIP / "saliency.npz")
    data = (both / PAGE).read_text().partition('id="data">')[2].partition("</script>")[0]
    line = json.loads(data.splitlines()[0])
    walking, difference = line["others"]
    assert walking["name"] == "walking" and difference["name"] == "running minus walking"
    evidence = {part["name"]: {each["name"]: each for each in part["maps"]}[f"{NAME}, evidence"]
                for part in ({"name": "running", "maps": line["maps"]}, walking, difference)}
    assert evidence["running"]["limit"] == evidence["walking"]["limit"]  # so that colours can be compared
    assert evidence["walking"]["sides"] == ["against walking", "for walking"]
    assert evidence["running minus walking"]["sides"] == ["more for walking", "more for running"]
    expected = result.evidence[NAME] - result.others[0].evidence[NAME]
    np.testing.assert_allclose(evidence["running minus walking"]["for"], expected.clip(min=0).sum((1, 2)), rtol=1e-3)


def test_all_begins_with_the_predicted_class(data_set, trained, tmp_path):
    use("frame_saliency", data_set, trained, tmp_path, "--limit", 1, "--no_when", "--no_overlay", "--target", "all")
    result = ClipResult.read(tmp_path / "walking" / CLIP / "saliency.npz")
    assert result.facts["target"] == result.facts["predicted"]
    assert {result.facts["target"], *(other.facts["target"] for other in result.others)} == set(CLASSES)


def test_an_unknown_class_among_several_is_refused(data_set, trained, tmp_path, capsys):
    line = refused(capsys, "frame_saliency", *data_options(data_set), "--resume_path", trained / "best.pth",
                   "--result_path", tmp_path / "out", "--target", "running", "flying")
    assert "--target flying: the model knows running, walking; give one of them, predicted, label or all" in line
    line = refused(capsys, "feature_saliency", *data_options(data_set), "--resume_path", trained / "best.pth",
                   "--result_path", tmp_path / "out", "--target", "all")
    assert "--target all: the model knows running, walking; give one of them, predicted or label" in line


def test_titles_and_names_of_odd_classes(tmp_path, monkeypatch):
    """Two names that make the same part of a file name do not overwrite each other; each title names its class."""
    frames, random, drawn = np.zeros((2, 8, 8), np.uint8), np.random.default_rng(0), {}
    monkeypatch.setattr("saliency.figures.save_figures", lambda some, *place: drawn.update(some))
    results = [ClipResult(facts_of("a", "up", "up", target, 0.5, "logit"), frames=frames, flow=np.zeros((1, 8, 8)),
                          maps={"gradient": random.random((2, 8, 8))}) for target in ("up", "d/1", "d:1")]
    results[0].others = results[1:]
    draw_frames(results[0], "of up", tmp_path, FrameLook("gradient"), other_titles=["of d/1", "of d:1"])
    assert drawn.keys() == {"time", "frames", *(f"{kind}_{name}" for name in ("d_1", "d_1_3")
                                                for kind in ("time", "frames", "difference"))}
    assert drawn["frames_d_1_3"].get_suptitle() == "of d:1"
    assert drawn["difference_d_1"].get_suptitle() == "a: gradient, up minus d/1"
    image = drawn_images(drawn["difference_d_1"])[1].get_array()[1:9, 1:9]
    np.testing.assert_allclose(image, results[0].maps["gradient"][0] - results[1].maps["gradient"][0])
