"""Does a model use time? Accuracy on clips whose frames are reversed, shuffled, or replaced by a single one.

    rows = [order_probabilities(model, clip, seed=number) for number, clip in enumerate(clips)]
    summary = summarise_orders(rows, labels, classes, groups)
    print("\\n".join(order_sentences(summary)))

Each frame is encoded once where the model allows it. The questions are those of Sevilla-Lara et al., "Only time can
tell: discovering temporal data for temporal modeling", WACV 2021 (shuffled frames), Price and Damen, "Retro-Actions:
learning 'close' by time-reversing 'open' videos", ICCV workshops 2019 (reversed ones), and Kowal et al., "A deeper dive
into what deep spatiotemporal networks encode", CVPR 2022 (single frames).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import nn

from model.contract import class_scores, encode_clips, frames_are_independent
from model.scores import class_probabilities
from runtime.errors import UserError
from saliency.figures import COLOURS, STYLE, panels
from saliency.fills import background
from saliency.gradient import untouched
from saliency.results.averages import has_interval, sample_text, summarise, units_of

IN_ORDER, REVERSED, SHUFFLED, MIDDLE = "in order", "reversed", "shuffled", "middle frame"
DRAWS = 5  # shuffled orders of each clip
SMALL = 0.05  # of balanced accuracy; a change that stays below it is small
SAME = 1e-4  # probabilities that differ by less are the same, but for rounding
AT_ONCE = 8  # whole clips in one pass of a model that cannot encode frames by themselves


def orders(length: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return the frames that each step of a changed clip shows: {name: (n, T)}, from 0; T stands for the background.

    Every clip keeps its number of frames. "every second frame" holds each of them for two steps; "each frame twice"
    plays the first half at half the speed. seed: of the DRAWS shuffled orders.
    """
    steps, half = torch.arange(length), (length + 1) // 2
    generator = torch.Generator().manual_seed(seed)
    shown = {
        IN_ORDER: steps, REVERSED: steps.flip(0),
        SHUFFLED: torch.stack([torch.randperm(length, generator=generator) for _ in range(DRAWS)]),
        "first frame": steps * 0, MIDDLE: steps * 0 + length // 2, "last frame": steps * 0 + length - 1,
        "first half": torch.where(steps < half, steps, length), "second half": torch.where(steps < half, length, steps),
        "every second frame": steps // 2 * 2, "each frame twice": steps // 2,
    }
    return {name: order.reshape(-1, length) for name, order in shown.items()}


@torch.no_grad()
def order_probabilities(model: nn.Module, clip: torch.Tensor, features: torch.Tensor | None = None,
                        seed: int = 0) -> dict[str, np.ndarray]:
    """Return the class probabilities of a normalised clip (T, C, H, W) in each of `orders`: {name: (n, classes)}.

    features (T, D): those of the clip, if they are known. seed: of the shuffled orders; it differs
    between the clips of a test. An absent frame shows the background of the clip, the median of each pixel over time.
    """
    shown = orders(len(clip), seed)
    frames = torch.cat([clip, background(clip)[None]])  # (T + 1, C, H, W)
    rows = torch.cat(list(shown.values())).to(clip.device)  # (N, T)
    with untouched(model):
        if frames_are_independent(model, clip):
            known = encode_clips(model, clip[None])[0] if features is None else features
            parts = torch.cat([known, encode_clips(model, frames[-1:, None])[0]])  # (T + 1, D)
            scores = model.classify(parts[rows])
        else:
            scores = torch.cat([class_scores(model, frames[some]) for some in rows.split(AT_ONCE)])
    probabilities = class_probabilities(scores).cpu().numpy()
    ends = np.cumsum([len(order) for order in shown.values()])
    return dict(zip(shown, np.split(probabilities, ends[:-1]), strict=True))


def summarise_orders(rows: Sequence[Mapping[str, np.ndarray]], labels: Sequence[int], classes: Sequence[str],
                     groups: Sequence[str] | None = None) -> dict:
    """Return how well labelled clips are classified in each order, as plain values for JSON.

    rows: `order_probabilities` of each clip. labels: index of the true class of each. groups: see averages.summarise.
    {"clips", "guessing", "orders": {name: {...}}}, and for each order: accuracy, the balanced accuracy, a cell of
    averages.summarise; cost, how far it lies below that of the clips in order, likewise; recall {class: share};
    changed, the share of clips with another prediction; largest_change, of any probability of any clip. Shuffled
    orders of a clip count as one clip, with the mean over the draws. The intervals take the number of clips of each
    class as given: each clip counts by its influence on the mean of the recalls.
    """
    if not rows:
        raise UserError("no clip has a label, so there is no accuracy to compare; give clips of a data set")
    truth = np.array(labels)
    counts = np.bincount(truth, minlength=len(classes))
    weights = len(truth) / ((counts > 0).sum() * counts[truth])  # the mean of weight x correct is balanced accuracy
    right, found = {}, {}

    def balanced(values: np.ndarray) -> np.ndarray:
        """Return values (clips,) whose mean is the mean over classes, and which are equal if they are in each class."""
        own = np.bincount(truth, values, len(classes))[truth] / counts[truth]
        return (weights * values).mean() + weights * (values - own)

    for name in rows[0]:
        predicted = [row[name].argmax(1) for row in rows]  # n draws for each clip
        right[name] = np.array([np.mean(each == label) for each, label in zip(predicted, truth, strict=True)])
        moved = [np.mean(each != row[IN_ORDER].argmax(1)) for each, row in zip(predicted, rows, strict=True)]
        values = [{"accuracy": accuracy, "cost": cost} for accuracy, cost in zip(
            balanced(right[name]), balanced(right[IN_ORDER] - right[name]), strict=True)]
        found[name] = {
            **summarise(values, groups),
            "recall": {label: float(right[name][truth == i].mean()) for i, label in enumerate(classes) if counts[i]},
            "changed": float(np.mean(moved)),
            "largest_change": float(max(np.abs(row[name] - row[IN_ORDER]).max() for row in rows)),
        }
    names = dict(enumerate(groups)) if groups else {}
    sample = sample_text(len(rows), len(set(names.values())) or len(rows), units_of(names))
    return {"clips": len(rows), "sample": sample, "guessing": 1 / int((counts > 0).sum()), "orders": found}


def order_sentences(summary: Mapping, about: str = "") -> list[str]:
    """Return what `summarise_orders` allows one to say, as sentences; about: what follows the number of clips."""
    found, guessing = summary["orders"], summary["guessing"]
    own = found[IN_ORDER]["accuracy"]
    said = [f"Order test, {summary['sample']}{about}: balanced accuracy {_range(own)} in order, "
            f"{guessing:.3f} by guessing."]
    if max(each["largest_change"] for each in found.values()) <= SAME:
        said.append("Nothing that was done to the frames changes a probability, so these clips cannot tell whether the "
                    "model uses their order: it decides without them, or they stand still.")
    elif max(found[name]["largest_change"] for name in (REVERSED, SHUFFLED)) <= SAME:
        said.append("On these clips, the model does not use the order of the frames: reversed and shuffled clips have "
                    "the same probabilities.")
    elif not has_interval(own):
        said.append(f"{summary['sample']} are too few to tell whether the model uses the order of the frames: "
                    f"{_what_changes(found)}.")
    elif own["low"] <= guessing:
        said.append("In order, the model is not shown to be better than guessing, so its accuracy cannot tell whether "
                    f"it uses the order of the frames; {_flips(found)}.")
    else:
        costs = [found[name]["cost"] for name in (SHUFFLED, REVERSED)]
        if any(cost["low"] > 0 or cost["high"] < 0 for cost in costs):
            verdict = "The model uses the order of the frames"
        elif all(cost["low"] > -SMALL and cost["high"] < SMALL for cost in costs):
            verdict = "The order of the frames hardly matters for the accuracy"
        else:
            verdict = "These clips do not settle whether the accuracy depends on the order of the frames"
        said += [f"{verdict}: {_what_changes(found)}; {_flips(found)}.", *_of_middle(found)]
    return said


def _what_changes(found: Mapping) -> str:
    return f"shuffling {_cost(found[SHUFFLED]['cost'])} and reversing {_cost(found[REVERSED]['cost'])}"


def _flips(found: Mapping) -> str:
    return (f"shuffling changes {found[SHUFFLED]['changed']:.0%} of the predictions, reversing "
            f"{found[REVERSED]['changed']:.0%}")


def _of_middle(found: Mapping) -> list[str]:
    """Return a sentence about the middle frame alone, if the clips settle whether it suffices."""
    cost, reached = found[MIDDLE]["cost"], found[MIDDLE]["accuracy"]["mean"]
    if cost["high"] < SMALL:
        return [f"Single frames suffice: the middle frame alone, in all steps, reaches {reached:.3f}."]
    if cost["low"] > SMALL:
        return [f"A single frame does not suffice: the middle one alone, in all steps, reaches {reached:.3f}."]
    return []


def _cost(cell: Mapping) -> str:
    if not has_interval(cell):
        return f"costs {cell['mean']:.3f}" if cell["mean"] >= 0 else f"gains {-cell['mean']:.3f}"
    if cell["low"] == cell["high"] == 0:
        return "costs nothing"
    if cell["low"] >= 0:
        return f"costs {cell['low']:.3f} to {cell['high']:.3f}"
    if cell["high"] <= 0:
        return f"gains {-cell['high']:.3f} to {-cell['low']:.3f}"
    return f"costs between {cell['low']:.3f} and {cell['high']:.3f}"


def _range(cell: Mapping) -> str:
    interval = f" [{max(cell['low'], 0):.3f}, {min(cell['high'], 1):.3f}]" if has_interval(cell) else ""
    return f"{cell['mean']:.3f}{interval}"


@rc_context(STYLE)
def order_figure(summary: Mapping) -> Figure:
    """Draw the balanced accuracy in each order with its interval, and a dotted line at guessing."""
    found = summary["orders"]
    figure, axes = panels((6.5, 1.0 + 0.3 * len(found)), f"Balanced accuracy, {summary['sample']}")
    for name, each in reversed(found.items()):  # barh draws the first bar at the bottom
        cell = each["accuracy"]
        axes.barh(name, cell["mean"], 0.7, color=COLOURS[5])
        if has_interval(cell):
            axes.hlines(name, cell["low"], min(cell["high"], 1), color="black", linewidth=1.5)
        axes.text(max(cell["mean"], min(np.nan_to_num(cell["high"]), 1)), name, f"  {cell['mean']:.3f}", va="center")
    axes.axvline(summary["guessing"], color="black", linestyle=":", linewidth=1)
    axes.annotate("guessing", (summary["guessing"], 1), xycoords=("data", "axes fraction"), ha="center", va="bottom")
    axes.set(xlabel="balanced accuracy", xlim=(0, 1.12), ylim=(-0.6, len(found) - 0.4))
    axes.set_xticks(np.linspace(0, 1, 6))
    return figure
