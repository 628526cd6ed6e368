"""Figures: the edge cases are drawn, scales are shared over a clip, files are whole and always the same bytes."""

import io
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.text import Text

from saliency import charts, figures
from saliency.result import save_figure

SIZE = 12


def clip(count, seed=0):
    random = np.random.default_rng(seed)
    frames = random.integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)
    return frames, random.random((count, SIZE, SIZE)), 3 * random.random((count - 1, SIZE, SIZE))


def pixels(figure):
    """The figure as it is saved: (H, W, 3) uint8."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=50)
    return cv2.imdecode(np.frombuffer(content.getvalue(), np.uint8), cv2.IMREAD_COLOR)


def scores(**methods):
    """As method_bars takes them, from mean, low and high."""
    return {name: dict(zip(("mean", "low", "high"), numbers, strict=True)) for name, numbers in methods.items()}


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def drawn_images(figure):
    return [image for axes in figure.axes for image in axes.get_images()]


ROW = {"train_loss": "0.7", "train_accuracy": "0.5", "validation_loss": "nan", "validation_accuracy": "nan"}
ROWS = [{"epoch": "1", **ROW}]
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
    "profile with flow": lambda: figures.feature_profile(MAPS[:, 0], FLOW.sum((1, 2))),
    "profile of one frame": lambda: figures.feature_profile(np.ones((1, 3)), np.zeros(0)),
    "confusion, a class without clips": lambda: charts.confusion_matrix([[3, 0], [0, 0]], ["a", "very_long_name" * 9]),
    "one epoch without validation": lambda: charts.training_curves(ROWS),
    "methods, one undefined, one below 0": lambda: charts.method_bars(
        scores(a=(0.7, 0.6, 0.8), b=(np.nan, np.nan, np.nan), c=(-0.1, -0.2, 0.0)), ["c"]),
    "sanity with a gap": lambda: charts.sanity_curves(["head", "all"], {"gradient": [1, np.nan], "tsr": [-0.9, 0]}),
}


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
@pytest.mark.parametrize("case", CASES)
def test_edge_cases_are_drawn_without_a_warning(case):
    picture = pixels(CASES[case]())
    assert picture.std() > 5  # not blank


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
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == (0.5, 15.5)  # frames and bars share the time axis
    assert figure.axes[0].get_position().intervalx == pytest.approx(figure.axes[1].get_position().intervalx)


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
    words = texts(figure)
    assert "TSR, 0..1\n(scale ends at the 99.5th percentile)" in words
    assert "pixels per frame\n(scale ends at the 99.5th percentile)" in words


def test_signed_maps_are_centred_at_zero():
    figure = figures.frame_grid(FRAMES[:1], MAPS[:1] - 0.9, FLOW[:0])
    low, high = drawn_images(figure)[1].get_clim()
    assert low == -high < 0


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


def test_feature_heatmap_of_many_features_says_how_many_it_shows():
    figure = figures.feature_heatmap(np.random.default_rng(0).normal(size=(3, 500)))
    assert drawn_images(figure)[0].get_array().shape == (400, 3)
    assert "CNN feature, largest total first (400 of 500)" in texts(figure)


def test_methods_are_sorted_and_baselines_look_different():
    means = scores(low=(0.6, 0.5, 0.7), none=(np.nan, np.nan, np.nan), high=(0.9, 0.8, 1))
    figure = charts.method_bars(means, ["low"])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["none", "low", "high"]  # from the bottom up
    assert [bar.get_hatch() for bar in axes.patches] == [None, "////", None]
    ends = [path.vertices.tolist() for lines in axes.collections for path in lines.get_paths()]
    assert [[0.5, 1], [0.7, 1]] in ends and [[0.8, 2], [1, 2]] in ends  # each on its own bar
    assert {"  0.900", "  0.600", "  n/a", "chance"} <= set(texts(figure))


def test_confusion_matrix_writes_counts_and_shares():
    words = texts(charts.confusion_matrix([[3, 1], [0, 5]], ["running", "a_class_name_of_many_letters"]))
    assert {"3\n75%", "1\n25%", "0\n0%", "5\n100%", "a_class_name_of_many_le…"} <= set(words)


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


SAVE = """
import sys
from saliency import charts
from saliency.result import save_figure
for path in sys.argv[1:]:
    save_figure(charts.confusion_matrix([[3, 1], [0, 5]], ["running", "walking"]), path)
assert "matplotlib.pyplot" not in sys.modules
"""


def test_saved_figures_are_whole_and_the_same_bytes_in_another_process(tmp_path):
    first = [tmp_path / f"figure{suffix}" for suffix in figures.METADATA]
    second = [tmp_path / "new_folder" / path.name for path in first]
    for path in first:
        save_figure(charts.confusion_matrix([[3, 1], [0, 5]], ["running", "walking"]), path)
    subprocess.run([sys.executable, "-c", SAVE, *map(str, second)], check=True, cwd=Path(__file__).parents[1])
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [path.read_bytes()[:4] for path in first] == [b"\x89PNG", b"%PDF", b"<?xm"]
    assert {path.name for path in tmp_path.iterdir()} == {"new_folder", *(path.name for path in first)}


@pytest.mark.parametrize("fails", ["drawing", "writing"])
def test_a_figure_that_fails_leaves_the_old_file(tmp_path, monkeypatch, fails):
    path = tmp_path / "figure.png"
    path.write_text("old")
    figure = charts.training_curves(ROWS)

    def break_off(target, *_, **options):
        target.write(b"half") if fails == "drawing" else target.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(*(figure, "savefig") if fails == "drawing" else (Path, "write_bytes"), break_off)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
