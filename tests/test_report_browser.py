"""The report in a real browser: every clip is there, and the controls work."""


import numpy as np
import pytest
from matplotlib import colormaps

from saliency.figures import HEAT, colour_limit
from saliency.report.page import write_report
from tests.browser import Page
from tests.report_data import EVIL, make_run, save_clip, stand_in_maps, walk


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The page of a run, and what was drawn from: see tests.report_data.make_run."""
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def page(browser, run):
    """The page in the browser; it may not complain."""
    page = Page(browser, run[0])
    yield page
    assert browser.get_log("browser") == []


@pytest.fixture
def keys():
    """Names of keys."""
    return pytest.importorskip("selenium.webdriver.common.keys").Keys


def test_the_gallery_shows_every_clip(page):
    assert sorted(page.names()) == sorted(["a walk", EVIL, "no tsr", "video"])
    facts = dict(zip(page.names(), page.texts(".card"), strict=True))
    assert "✓" in facts["a walk"] and "✗" in facts[EVIL] and "✓" not in facts["video"] + facts[EVIL]
    assert not any("n/a" in text for text in facts.values())
    assert page.run("return [...document.images].every(each => each.alt && each.complete && each.naturalWidth === 32)")
    assert page.texts("#problems li") == [
        "1 clip has feature saliency but no frame saliency, and cannot be shown."]


def test_markup_in_names_stays_text(page):
    assert page.run("return document.scripts.length") == 2
    page.open(EVIL)
    assert page.texts("#clip_name") == [EVIL]
    assert page.texts("#verdict") == [
        f"{EVIL} 0.70 The label is running. The model predicts {EVIL}, which is wrong. The maps explain the logit of "
        f"{EVIL} (probability 0.70), not of the true class running."]
    assert page.texts("#clip_facts") == [
        "The methods give these numbers about themselves: TSR error bound 0.0002; TSR base occlusion block."]


def test_the_head_tells_what_was_run(page):
    page.unfold()
    text = page.texts("#run")[0]
    assert all(part in text for part in ("kth, testing", "best.pth", "logit", "torch 2.14.0", "0111967", "2 of 3"))
    bars = page.texts(".bar_row")
    assert "TSR" in bars[0] and bars[-2].startswith("Random") and "(" in bars[0]
    page.choose("#metric", "nss_flow_clip")
    assert "chance, 0." in page.texts("#bars_caption")[0]
    assert "(mean over 4 clips, values; fewer than 5 clips are too few for" in page.texts("#bars_caption")[0]
    assert page.texts("#summary thead th small") == ["baseline"] * 3
    assert page.texts("#feature_summary td")[0] == "0.432 (0.432, 0.432)"


def test_findings_come_first_and_lead_to_their_figures(page):
    shown = page.all("#findings li")
    assert 3 <= len(shown) <= 6 and "best baseline" in shown[0].text
    for item in shown:
        page.run("window.scrollTo(0, 0)")
        item.find_element("css selector", "a").click()
        target = page.run("return document.querySelector(location.hash)")
        assert target.is_displayed() and target.get_attribute("open") != "false"
        if "last quarter" in item.text:
            assert page.texts("#bars_caption strong") == ["Share of saliency in the last quarter of the clip"]
    assert page.texts("#random_head thead th")[1:] == ["Gradient"]
    assert page.texts("#random_head td")[0] == "0.600 (0.500, 0.700)"
    assert page.texts("#sanity_sentences li") == [EVIL]
    assert page.texts("#missing li")[0].startswith("Nothing was deleted")
    assert not page.all("#deletion_part")[0].is_displayed()


def test_the_slider_moves_all_maps_together(page, keys):
    page.open("a walk")
    assert page.texts("#maps strong") == ["Frame", "Gradient", "TSR", "Optical flow"]
    page.choose("#time", 2)
    before = page.pictures()
    page.choose("#time", 4)
    assert page.frame() == 4 and all(one != other for one, other in zip(before, page.pictures(), strict=True))
    page.press(keys.END)
    labels = page.run("return [...document.querySelectorAll('#maps canvas')].map(each => each.ariaLabel)")
    assert labels == ["Frame, frame 8 of 8", "Gradient, frame 8 of 8", "TSR, frame 8 of 8",
                      "Optical flow, frame 8 of 8: none"]
    bars = page.all("#timeline rect")
    assert len(bars) == 8 and bars[1].get_attribute("class") == "undefined"
    track = page.all("#timeline svg")[0]
    chains = pytest.importorskip("selenium.webdriver").ActionChains(page.browser)
    chains.move_to_element_with_offset(track, -track.size["width"] * 3 // 16, 0).click().perform()  # 2.5 of 8 bars
    assert page.frame() == 3 and page.all("#timeline rect.current") == [bars[2]]


def test_pictures_show_the_numbers(page, run):
    arrays = run[1]["a walk"]
    page.open("a walk")
    page.choose("#time", 3)
    page.choose("#opacity", 0)
    for place in range(4):
        assert np.abs(page.pixels(place) - arrays["frames"][2, ..., None]).mean() < 4  # what JPEG costs
    page.choose("#opacity", 100)
    for place, name in ((1, "gradient"), (3, "flow")):
        share = np.clip(arrays[name][2] / colour_limit(arrays[name]), 0, 1)
        assert np.abs(page.pixels(place) - 255 * colormaps[HEAT](share)[..., :3]).mean() < 4
    plain = page.pixels(1)
    page.all("#outline")[0].click()
    assert (page.pixels(1) != plain).any() and (page.pixels(1) == (86, 180, 233)).all(-1).any()


def test_everything_works_by_keyboard(page, keys):
    for _ in range(40):
        page.press(keys.TAB)
        if page.browser.switch_to.active_element.get_attribute("class").startswith("card"):
            break
    assert page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press(keys.ENTER)
    page.until(lambda: page.all("#panel[aria-busy=false]"))
    page.run("document.activeElement.blur()")
    page.press(keys.HOME)
    assert page.frame() == 1
    page.press(keys.ARROW_RIGHT, keys.ARROW_RIGHT, keys.ARROW_LEFT)
    assert page.frame() == 2
    page.press(keys.SPACE)
    page.until(lambda: page.frame() != 2)
    page.press(keys.SPACE)
    frame = page.frame()
    page.draw_frames(30)  # in which it would have moved on
    assert page.frame() == frame and page.texts("#play") == ["Play"]
    before, names = page.texts("#clip_name")[0], page.names()
    page.press("n" if before != names[-1] else "p")
    page.until(lambda: page.texts("#clip_name")[0] != before)


def test_features_metrics_and_neighbours_of_a_clip(page):
    page.open("a walk")
    page.unfold()
    assert len(page.all("#feature_timeline canvas")) == 2 and "400 of 500 features" in page.texts("#feature_note")[0]
    assert [text.split("\n")[0] for text in page.texts("#clip_metrics thead th")] == [
        "Metric", "Gradient", "TSR", "Random", "Centre", "Frame difference"]
    assert page.texts("#feature_metrics td") == ["0.432", "0.500"]
    page.all("#next")[0].click()
    page.until(lambda: page.texts("#clip_name") == ["no tsr"] and page.all("#panel[aria-busy=false]"))
    assert page.texts("#maps strong") == ["Frame", "Gradient", "Optical flow"]
    assert not page.all("#features:not([hidden])")
    assert len(page.all("#timeline rect")) == 8  # the gradient's totals stand in for the time contribution


@pytest.mark.parametrize("width", [360, 1280, 3840])
def test_nothing_is_wider_than_the_window(page, width):
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                 {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
    page.open("a walk")
    for node in ("document.documentElement", "document.getElementById('panel')"):
        assert page.run(f"return {node}.scrollWidth <= {node}.clientWidth")
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_many_clips_are_read_when_they_are_opened(browser, tmp_path):
    """The page opens fast because it parses no line of a clip before that clip is opened (tests/benchmarks/page.py)."""
    arrays = stand_in_maps(walk(length=20, size=80))
    first = save_clip(tmp_path, "walk", arrays)
    for number in range(1, 20):
        (tmp_path / f"class/copy{number:03}").mkdir()
        (tmp_path / f"class/copy{number:03}/saliency.npz").symlink_to(first)
    path = write_report(tmp_path)
    counting = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
        window.parsed = 0;
        const parse = JSON.parse;
        JSON.parse = text => { window.parsed += text.length; return parse(text); };
    """})
    page = Page(browser, path)
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", counting)
    assert len(page.all(".card")) == 20
    assert 0.03 * path.stat().st_size < page.run("return window.parsed") < 0.1 * path.stat().st_size  # one clip's line
