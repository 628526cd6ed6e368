"""Figures of a clip: the edge cases are drawn, and scales are shared over a clip."""

import numpy as np
import pytest

from saliency import figures
from saliency.drawing import border
from saliency.flow import moving_threshold
from tests.drawn import assert_not_blank, drawn_images, texts

SIZE = 12


def clip(count, seed=0):
    """Return frames, maps and flow of noise."""
    random = np.random.default_rng(seed)
    frames = random.integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)
    return frames, random.random((count, SIZE, SIZE)), 3 * random.random((count - 1, SIZE, SIZE))


FRAMES, MAPS, FLOW = clip(29)
CASES = {
    "strip of one frame": lambda: figures.time_strip(FRAMES[:1], np.zeros(1), np.zeros(1)),
    "strip of 29 frames": lambda: figures.time_strip(FRAMES, np.arange(29.0), np.linspace(0, 1, 29)),
    "strip, all undefined": lambda: figures.time_strip(FRAMES[:3], np.full(3, np.nan), np.full(3, np.nan)),
    "strip without time contribution": lambda: figures.time_strip(FRAMES[:3], np.ones(3), title="a $clip_{"),
    "grid of one frame": lambda: figures.frame_grid(FRAMES[:1], MAPS[:1], FLOW[:0]),
    "grid, constant map, no motion": lambda: figures.frame_grid(FRAMES[:4], np.zeros((4, SIZE, SIZE)), 0 * FLOW[:3]),
    "grid, map of NaN": lambda: figures.frame_grid(FRAMES[:2], np.full((2, SIZE, SIZE), np.nan), FLOW[:1]),
    "heat map of zeros, one frame": lambda: figures.feature_heatmap(np.zeros((1, 3)), "", np.array([np.nan])),
    "heat map with flow": lambda: figures.feature_heatmap(MAPS[:, 0], "", FLOW.sum((1, 2)), "flow"),
    "heat map of one frame": lambda: figures.feature_heatmap(np.ones((1, 3)), "", np.zeros(0), "flow"),
}


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
@pytest.mark.parametrize("case", CASES)
def test_edge_cases_are_drawn_without_a_warning(case):
    assert_not_blank(CASES[case]())


def test_a_strip_shows_every_frame_once_above_its_own_bar():
    contribution = np.linspace(0, 1, 29)
    figure = figures.time_strip(FRAMES, MAPS.sum((1, 2)), contribution)
    shown = np.concatenate([
        np.asarray(image.get_array().filled(np.nan)).reshape(SIZE + 2, -1, SIZE + 2).swapaxes(0, 1)[:, 1:-1, 1:-1]
        for image in drawn_images(figure)
    ])  # fmt: skip
    np.testing.assert_array_equal(shown[:29], FRAMES)
    assert np.isnan(shown[29:]).all()
    bars = [bar for axes in figure.axes for bar in axes.patches if bar.get_height() > 0]
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bars}
    assert heights == pytest.approx({frame + 1: contribution[frame] for frame in range(1, 29)})
    largest = [line.get_ydata().max() for axes in figure.axes for line in axes.lines]
    assert max(largest) == pytest.approx(1)
    for row, (picture, axes) in enumerate(zip(drawn_images(figure), figure.axes, strict=True)):
        assert axes.get_xlim() == (15 * row + 0.5, 15 * row + 15.5)
        assert picture.bbox.intervalx == pytest.approx(axes.bbox.intervalx)  # each bar is below its frame
        assert picture.bbox.ymin > axes.bbox.ymax


def test_a_grid_has_one_scale_for_the_clip():
    maps = MAPS[:4] * np.array([1e-3, 1e-2, 0.1, 1])[:, None, None]
    figure = figures.frame_grid(FRAMES[:4], maps, FLOW[:3], "title", "TSR, 0..1")
    grey, saliency, flow = drawn_images(figure)[:3]
    assert grey.get_clim() == (0, 255)
    assert saliency.get_clim() == (0, pytest.approx(np.percentile(maps, 99.5)))
    assert flow.get_clim() == (0, pytest.approx(np.percentile(FLOW[:3], 99.5)))
    np.testing.assert_array_equal(saliency.get_array()[1 : SIZE + 1, 1 : SIZE + 1], maps[0])  # not normalised per frame
    np.testing.assert_array_equal(saliency.get_array()[-SIZE - 1 : -1, -SIZE - 1 : -1], maps[3])
    assert flow.get_array()[-SIZE - 1 : -1, -SIZE - 1 : -1].mask.all()  # the last frame has no flow
    np.testing.assert_allclose(figure.axes[1].collections[0].levels, [moving_threshold(SIZE)])  # the outline
    words = texts(figure)
    assert "TSR, 0..1\n(scale ends at the 99.5th percentile)" in words
    assert "pixels per frame\n(scale ends at the 99.5th percentile)" in words


def test_a_map_that_tells_only_frames_apart_is_a_border():
    maps = np.arange(1.0, 5)[:, None, None].repeat(SIZE, 1).repeat(SIZE, 2)
    figure = figures.frame_grid(FRAMES[:4], border(maps), FLOW[:3], time_only=True)
    inside, edge = (image.get_array() for image in figure.axes[1].get_images())
    np.testing.assert_array_equal(inside[2:SIZE, 2:SIZE], FRAMES[0, 1:-1, 1:-1])
    assert edge[1:SIZE + 1, 1].tolist() == [1] * SIZE and edge[2:SIZE, 2:SIZE].mask.all()
    assert not figure.axes[1].collections  # no outline of the flow
    video = figures.overlay_frames(FRAMES[:4], border(maps), 1)[:, :SIZE, -SIZE:]
    assert (video[:, 1:-1, 1:-1] == FRAMES[:4, 1:-1, 1:-1, None]).all() and (video[3, 0] != FRAMES[3, 0, :, None]).any()


@pytest.mark.parametrize(("values", "limit"), [
    (np.full(5, 2.0), 2), (np.zeros(5), 1), (np.zeros(0), 1), (np.full(3, np.nan), 1),
    (np.append(np.zeros(999), 7), 7), (-np.arange(201.0), 199), (np.array([np.inf, np.nan, 3]), 3),
])  # fmt: skip
def test_colour_limit(values, limit):
    assert figures.colour_limit(values) == pytest.approx(limit)


def test_feature_heatmap_sorts_by_total_relevance():
    gradient = np.array([[1.0, -5, 0], [1, 0, 3]])
    figure = figures.feature_heatmap(gradient)
    image = drawn_images(figure)[0]
    np.testing.assert_array_equal(image.get_array(), [[-5, 0], [0, 3], [1, 1]])  # features down, time across
    assert image.get_clim()[0] == -image.get_clim()[1]
    profile = next(axes for axes in figure.axes if axes.lines)
    np.testing.assert_array_equal(profile.lines[0].get_ydata(), [6, 4])


@pytest.mark.parametrize(("height", "width", "enlarge"), [(12, 12, 3), (5, 7, 1), (5, 8, 3)])
def test_overlay_frames(height, width, enlarge):
    frames = np.full((4, height, width), 100, np.uint8)
    maps = np.zeros((4, height, width))
    maps[2, 1, 1], maps[3, 1, 1] = 1, np.nan
    video = figures.overlay_frames(frames, maps, enlarge)
    assert video.dtype == np.uint8 and video.shape[0] == 4 and video.shape[3] == 3
    assert video.shape[1] % 2 == 0 == video.shape[2] % 2
    right = video[:, : height * enlarge, -width * enlarge :]
    assert (video[:, : height * enlarge, : width * enlarge] == 100).all() and (right[[0, 1, 3]] == 100).all()
    marked = (right[2] != 100).any(-1)
    assert marked.sum() == enlarge**2 and marked[enlarge : 2 * enlarge, enlarge : 2 * enlarge].all()
    filled = (video[:, -1, :, 0] == 255).sum(1) / video.shape[2]
    assert filled == pytest.approx([0.25, 0.5, 0.75, 1], abs=0.51 / video.shape[2])
