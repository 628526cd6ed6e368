"""The report in a real browser: every clip is there, the controls work, nothing from the data becomes markup."""

import base64
import json
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib import colormaps

from runtime.files import write_json
from saliency.figures import HEAT, colour_limit, montage
from saliency.flow import frame_difference, optical_flow
from saliency.metrics import centre_map, map_metrics, random_map, summarise
from saliency.report import page as report
from saliency.report.page import write_report

EVIL = "<script>alert(1)</script>"
OPTIONS = {"model": "cnnlstm", "resume_path": "snapshots/kth/best.pth", "dataset": "kth", "subset": "testing",
           "annotation_path": "data/kth/annotation/kth1.json", "video": None, "target": "predicted", "score": "logit",
           "method": "gradient", "tsr": True, "tsr_patch": 10, "tsr_quantile": 0.55, "tsr_fill": "background"}
RECIPE = {"options": OPTIONS, "versions": {"python": "3.11.2", "torch": "2.14.0", "opencv": "5.0.0"},
          "commit": "0111967aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}


def walk(seed=0, length=8, size=32):
    """A bright block that walks over noise: frames (T, H, W) uint8."""
    frames = np.random.default_rng(seed).normal(110, 4, (length, size, size))
    for t in range(length):
        left = (3 * t + seed) % (size - 8)
        frames[t, size // 4 : 3 * size // 4, left : left + 6] += 90
    return frames.clip(0, 255).astype(np.uint8)


def stand_in_maps(frames, seed=0):
    """What frame_saliency.py leaves of a clip, from blurred frame differences instead of a network."""
    random = np.random.default_rng(seed)
    _, height, width = frames.shape
    blurred = np.stack([cv2.GaussianBlur(each, (0, 0), 2) for each in frame_difference(frames)])
    patches = np.stack([cv2.resize(each, (12, 12), interpolation=cv2.INTER_AREA) for each in blurred])
    delta = blurred.sum((1, 2))
    contribution = (delta - delta.min()) / np.ptp(delta)
    tsr = np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_NEAREST) for each in patches])
    return {
        "frames": frames, "flow": optical_flow(frames),
        "gradient": (blurred + 1) * random.gamma(1, 1e-4, frames.shape).astype(np.float32),
        "time_delta": delta, "time_contribution": contribution, "patch_delta": patches,
        "tsr": (tsr / tsr.max() * contribution[:, None, None]).astype(np.float32),
    }


def save_clip(folder, name, arrays, label="walking", predicted="walking", number=0):
    """<class>/<clip>/saliency.npz; the folders are named otherwise, as not every name can be one."""
    place = folder / "class" / f"clip{number:03}"
    place.mkdir(parents=True)
    np.savez(place / "saliency.npz", **arrays, clip=name, label=label, predicted=predicted, target=predicted,
             score="logit", probability=0.5 + 0.5 / (number + 1.5), tsr_error_bound=2e-4)
    return place / "saliency.npz"


def save_features(path, length, features=500, seed=0):
    path.parent.mkdir(parents=True)
    random = np.random.default_rng(seed)
    gradient = random.normal(size=(length, features)) * random.gamma(0.5, 1, features)
    np.savez(path, features=gradient, occlusion=gradient, tsr=np.abs(gradient) / np.abs(gradient).max(),
             time_contribution=np.linspace(0, 1, length))


def save_metrics(folder, clips):
    """metrics.json of {clip: arrays}, baselines included, and opts.json."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {}
    for number, (name, arrays) in enumerate(clips.items()):
        shape = arrays["frames"].shape
        maps = {"gradient": arrays["gradient"], "tsr": arrays["tsr"], "random": random_map(shape, number),
                "centre": centre_map(shape), "frame_difference": frame_difference(arrays["frames"])}
        rows[name] = {method: map_metrics(values, arrays["flow"]) for method, values in maps.items()}
    summary = {method: summarise([row[method] for row in rows.values()], 200) for method in maps}
    write_json(folder / "metrics.json", {"clips": rows, "summary": summary})
    write_json(folder / "opts.json", RECIPE)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A page of four clips: plain, wrongly predicted under a name of markup, without TSR, without label."""
    folder = tmp_path_factory.mktemp("run") / "frame"
    clips = {name: stand_in_maps(walk(seed), seed) for seed, name in enumerate(["a walk", EVIL, "no tsr", "video"])}
    clips["a walk"]["time_contribution"][1] = np.nan
    save_metrics(folder, clips)
    for name in ("time_delta", "time_contribution", "patch_delta", "tsr"):
        del clips["no tsr"][name]
    labels = [("walking", "walking"), ("running", EVIL), ("running", "running"), ("", "walking")]
    for number, ((name, arrays), (label, predicted)) in enumerate(zip(clips.items(), labels, strict=True)):
        save_clip(folder, name, arrays, label, predicted, number)
    save_features(folder.parent / "features/class/clip000/saliency.npz", 8)
    save_features(folder.parent / "features/class/clip009/saliency.npz", 8)
    rows = [{"time_spearman_flow": 0.4321, "last_quarter_share": 0.5}]
    write_json(folder.parent / "features/metrics.json", {"clips": {"a walk": rows[0]}, "summary": summarise(rows * 2)})
    (folder / "class/clip007").mkdir()
    (folder / "class/clip007/saliency.npz").write_bytes(b"PK cut short")
    return write_report(folder, folder.parent / "features"), clips


def test_the_page_is_one_file_that_asks_for_nothing(run):
    text = run[0].read_text()
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 1  # the policy's http-equiv
    assert "default-src 'none'" in text
    assert EVIL not in text and text.count("<script") == text.count("</script>") == 2


def test_a_map_has_the_scale_of_its_clip():
    values = np.ones((5, 8, 8)) * np.array([0, 1, 2, 4, 4])[:, None, None]
    assert report._scale(values) == {"limit": 4.0, "signed": False, "beyond": False}
    sheet = montage(report._levels(values), 3, border=0)  # 2 rows of 3 tiles
    assert sheet[::8, ::8].tolist() == [[0, 64, 128], [255, 255, 0]]
    signed = np.array([-4.0, 0, 2, np.nan])
    assert report._levels(signed).tolist()[1:] == [128, 192, 128]


def test_pictures_are_compressed_until_they_fit():
    noise = [np.random.default_rng(0).integers(0, 256, (9, 40, 40), dtype=np.uint8)]
    best, tight = (len(report._compress(noise, allowed)[0]) for allowed in (10**6, 7000))
    assert tight * 3 / 4 <= 7000 < best * 3 / 4


def test_without_results_the_error_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run frame_saliency\.py first"):
        write_report(tmp_path)


def test_a_failure_leaves_the_old_page_and_nothing_else(run, tmp_path, monkeypatch):
    folder = shutil.copytree(run[0].parent, tmp_path / "copy")
    before, names = run[0].read_bytes(), sorted(folder.iterdir())
    monkeypatch.setattr(report, "_run", lambda *parts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == before and sorted(folder.iterdir()) == names


# ---- in the browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver here (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                 "disable-background-networking", "disable-component-update", "window-size=1280,900",
                 f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


class Page:
    """The page in the browser, by css selectors."""

    def __init__(self, browser, path):
        self.browser = browser
        browser.get(Path(path).as_uri())

    def all(self, css):
        return self.browser.find_elements("css selector", css)

    def texts(self, css):
        return [element.text for element in self.all(css)]

    def run(self, script, *values):
        return self.browser.execute_script(script, *values)

    def until(self, condition):
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "nothing happened for 10 seconds"
            time.sleep(0.02)

    def choose(self, css, value):
        self.run("const node = document.querySelector(arguments[0]); node.value = arguments[1];"
                 "for (const kind of ['input', 'change']) node.dispatchEvent(new Event(kind, {bubbles: true}))",
                 css, value)

    def names(self):
        return self.texts(".card .name")

    def open(self, name):
        self.all(".card")[self.names().index(name)].click()
        self.until(lambda: self.all("#panel[aria-busy=false]"))

    def press(self, *keys):
        self.browser.switch_to.active_element.send_keys(*keys)

    def pictures(self):
        return self.run("return [...document.querySelectorAll('#maps canvas')].map(each => each.toDataURL())")

    def pixels(self, place):
        content = base64.b64decode(self.pictures()[place].split(",")[1])
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)  # RGB

    def frame(self):
        return int(self.all("#frame_text")[0].text.split()[1])


@pytest.fixture
def page(browser, run):
    page = Page(browser, run[0])
    yield page
    assert browser.get_log("browser") == []


@pytest.fixture
def keys():
    return pytest.importorskip("selenium.webdriver.common.keys").Keys


def test_the_gallery_shows_every_clip(page):
    assert sorted(page.names()) == sorted(["a walk", EVIL, "no tsr", "video"])
    facts = dict(zip(page.names(), page.texts(".card"), strict=True))
    assert "✓" in facts["a walk"] and "✗" in facts[EVIL] and "✓" not in facts["video"] + facts[EVIL]
    assert all("AUC" in text and "n/a" not in text for text in facts.values())
    assert page.run("return [...document.images].every(each => each.alt && each.complete && each.naturalWidth === 32)")
    assert [text.split(":")[0] for text in page.texts("#problems li")] == [
        "clip007", "1 clip has feature saliency but no frame saliency, and cannot be shown."]


def test_markup_in_names_stays_text(page):
    assert page.run("return document.scripts.length") == 2
    page.open(EVIL)
    assert page.texts("#clip_name") == [EVIL] and EVIL in page.texts("#clip_facts")[0]
    assert "TSR error bound 0.0002" in page.texts("#clip_facts")[0]


def test_the_head_tells_what_was_run(page):
    text = page.texts("header.page")[0]
    assert all(part in text for part in ("kth, testing", "best.pth", "logit", "torch 2.14.0", "0111967", "2 of 3"))
    bars = page.texts(".bar_row")
    assert "TSR" in bars[0] and bars[-2].startswith("Random") and "[" in bars[0]
    page.choose("#metric", "nss_flow_clip")
    assert "chance, 0." in page.texts("#bars_caption")[0]
    page.all("#all_metrics summary")[0].click()
    assert page.texts("#summary thead th small") == ["baseline"] * 3
    assert page.texts("#feature_summary td")[0] == "0.432 [0.432, 0.432]"


def test_filter_and_sort(page, run):
    page.choose("#by_class", "running")
    assert sorted(page.names()) == sorted([EVIL, "no tsr"])
    page.choose("#by_verdict", "right")
    assert page.names() == ["no tsr"] and page.texts("#count")[0].startswith("1 of 4")
    page.choose("#by_class", "none")
    assert page.names() == []
    page.choose("#by_class", "")
    page.choose("#by_verdict", "")
    rows = json.loads((run[0].parent / "metrics.json").read_text())["clips"]
    for method, metric in (("gradient", "auc_flow_frame"), ("random", "nss_flow_clip")):
        ordered = sorted(rows, key=lambda name: -rows[name][method][metric])
        page.choose("#method", method)
        page.choose("#sort", metric)
        page.choose("#order", "-1")
        assert page.names() == ordered
        page.choose("#order", "1")
        assert page.names() == ordered[::-1]


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
    page.press(keys.HOME)
    assert page.frame() == 1
    page.press(keys.ARROW_RIGHT, keys.ARROW_RIGHT, keys.ARROW_LEFT)
    assert page.frame() == 2
    page.press(keys.SPACE)
    page.until(lambda: page.frame() != 2)
    page.press(keys.SPACE)
    frame = page.frame()
    time.sleep(0.3)
    assert page.frame() == frame and page.texts("#play") == ["Play"]
    page.press(keys.ESCAPE)
    assert not page.all("#panel[open]") and "card" in page.browser.switch_to.active_element.get_attribute("class")


def test_features_metrics_and_neighbours_of_a_clip(page):
    page.open("a walk")
    assert len(page.all("#feature_timeline canvas")) == 2 and "400 of 500 features" in page.texts("#feature_note")[0]
    assert [text.split("\n")[0] for text in page.texts("#clip_metrics thead th")] == [
        "Metric", "Gradient", "TSR", "Random", "Centre", "Frame difference"]
    assert page.texts("#feature_metrics td") == ["0.432", "0.500"] and "occlusion" in page.texts("#feature_legend")[0]
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


def test_a_result_without_metrics_and_options_is_shown(browser, tmp_path):
    save_clip(tmp_path, "alone", {"frames": walk(length=1)})
    page = Page(browser, write_report(tmp_path))
    assert page.names() == ["alone"] and page.all("#no_metrics:not([hidden])")
    page.open("alone")
    assert page.texts("#maps strong") == ["Frame"] and browser.get_log("browser") == []


def test_a_hundred_clips_stay_small_and_open_fast(browser, tmp_path):
    arrays = stand_in_maps(walk(length=30, size=120))
    first = save_clip(tmp_path, "walk", arrays)
    for number in range(1, 100):
        (tmp_path / f"class/copy{number:03}").mkdir()
        (tmp_path / f"class/copy{number:03}/saliency.npz").symlink_to(first)
    path = write_report(tmp_path)
    assert path.stat().st_size < 60e6
    seconds = []
    for _ in range(2):  # the better of two, for the machine may be busy
        page = Page(browser, path)
        seconds.append(page.run("return performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
    assert len(page.all(".card")) == 100
    print(f"{path.stat().st_size / 1e6:.1f} MB, opened in {min(seconds):.2f} s")
    assert min(seconds) < 2
