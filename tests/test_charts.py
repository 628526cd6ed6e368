"""Charts of a whole run."""

import numpy as np
import pytest

from saliency import charts
from tests.drawn import ROWS, assert_not_blank, texts


def scores(**methods):
    """Return what method_bars takes, from mean, low and high."""
    return {name: dict(zip(("mean", "low", "high"), numbers, strict=True)) for name, numbers in methods.items()}


CASES = {
    "confusion, a class without clips": lambda: charts.confusion_matrix([[3, 0], [0, 0]], ["a", "very_long_name" * 9]),
    "one epoch without validation": lambda: charts.training_curves(ROWS),
    "methods, one undefined, one below 0": lambda: charts.method_bars(
        scores(a=(0.7, 0.6, 0.8), b=(np.nan, np.nan, np.nan), c=(-0.1, -0.2, 0.0)), ["c"]),
    "sanity with a gap": lambda: charts.sanity_curves(["head", "all"], {"gradient": [1, np.nan], "tsr": [-0.9, 0]}),
}


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
@pytest.mark.parametrize("case", CASES)
def test_edge_cases_are_drawn_without_a_warning(case):
    assert_not_blank(CASES[case]())


def test_stages_without_a_correlation_are_counted_in_the_legend():
    figure = charts.sanity_curves(["head", "all"], {"gradient": [1, None], "tsr": [-0.9, 0], "freeze": [np.nan] * 2})
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "gradient (undefined in 1 of 2 stages)", "tsr", "freeze (undefined in 2 of 2 stages)"]


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
