"""The panel of a clip in a real browser: explained classes, signed maps, scales, the opening frame and the answers."""

import numpy as np
import pytest
from matplotlib import colormaps

from runtime.files import read_json, write_json
from saliency.figures import DIVERGING, HEAT, colour_limit
from saliency.report.page import write_report
from saliency.results.averages import summarise
from saliency.results.clip import ClipResult, facts_of
from saliency.results.findings import findings
from tests.browser import Page
from tests.report_data import save_features, save_metrics, stand_in_maps, walk

NAME = "gradient, evidence"
GAIN = {"deletion_frame_auc": 0.25, "deletion_frame_gain_error": 0.01}
PEAK = 6  # the number, from 0, of the frame with the most saliency


def signed_maps(seed):
    """Return a signed map (8, 32, 32) that is strong in one frame and a thousand times fainter in the others."""
    random = np.random.default_rng(seed)
    return random.normal(0.2, 1, (8, 32, 32)) * np.where(np.arange(8) == PEAK, 1, 1e-3)[:, None, None]


@pytest.fixture(scope="module")
def results():
    """Two explained classes of one clip."""
    arrays, made = stand_in_maps(walk()), []
    for seed, target in enumerate(["walking", "running"]):
        evidence = signed_maps(seed)
        made.append(ClipResult(facts_of("a walk", "walking", "walking", target, 0.9 - 0.8 * seed, "logit"),
                               frames=arrays["frames"], flow=arrays["flow"], maps={"gradient": np.abs(evidence)},
                               evidence={"gradient": evidence}))
    made[0].others = made[1:]
    return made


@pytest.fixture(scope="module")
def path(results, tmp_path_factory):
    """The page of the clip, with deletion results and with features."""
    folder = tmp_path_factory.mktemp("clip") / "frame_saliency"
    (folder / "walking" / "a walk").mkdir(parents=True)
    results[0].write(folder / "walking" / "a walk" / "saliency.npz")
    arrays = stand_in_maps(walk())
    save_metrics(folder, {"a walk": arrays})
    content = read_json(folder / "metrics.json")
    for method, gain in (("gradient", 0.25), ("random", 0.0)):
        content["summary"][method] |= summarise([GAIN | {"deletion_frame_gain": gain}] * 2)
    write_json(folder / "metrics.json", content | {"findings": findings(content, "gradient")})
    recipe = read_json(folder / "opts.json")
    write_json(folder / "opts.json", recipe | {"options": recipe["options"] | {
        "tsr_step": "time", "target": ["predicted", "running"]}})
    features = folder.with_name("feature_saliency")
    save_features(features / "walking" / "a walk" / "saliency.npz", 8)
    write_json(features / "opts.json", {"inputs": read_json(folder / "opts.json")["inputs"]})
    return write_report(folder)


@pytest.fixture
def page(browser, path):
    """The page of one clip, which opens by itself; it may not complain."""
    page = Page(browser, path)
    yield page
    assert browser.get_log("browser") == []


def switch(page, css):
    page.run("document.querySelector(arguments[0]).click()", css)


def choose_class(page, name):
    page.choose("#explained", name)
    page.until(lambda: page.all("#panel[aria-busy=false]"))


def shown(page, place, values, limit):
    """Assert that a picture shows the values (H, W) at full opacity, on a scale that ends at `limit`."""
    share = np.clip(values / limit, -1, 1)
    expected = 255 * colormaps[DIVERGING](0.5 + 0.5 * share)[..., :3]
    assert np.abs(page.pixels(place) - expected).mean() < 8  # what JPEG costs, on noise


def test_a_clip_opens_at_its_most_salient_frame(page):
    assert page.frame() == PEAK + 1
    switch(page, "#to_motion")
    flow = stand_in_maps(walk())["flow"].sum((1, 2))
    assert page.frame() == flow.argmax() + 1
    switch(page, "#to_peak")
    assert page.frame() == PEAK + 1


def test_the_explained_class_can_be_switched(page, results):
    titles = page.texts("#maps strong")
    assert titles == ["Frame", "Gradient, walking", "Gradient, evidence, walking", "Optical flow"]
    assert "walking (probability 0.900)" in page.texts("#explained")[0]
    page.choose("#opacity", 100)
    limit = max(colour_limit(each.evidence["gradient"]) for each in results)
    for name, result in zip(("walking", "running"), results, strict=True):
        choose_class(page, name)
        shown(page, 2, result.evidence["gradient"][PEAK], limit)
        assert page.frame() == PEAK + 1 and page.texts("#time_class") == [f", class {name}"]
        assert page.texts(".sides span")[:2] == [f"blue: against {name}", f"red: for {name}"]
    choose_class(page, "walking minus running")
    difference = results[0].evidence["gradient"] - results[1].evidence["gradient"]
    shown(page, 2, difference[PEAK], colour_limit(difference))
    assert page.texts(".sides span")[:2] == ["blue: more for running", "red: more for walking"]
    choose_class(page, "side by side")
    assert [text for text in page.texts("#maps strong") if "evidence" in text] == [
        f"Gradient, evidence, {name}" for name in ("walking", "running", "walking minus running")]
    choose_class(page, "walking")
    page.choose("#opacity", 60)


def test_scales_are_marked_while_they_are_active(page, results):
    page.choose("#opacity", 100)
    page.choose("#time", 2)
    faint, values = results[0].evidence["gradient"][1], np.abs(results[0].evidence["gradient"][1])
    limit = max(colour_limit(each.evidence["gradient"]) for each in results)
    assert not page.all("#scale_note")[0].is_displayed()
    shown(page, 2, faint, limit)
    switch(page, "#per_frame")
    assert page.texts("#scale_note") == ["Scale of each frame: colours of different frames cannot be compared."]
    shown(page, 2, faint, colour_limit(faint))
    assert float(page.texts(".scale .high")[1]) == pytest.approx(colour_limit(faint), rel=1e-2)
    switch(page, "#log")
    assert "Logarithmic scale: faint values look stronger" in page.texts("#scale_note")[0]
    share = np.log1p(100 * np.clip(values / colour_limit(values), 0, 1)) / np.log1p(100)
    expected = 255 * colormaps[HEAT](share)[..., :3]
    assert np.abs(page.pixels(1) - expected).mean() < 8
    assert page.run("return getComputedStyle(document.querySelectorAll('#maps canvas')[1]).borderStyle") == "dashed"
    for name in ("#log", "#per_frame"):
        switch(page, name)
    assert not page.all("#scale_note")[0].is_displayed() and not page.all(".other_scale")
    page.choose("#opacity", 60)


def test_the_answers(page, results):
    answers = {part: dict(zip(page.texts(f"#{part} dt"), page.texts(f"#{part} dd"), strict=True))
               for part in ("first_answers", "answers")}
    evidence = results[0].evidence["gradient"]
    magnitude = np.abs(evidence[PEAK])
    parts = {f"{row} {column}": part.sum() / magnitude.sum()
             for row, strip in zip(("top", "middle", "bottom"), np.array_split(magnitude, 3, 0), strict=True)
             for column, part in zip(("left", "centre", "right"), np.array_split(strip, 3, 1), strict=True)}
    best = max(parts, key=parts.get)
    first = answers["first_answers"]
    assert first["When?"] == (
        "The evidence of gradient is strongest in frame 7 of 8. At least half of its magnitude lies in frame 7.")
    assert first["Where?"] == ("The evidence of gradient is strongest in frame 7; there, "
                               f"{parts[best]:.0%} of it lies in the {best} ninth of the picture.")
    answers = answers["answers"]
    assert "AUC of this map against the optical flow" in answers["Does it agree with the motion?"]
    share = evidence.clip(min=0).sum() / np.abs(evidence).sum()
    assert answers["For or against?"].startswith(f"Of the magnitude of the evidence, {share:.0%} is for walking (red)")
    assert "Together" not in answers["For or against?"]  # nothing says that this map adds up
    assert answers["Which features?"].startswith("Of 500 features, ")
    assert "The difference is 0.600" in answers["How far to trust it?"]
    assert "over random order is 0.250 by frame; above 0 is good" in answers["How far to trust it?"]
    assert page.texts("#top_features")[0].count("frame ") == 11
    choose_class(page, "running")
    assert "strongest in frame 7" in page.texts("#first_answers dd")[0]
    assert page.texts("#answers dd")[0] == "The run measured the maps of the first class only."


def test_a_map_that_is_0_everywhere_says_so(page):
    """The maps of the gradient of two classes are equal if the scores of the classes add up to 0."""
    assert not any("0 everywhere" in text for text in page.texts(".unit"))
    page.run("state.line.others[1].maps[0].totals.fill(0)")
    choose_class(page, "walking minus running")
    assert page.texts(".unit")[0].endswith("; 0 everywhere") and not page.all("#answers")[0].is_displayed()
    choose_class(page, "walking")


def test_a_failure_is_told_and_leaves_the_panel_usable(page):
    page.run("state.line = {...state.line, others: [], maps: [{}]}")
    page.choose("#explained", "running")
    page.until(lambda: page.all("#panel[aria-busy=false]"))
    assert page.texts("#clip_problem")[0].startswith("The pictures of this clip cannot be shown: ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(page, scheme):
    """With all classes side by side and on both other scales."""
    choose_class(page, "side by side")
    for name in ("#log", "#per_frame"):
        switch(page, name)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    for width in (360, 800, 3840):
        page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                     {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
        for node in ("document.documentElement", "document.getElementById('panel')"):
            assert page.run(f"return {node}.scrollWidth <= {node}.clientWidth")
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_new_controls_work_by_keyboard(page):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    page.run("document.getElementById('log').focus()")
    page.press(keys.SPACE)
    assert page.all("#scale_note")[0].is_displayed() and page.texts("#play") == ["Play"]
    page.press(keys.ARROW_LEFT)
    assert page.frame() == PEAK
    page.press(keys.SPACE)
    page.run("document.getElementById('explained').focus()")
    page.press(keys.ARROW_DOWN)
    page.until(lambda: page.texts("#time_class") == [", class running"])
    assert page.frame() == PEAK


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900), (1920, 1080)])
def test_the_first_screen_has_the_answers_and_nothing_covers_the_maps(browser, path, width, height):
    """With three maps, and with the maps of all classes."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page = Page(browser, path)
    for name in ("walking", "side by side"):
        choose_class(page, name)
        boxes = {css: page.run("return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()", css)
                 for css in ("#verdict", "#first_answers", "#maps", "#maps canvas", ".player")}
        assert all(box["height"] > 0 for box in boxes.values())
        assert boxes["#first_answers"]["bottom"] <= boxes["#maps"]["top"] and boxes["#maps canvas"]["bottom"] <= height
        assert boxes["#maps"]["bottom"] <= boxes[".player"]["top"] + 1
        assert boxes["#maps"]["height"] + boxes[".player"]["height"] <= height
    assert not page.all("#strip_part")[0].is_displayed() and not page.all("#overview")[0].is_displayed()
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
