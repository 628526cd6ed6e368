"""Accuracy of a classifier together with the numbers needed to judge it when the classes differ in size.

These are the recall of each class, their mean (balanced accuracy) and the share of the largest class.

    summary = summarise_confusion([[4, 8], [1, 31]], ["running", "walking"])
    summary["balanced_accuracy"]      # 0.651, although 35 of 44 clips are correct
    print(accuracy_line(summary))
"""

import math
from collections.abc import Sequence
from operator import itemgetter

import numpy as np

MOST_LISTED = 12  # classes up to which a line of text has the recall of each


def summarise_confusion(confusion: Sequence[Sequence[int]], classes: list[str]) -> dict:
    """Return what a confusion matrix (true class, predicted class) shows, as plain values for JSON.

    accuracy: share of clips that are classified correctly. balanced_accuracy: mean of the recalls of the classes that
    have clips (Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010). per_class: recall
    of each class that has clips. majority_share: share of the largest class, which is the accuracy of always predicting
    it. interval: of the accuracy, see `wilson_interval`.
    """
    matrix = np.asarray(confusion)
    counts = matrix.sum(1)
    per_class = {name: float(matrix[i, i] / counts[i]) for i, name in enumerate(classes) if counts[i]}
    return {
        "accuracy": float(matrix.trace() / matrix.sum()),
        "balanced_accuracy": float(np.mean(list(per_class.values()))),
        "interval": list(wilson_interval(int(matrix.trace()), int(matrix.sum()))),
        "majority_share": float(counts.max() / matrix.sum()),
        "per_class": per_class, "confusion": matrix.tolist(), "classes": classes,
        "counts": dict(zip(classes, counts.tolist(), strict=True)),
    }


def summarise_apart(confusions: np.ndarray, classes: list[str], known: bool) -> dict:
    """Return `summarise_confusion` of the clips that are not in the training of the model, or of all if all are in it.

    confusions (2, classes, classes): of clips whose people, groups and videos are not in training, and of the others.
    known: whether the model says what it was trained on. Further keys: n_in_training; about, which says in words what
    the numbers are about; and in_training, the summary of the clips in training if there are both.
    """
    (n_held_out, n_seen), of = confusions.sum((1, 2)).tolist(), "of people, groups or videos in the training data"
    about = (f"{n_seen} of {n_held_out + n_seen} clips are {of}" if known else
             "the checkpoint does not say what it was trained on, so these clips may be among it")
    if n_seen:
        about += "; on the others" if n_held_out else ", so this says nothing about others"
    more = {"in_training": summarise_confusion(confusions[1], classes)} if n_seen and n_held_out else {}
    summary = summarise_confusion(confusions[0 if n_held_out else 1], classes)
    return summary | more | {"n_in_training": n_seen if known else None, "about": about}


def accuracy_line(summary: dict) -> str:
    """Return one line of text with the numbers of `summarise_confusion`.

    With more than MOST_LISTED classes, the line has only the lowest recalls.
    """
    low, high = summary["interval"]
    absent = [name for name in summary["classes"] if not summary["counts"][name]]
    confusion, recalls, which = np.asarray(summary["confusion"]), list(summary["per_class"].items()), "recall"
    if len(recalls) > MOST_LISTED:
        which = f"lowest recalls of {len(recalls)} classes:"
        recalls = sorted(recalls, key=itemgetter(1))[:MOST_LISTED // 2]
    return (f"balanced accuracy {summary['balanced_accuracy']:.3f}, {which} "
            + ", ".join(f"{name} {recall:.3f}" for name, recall in recalls)
            + f"; accuracy {summary['accuracy']:.3f} ({confusion.trace()} of {confusion.sum()} clips, 95 percent "
              f"interval {low:.2f} to {high:.2f}), largest class {summary['majority_share']:.3f}"
            + f"; no clip of {', '.join(absent)}, so this says nothing about it" * bool(absent))


def wilson_interval(correct: int, count: int) -> tuple[float, float]:
    """Return the 95 percent interval of a share (Wilson, 1927), if the clips are independent of each other.

    Clips of the same person are not quite independent, so the true interval is wider.
    """
    z, share = 1.96, correct / count
    centre, half = share + z**2 / (2 * count), z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return tuple((centre + sign * half) / (1 + z**2 / count) for sign in (-1, 1))
