"""model/accuracy.py: accuracy that uneven classes cannot hide behind."""

import pytest

from model.accuracy import accuracy_line, summarise_confusion


def test_the_figures_that_the_old_accuracy_hid():
    summary = summarise_confusion([[4, 8], [1, 31]], ["running", "walking"])
    assert summary["accuracy"] == pytest.approx(35 / 44)
    assert summary["per_class"] == {"running": pytest.approx(1 / 3), "walking": pytest.approx(31 / 32)}
    assert summary["balanced_accuracy"] == pytest.approx((1 / 3 + 31 / 32) / 2)
    assert summary["majority_share"] == pytest.approx(32 / 44)
    assert summary["counts"] == {"running": 12, "walking": 32}
    assert accuracy_line(summary) == ("balanced accuracy 0.651, recall running 0.333, walking 0.969; accuracy 0.795 "
                                      "(35 of 44 clips), largest class 0.727")


def test_a_class_without_clips_has_no_recall():
    summary = summarise_confusion([[3, 1, 0], [0, 4, 0], [0, 0, 0]], ["a", "b", "c"])
    assert summary["per_class"] == {"a": 0.75, "b": 1.0}
    assert summary["balanced_accuracy"] == 0.875


def test_the_line_of_many_classes_has_the_lowest_recalls():
    confusion = [[4 * (row == column) for column in range(13)] for row in range(13)]
    confusion[2][2], confusion[2][0] = 1, 3
    line = accuracy_line(summarise_confusion(confusion, [f"c{number}" for number in range(13)]))
    assert "lowest recalls of 13 classes: c2 0.250, c0 1.000, c1 1.000, c3 1.000, c4 1.000, c5 1.000; accuracy" in line
