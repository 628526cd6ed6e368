"""The part of the report that says when the model decided, in a real browser."""

import numpy as np
import pytest
import torch

from saliency.report.page import write_report
from saliency.results.clip import ClipResult, facts_of
from saliency.when import decide
from tests.browser import Page
from tests.report_data import save_metrics, stand_in_maps, walk
from tests.toys import MeanOfFrames

CLASSES = ["walking", "running"]


@pytest.fixture(scope="module")
def decision():
    """The decision on a clip of eight frames in which frame 6 alone says walking."""
    clip = torch.zeros(8, 3, 4, 4)
    clip[5] = 0.1
    return decide(MeanOfFrames(), clip, 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory, decision):
    """A page of a clip with a decision and of a clip without one."""
    folder, clips = tmp_path_factory.mktemp("when"), {}
    for name in ("decided", "plain"):
        arrays = stand_in_maps(walk(), 0)
        clips[name] = arrays
        facts = facts_of(name, "walking", "walking", "walking", 0.9, "logit")
        more = decision.arrays(CLASSES) if name == "decided" else {}
        result = ClipResult(facts | (decision.facts() if more else {}), frames=arrays["frames"], flow=arrays["flow"],
                            maps={"gradient": arrays["gradient"]}, arrays=more)
        (folder / "walking" / name).mkdir(parents=True)
        result.write(folder / "walking" / name / "saliency.npz")
    save_metrics(folder, clips)
    return write_report(folder)


@pytest.fixture
def page(browser, run):
    page = Page(browser, run)
    yield page
    assert browser.get_log("browser") == []


def test_the_sentences_and_charts_are_shown(page, decision):
    page.open("decided")
    assert page.texts("#when_sentences li") == decision.sentences(CLASSES)
    kept = float(decision.intervals.kept[5, 5])
    assert page.texts("#first_answers dd")[0] == (f"Frame 6 of 8 is enough for the score of walking: alone, it "
                                                  f"gives {kept:.0%} of its difference from the background.")
    assert float(page.texts("#when_gap")[0].replace("−", "-")) == pytest.approx(decision.shapley.gap, abs=1e-12)
    heights = [float(bar.get_attribute("height")) for bar in page.all("#when_timeline rect")]
    expected = np.abs(decision.shapley.values.numpy())
    np.testing.assert_allclose(heights, expected / expected.max(), atol=1e-3)
    assert [bar.get_attribute("class") for bar in page.all("#when_timeline rect")][5] == "for"
    assert len(page.all("#when_timeline .span")) == 3 and page.texts("#when_timeline .no_span") == ["none"]
    titles = page.run("return [...document.querySelectorAll('#when_timeline .span')].map(each => each.title)")
    assert titles == ["frame 6"] * 3
    assert len(page.all("#when_timeline polyline")) == 2 and len(page.all("#when_timeline .decided")) == 1
    assert "when" not in page.texts("#clip_facts")[0]


def test_a_clip_without_a_decision_has_no_such_part(page):
    page.open("plain")
    assert page.all("#when")[0].get_attribute("hidden")
    page.open("decided")
    assert not page.all("#when")[0].get_attribute("hidden")
