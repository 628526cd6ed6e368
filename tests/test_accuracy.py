"""model/accuracy.py: accuracy that uneven classes cannot hide behind."""

import numpy as np
import pytest

from model.accuracy import accuracy_line, summarise_apart, summarise_confusion, wilson_interval


def test_the_figures_that_the_old_accuracy_hid():
    summary = summarise_confusion([[4, 8], [1, 31]], ["running", "walking"])
    assert summary["accuracy"] == pytest.approx(35 / 44)
    assert summary["per_class"] == {"running": pytest.approx(1 / 3), "walking": pytest.approx(31 / 32)}
    assert summary["balanced_accuracy"] == pytest.approx((1 / 3 + 31 / 32) / 2)
    assert summary["majority_share"] == pytest.approx(32 / 44)
    assert summary["counts"] == {"running": 12, "walking": 32}
    assert accuracy_line(summary) == ("balanced accuracy 0.651, recall running 0.333, walking 0.969; accuracy 0.795 "
                                      "(35 of 44 clips, 95 percent interval 0.65 to 0.89), largest class 0.727")


def test_a_class_without_clips_has_no_recall():
    summary = summarise_confusion([[3, 1, 0], [0, 4, 0], [0, 0, 0]], ["a", "b", "c"])
    assert summary["per_class"] == {"a": 0.75, "b": 1.0}
    assert summary["balanced_accuracy"] == 0.875
    assert accuracy_line(summary).endswith("; no clip of c, so this says nothing about it")


def test_clips_in_training_are_not_in_the_headline():
    held_out, seen = [[1, 1], [0, 2]], [[5, 0], [0, 4]]
    found = summarise_apart(np.array([held_out, seen]), ["a", "b"], True)
    assert found["accuracy"] == 0.75 and found["in_training"]["accuracy"] == 1
    assert found["about"] == "9 of 13 clips are of people, groups or videos in the training data; on the others"
    found = summarise_apart(np.array([np.zeros((2, 2), int), seen]), ["a", "b"], True)
    assert found["accuracy"] == 1 and found["n_in_training"] == 9
    assert found["about"].startswith("9 of 9 clips are of people") and found["about"].endswith("nothing about others")
    found = summarise_apart(np.array([held_out, np.zeros((2, 2), int)]), ["a", "b"], False)
    assert "does not say what it was trained on" in found["about"] and found["n_in_training"] is None


def test_the_interval_of_wilson():
    """Against the table in Brown, Cai and DasGupta, Statistical Science 2001: 0 and 10 of 10."""
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_the_line_of_many_classes_has_the_lowest_recalls():
    confusion = [[4 * (row == column) for column in range(13)] for row in range(13)]
    confusion[2][2], confusion[2][0] = 1, 3
    line = accuracy_line(summarise_confusion(confusion, [f"c{number}" for number in range(13)]))
    assert "lowest recalls of 13 classes: c2 0.250, c0 1.000, c1 1.000, c3 1.000, c4 1.000, c5 1.000; accuracy" in line
