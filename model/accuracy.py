"""Accuracy of a classifier together with the numbers needed to judge it when the classes differ in size.

These are the recall of each class, their mean (balanced accuracy) and the share of the largest class.

    summary = summarise_confusion([[4, 8], [1, 31]], ["running", "walking"])
    summary["balanced_accuracy"]      # 0.651, although 35 of 44 clips are correct
    print(accuracy_line(summary))
"""

from collections.abc import Sequence
from operator import itemgetter

import numpy as np

MOST_LISTED = 12  # classes up to which a line of text has the recall of each


def summarise_confusion(confusion: Sequence[Sequence[int]], classes: list[str]) -> dict:
    """Return what a confusion matrix (true class, predicted class) shows, as plain values for JSON.

    accuracy: share of clips that are classified correctly. balanced_accuracy: mean of the recalls of the classes that
    have clips (Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010). per_class: recall
    of each class that has clips. majority_share: share of the largest class, which is the accuracy of always predicting
    it.
    """
    matrix = np.asarray(confusion)
    counts = matrix.sum(1)
    per_class = {name: float(matrix[i, i] / counts[i]) for i, name in enumerate(classes) if counts[i]}
    return {
        "accuracy": float(matrix.trace() / matrix.sum()),
        "balanced_accuracy": float(np.mean(list(per_class.values()))),
        "majority_share": float(counts.max() / matrix.sum()),
        "per_class": per_class, "confusion": matrix.tolist(), "classes": classes,
        "counts": dict(zip(classes, counts.tolist(), strict=True)),
    }


def accuracy_line(summary: dict) -> str:
    """Return one line of text with the numbers of `summarise_confusion`.

    With more than MOST_LISTED classes, the line has only the lowest recalls.
    """
    confusion, recalls, which = np.asarray(summary["confusion"]), list(summary["per_class"].items()), "recall"
    if len(recalls) > MOST_LISTED:
        which = f"lowest recalls of {len(recalls)} classes:"
        recalls = sorted(recalls, key=itemgetter(1))[:MOST_LISTED // 2]
    return (f"balanced accuracy {summary['balanced_accuracy']:.3f}, {which} "
            + ", ".join(f"{name} {recall:.3f}" for name, recall in recalls)
            + f"; accuracy {summary['accuracy']:.3f} ({confusion.trace()} of {confusion.sum()} clips), largest class "
              f"{summary['majority_share']:.3f}")
