"""The page of two runs in a real browser."""

import base64

import cv2
import numpy as np
import pytest

from saliency.report.compare_page import _pictures, write_comparison
from saliency.result import ClipResult
from saliency.two_runs import Pair, read_run, share_difference
from tests.browser import Page
from tests.report_data import stand_in_maps, walk
from tests.test_two_runs import make_pair


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of the page of two runs, and the comparison."""
    root = tmp_path_factory.mktemp("two")
    a, b = make_pair(root)
    return root / "page", write_comparison(read_run(a), read_run(b), root / "page")


@pytest.fixture
def page(browser, written):
    """The page in the browser, with all clips drawn; it may not complain."""
    page = Page(browser, written[0] / "compare.html")
    drawn(page)
    yield page
    assert browser.get_log("browser") == []


def drawn(page):
    """Wait until all clips are drawn, one after the other coming into view."""
    for item in page.all(".clip"):
        page.run("arguments[0].scrollIntoView()", item)
        page.until(lambda item=item: item.get_attribute("data-ready"))


def pixels(page):
    """Return the pictures of the first clip as arrays (H, W, 3), RGB."""
    found = page.run("return [...document.querySelectorAll('.clip:first-child canvas')].map(each => each.toDataURL())")
    contents = [np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8) for address in found]
    return [cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1].astype(int) for content in contents]


def test_the_head_and_the_tables_show_the_comparison(page, written):
    content = written[1]
    assert page.texts("h1") == ["3 clips under two runs"]
    assert page.texts("#findings li") == content["sentences"]
    rows = page.texts("#recipes tbody tr")
    assert len(rows) == len(content["recipes"]) and any("resume_path" in row and "8f3b" in row for row in rows)
    cell = content["figures"]["main map"]["auc_flow_frame"]
    row, = (text for text in page.texts("#figures tbody tr") if text.startswith("AUC against flow, mean over frames"))
    assert f"{cell['a']:.3f} {cell['b']:.3f}" in row and f"{cell['difference']:.3f}".replace("-", "−") in row
    assert row.endswith(" 3") and ("*" in row) == (cell["low"] > 0 or cell["high"] < 0)
    page.choose("#section", "prediction")
    assert "Share of clips that are right 1 0.667 −0.333" in "\n".join(page.texts("#figures tbody tr"))


def test_each_clip_is_shown_under_both_runs(page):
    assert page.texts(".clip h3") == ["clip001", "clip002", "clip003"]
    titles = page.texts(".clip:first-child strong")
    assert titles == ["Frame", "A: gradient", "B: tsr", "B − A, share of the saliency"]
    facts = page.texts(".clip_facts")
    assert ["the prediction changed" in text for text in facts] == [False, True, False]
    assert "A: walking" in facts[1] and "B: running" in facts[1]


def test_the_slider_moves_all_maps_and_the_difference_has_two_colours(page):
    arrays = stand_in_maps(walk(1), 1)
    difference = share_difference(arrays["gradient"], arrays["tsr"])
    best = int(np.abs(difference).sum((1, 2)).argmax()) + 1
    assert page.texts(".clip:first-child .player label")[0] == f"Frame {best} of 8"
    page.choose(".clip:first-child input", 6)
    before = pixels(page)
    page.choose(".clip:first-child input", 4)
    after = pixels(page)
    assert all((one != other).any() for one, other in zip(before, after, strict=True))
    assert np.abs(after[0][..., 0] - arrays["frames"][3]).mean() < 4  # what JPEG costs
    strong = np.abs(difference[3]) > np.quantile(np.abs(difference[3]), 0.95)
    redder = (after[3][..., 0] - after[3][..., 2])[strong]
    assert np.mean((redder > 0) == (difference[3][strong] > 0)) > 0.9
    labels = page.run("return [...document.querySelectorAll('.clip:first-child canvas')].map(each => each.ariaLabel)")
    assert labels[1] == "A: gradient, frame 4 of 8"


def test_evidence_has_two_colours_also_where_nothing_speaks_against_the_class():
    maps = np.ones((2, 4, 4)), np.full((2, 4, 4), 2.0)
    result = ClipResult({"target": "walking"}, frames=np.zeros((2, 4, 4), np.uint8))
    line, _, _ = _pictures(Pair("a", (result, result), ("gradient", "evidence_freeze"), maps), 10**6, 90)
    assert [(each["name"], each["signed"]) for each in line["maps"]] == [
        ("A: gradient", False), ("B: freeze, evidence", True), ("B − A, share of the saliency", True)]


def test_clips_can_be_chosen_and_sorted(page, written):
    page.choose("#shown", "changed")
    assert page.texts(".clip h3") == ["clip002"] and page.texts("#count")[0].startswith("Shown: 1 of 3 clips. ")
    page.choose("#shown", "")
    page.choose("#sort", "agreement")
    values = [float(text.rsplit(" ", 1)[1].replace("−", "-")) for text in page.texts(".clip_facts")]
    assert values == sorted(values)
    drawn(page)


def test_it_works_by_keyboard_and_at_all_widths_in_light_and_dark(page):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    slider = page.all(".clip:first-child input")[0]
    page.run("arguments[0].focus()", slider)
    page.press(keys.END, keys.ARROW_LEFT)
    assert page.texts(".clip:first-child .player label")[0] == "Frame 7 of 8"
    command = page.browser.execute_cdp_cmd
    papers = set()
    for scheme in ("light", "dark"):
        command("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        papers.add(page.run("return getComputedStyle(document.body).backgroundColor"))
        for width in (360, 1280, 3840):
            command("Emulation.setDeviceMetricsOverride",
                    {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
            assert page.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    command("Emulation.clearDeviceMetricsOverride", {})
    command("Emulation.setEmulatedMedia", {"features": []})
    assert len(papers) == 2


def test_a_map_that_tells_only_frames_apart_is_no_picture():
    arrays = stand_in_maps(walk())
    freeze = np.arange(8.0)[:, None, None].repeat(32, 1).repeat(32, 2)
    results = [ClipResult({"freeze_time_only": 1.0}, frames=arrays["frames"],
                          maps={"gradient": arrays["gradient"], "freeze": freeze}) for _ in range(2)]
    pair = Pair("a", tuple(results), ("gradient", "freeze"), (arrays["gradient"], freeze))
    line, _, _ = _pictures(pair, 10**6, 90)
    assert [each["name"] for each in line["maps"]] == ["A: gradient"] and len(line["profiles"]) == 2
