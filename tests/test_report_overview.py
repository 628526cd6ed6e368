"""The part of the page about all clips, in a real browser."""

import numpy as np
import pytest

from runtime.files import write_json
from saliency.report.page import write_report
from saliency.results.clip import ClipResult, facts_of
from tests.browser import Page
from tests.report_data import RECIPE, save_clip, save_metrics, stand_in_maps, walk


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The page of six clips with features. The value of feature 7 is highest in frame 3 of each clip."""
    folder = tmp_path_factory.mktemp("overview") / "frame"
    clips = {f"clip {number}": stand_in_maps(walk(number), number) for number in range(6)}
    save_metrics(folder, clips)
    random = np.random.default_rng(0)
    for number, (name, arrays) in enumerate(clips.items()):
        label, predicted = ("walking", "running") if number == 5 else ("walking", "walking")
        place = save_clip(folder, name, arrays, label, predicted, number)
        features, gradient = random.random((8, 30)), random.random((8, 30))
        features[2, 7], gradient[:, 7] = 5 + number, 9
        own = folder.with_name("features") / place.relative_to(folder)
        own.parent.mkdir(parents=True)
        facts = facts_of(name, label, predicted, predicted, 0.9, "logit")
        ClipResult(facts, features=features, maps={"gradient": gradient}).write(own)
    write_json(folder.with_name("features") / "opts.json", {"inputs": RECIPE["inputs"]})
    return write_report(folder, folder.with_name("features"))


@pytest.fixture
def page(browser, run):
    """The page in the browser; it may not complain."""
    yield Page(browser, run)
    assert browser.get_log("browser") == []


def test_profiles_name_their_groups_and_counts(page):
    assert page.texts("#profiles strong") == ["True class walking"]
    assert page.texts("#profiles .legend > span") == [
        "right predictions, n = 5", "wrong predictions, n = 1, no interval"]
    assert len(page.all("#profiles polyline")) == 2 and len(page.all("#profiles polygon")) == 1
    mean = page.run("return run.overview.profiles.groups[0].mean")
    points = page.run("return document.querySelector('#profiles polyline').getAttribute('points')").split()
    heights = [1 - float(point.split(",")[1]) for point in points]
    np.testing.assert_allclose(np.array(heights) / heights[0], np.array(mean) / mean[0], rtol=1e-6)
    even = 1 - float(page.run("return document.querySelector('#profiles line').getAttribute('y1')"))
    assert even / heights[0] == pytest.approx(1 / 8 / mean[0])


def test_there_is_a_table_of_trust_per_question(page):
    assert page.texts("#trust h4") == ["Where"]  # the run measured nothing for the other questions
    assert page.texts("#trust tbody th") == ["Tests passed", "Optical flow", "Random head"]
    notes = page.texts("#trust .note")
    assert notes[0].startswith("The margins are over 6 clips.")
    assert any(text.startswith("Nothing was deleted") for text in page.texts("#missing li"))
    cells = page.texts("#trust tbody td")
    assert " of 1" in cells[0] and any("[" in cell for cell in cells)
    assert "95 % interval over 6 clips" in page.texts("#bars_caption")[0]


def test_features_have_thumbnails_of_their_highest_frames(page):
    first, *others = page.texts("#often > li")
    assert "Feature 7 in 6 of 6 clips, mean share" in first and len(others) == 7
    assert page.texts("#often > li:first-child figcaption") == [
        f"clip{number:03}, frame 3, value {5 + number}" for number in (5, 4, 3)]
    assert "With 30 features, an even share would be 3.33 %." in page.texts("#often_note")[0]
    assert page.run("return [...document.querySelectorAll('#often img')].every(each => each.alt && "
                    "each.complete && each.naturalWidth > 0 && each.naturalWidth <= 60)")


def test_one_clip_has_no_mean_profile(browser, tmp_path):
    folder, arrays = tmp_path / "frame", stand_in_maps(walk())
    save_metrics(folder, {"a": arrays})
    save_clip(folder, "a", arrays)
    page = Page(browser, write_report(folder))
    page.unfold()
    text = page.texts("main")[0]
    assert "mean over the clips" not in text and "mean over 1" not in text and "n average" not in text
    assert not page.all("#overview")[0].is_displayed() and not page.all("#strip_part")[0].is_displayed()
    assert browser.get_log("browser") == []
