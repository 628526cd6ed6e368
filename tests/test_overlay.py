"""overlay.mp4 plays in a browser."""

import numpy as np

from data.video import write_video
from saliency.figures import overlay_frames
from tests.tiny_data import moving_block

PLAY = """
const [address, done] = arguments, video = document.createElement("video");
video.muted = true;
video.onended = () => done([video.videoWidth, video.videoHeight, video.duration]);
video.onerror = () => done(video.error.message);
video.src = address;
video.playbackRate = 16;
video.play();
"""


def test_a_browser_plays_it_to_its_end(browser, tmp_path):
    frames, masks = moving_block(1, 0, 8)
    drawn = overlay_frames(frames[..., 0], masks.astype(np.float32), enlarge=1)
    write_video(tmp_path / "overlay.mp4", drawn, fps=8)
    (tmp_path / "page.html").write_text("<!doctype html><title>overlay</title>")
    browser.get((tmp_path / "page.html").as_uri())
    assert browser.execute_async_script(PLAY, (tmp_path / "overlay.mp4").as_uri()) == [70, 38, 1.0]
