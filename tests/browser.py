"""A page in a real browser, by CSS selectors."""

import base64
import shutil
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

PATIENCE = 300  # seconds


@contextmanager
def chromium(profile):
    """Yield a browser without a window; skip the test if there is none on this machine."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no chromium and chromedriver here (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                 "disable-background-networking", "disable-component-update", "window-size=1280,900",
                 f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    started.set_script_timeout(PATIENCE)
    yield started
    started.quit()


class Page:
    """The report of a run, opened from the disk."""

    def __init__(self, browser, path):
        self.browser = browser
        browser.get(Path(path).as_uri())
        self.until(lambda: self.all("#panel[aria-busy=false]"))

    def all(self, css):
        return self.browser.find_elements("css selector", css)

    def texts(self, css):
        return [element.text for element in self.all(css)]

    def run(self, script, *values):
        return self.browser.execute_script(script, *values)

    def until(self, condition):
        """Wait until condition() is true."""
        wait = pytest.importorskip("selenium.webdriver.support.wait").WebDriverWait
        wait(self.browser, PATIENCE, poll_frequency=0.02).until(lambda _: condition())

    def draw_frames(self, count):
        """Let the browser draw its window so many times, which is when a page that plays moves on."""
        self.browser.execute_async_script(
            "const [count, done] = arguments; let drawn = 0;"
            "const next = () => ++drawn < count ? requestAnimationFrame(next) : done(); next()", count)

    def choose(self, css, value):
        self.run("const node = document.querySelector(arguments[0]); node.value = arguments[1];"
                 "for (const kind of ['input', 'change']) node.dispatchEvent(new Event(kind, {bubbles: true}))",
                 css, value)

    def names(self):
        return [element.get_attribute("textContent") for element in self.all(".card .name")]

    def open(self, name):
        """Open a clip, unless it is open."""
        if self.texts("#clip_name") != [name]:
            self.all(".card")[self.names().index(name)].click()
            self.until(lambda: self.texts("#clip_name") == [name] and self.all("#panel[aria-busy=false]"))

    def unfold(self):
        self.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")

    def press(self, *keys):
        self.browser.switch_to.active_element.send_keys(*keys)

    def pictures(self):
        return self.run("return [...document.querySelectorAll('#maps canvas')].map(each => each.toDataURL())")

    def pixels(self, place):
        content = base64.b64decode(self.pictures()[place].split(",")[1])
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)  # RGB

    def frame(self):
        return int(self.all("#frame_text")[0].text.split()[1])
