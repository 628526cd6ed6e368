"""Optical flow and frame difference on pictures whose motion is known."""

import cv2
import numpy as np
import pytest

from data.video import read_video
from saliency.baselines import frame_difference
from saliency.flow import FARNEBACK, grey, mean_flow, moving_threshold, optical_flow
from tests.runs import KTH


def moving_body(step, frames=5, size=120):
    """Return frames (T, H, W) uint8 of a textured ellipse over a still background, and its masks (T, H, W) bool.

    It is upright and moves right by `step` pixels per frame.
    """
    rng = np.random.default_rng(0)
    background = 128 + 400 * cv2.GaussianBlur(rng.normal(0, 0.3, (size, size)), (0, 0), 3)
    texture = 90 + 300 * cv2.GaussianBlur(rng.normal(0, 0.5, (size, size)), (0, 0), 2)
    rows, columns = np.mgrid[:size, :size]
    masks = np.stack([((columns - 35 - step * t) / 14) ** 2 + ((rows - 60) / 26) ** 2 < 1 for t in range(frames)])
    video = np.stack([np.where(mask, np.roll(texture, step * t, axis=1), background) for t, mask in enumerate(masks)])
    return np.clip(video, 0, 255).astype(np.uint8), masks


@pytest.mark.parametrize("step", [1, 2, 3, 5, 8])
def test_speed_of_a_moving_body_is_its_step(step):
    frames, masks = moving_body(step)
    flow = optical_flow(frames)
    assert flow.shape == (4, 120, 120) and flow.dtype == np.float32
    for t in range(4):  # flow[t] lies on the body of frame t
        inside = cv2.erode(masks[t].astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        assert np.median(flow[t][inside]) == pytest.approx(step, abs=0.1)
        assert np.median(flow[t][:, 100:]) < 0.1


def test_flow_lies_on_the_first_frame_of_its_pair():
    frames, masks = moving_body(8)
    flow = optical_flow(frames)
    left, entered = masks[0] & ~masks[1], masks[1] & ~masks[0]
    assert np.median(flow[0][left]) == pytest.approx(8, abs=0.5)
    assert np.abs(flow[0][left] - 8).mean() < 0.5 * np.abs(flow[0][entered] - 8).mean()


def test_still_frames_have_no_flow_and_no_difference():
    noise = np.random.default_rng(0).integers(0, 256, (1, 150, 150), np.uint8)
    for picture in (moving_body(1, frames=1)[0], noise):  # in noise, Farneback's method finds motion
        frames = np.repeat(picture, 4, axis=0)
        assert not optical_flow(frames).any() and not frame_difference(frames).any()


def test_motion_is_that_of_farneback_wherever_frames_differ():
    frames, masks = moving_body(3)
    flow = optical_flow(frames)
    for t in range(4):
        motion = cv2.calcOpticalFlowFarneback(frames[t], frames[t + 1], None, **FARNEBACK)
        differs = frames[t] != frames[t + 1]
        np.testing.assert_allclose(flow[t][differs], np.hypot(*motion[differs].T), rtol=1e-6)
        assert (flow[t] > 0)[masks[t]].all()  # also where the body covers pixels of its own grey value


@pytest.mark.parametrize("size", [64, 150, 300])
def test_the_share_of_moving_pixels_does_not_depend_on_the_size(size):
    frames, _ = moving_body(3)
    scaled = np.stack([cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in frames])
    flow, expected = optical_flow(scaled), optical_flow(frames) > moving_threshold(120)
    assert moving_threshold(120) == 1
    assert (flow > moving_threshold(size)).mean() == pytest.approx(expected.mean(), rel=0.05)
    assert np.median(flow[:, size // 2, size * 40 // 120:size * 50 // 120]) == pytest.approx(3 * size / 120, rel=0.1)


def test_grey_weighs_red_green_and_blue_in_that_order():
    pure = np.zeros((3, 2, 2, 3), np.uint8)
    for channel in range(3):
        pure[channel, ..., channel] = 255
    assert grey(pure)[:, 0, 0].tolist() == pytest.approx([76, 150, 29], abs=1)


def test_difference_by_hand():
    frames = np.array([[[10, 0]], [[13, 0]], [[5, 255]]], np.uint8)  # (3, 1, 2)
    assert frame_difference(frames).tolist() == [[[3, 0]], [[8, 255]], [[8, 255]]]


@pytest.mark.skipif(not KTH.is_dir(), reason="the KTH videos are not here")
def test_a_kth_walker_has_the_speed_at_which_he_crosses_the_picture():
    frames, _ = read_video(KTH / "kth_data/walking/person09_walking_d1_uncomp.avi", max_frames=120)
    frames = grey(frames)
    bodies = np.abs(frames - np.median(frames, axis=0)) > 30  # (N, H, W)
    sizes = bodies.sum(axis=(1, 2))
    places = (bodies * np.arange(160)).sum(axis=(1, 2)) / np.maximum(sizes, 1)
    seen = np.flatnonzero((places > 50) & (places < 110) & (sizes > 0.6 * sizes.max()))
    run = max(np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1), key=len)
    step = abs(np.polyfit(run, places[run], 1)[0])
    flow = optical_flow(frames[run])
    # arms and legs go faster than the body
    assert len(run) > 8 and np.median(flow[bodies[run[:-1]]]) == pytest.approx(step, rel=0.25)


def test_mean_flow_is_over_time_and_over_clips():
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 255, (length, 40, 40), np.uint8) for length in (3, 5)]
    expected = (optical_flow(clips[0]).sum(0) / 3 + optical_flow(clips[1]).sum(0) / 5) / 2
    np.testing.assert_allclose(mean_flow(iter(clips)), expected, rtol=1e-6)
    assert mean_flow([]) is None
