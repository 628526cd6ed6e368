"""ROAR over frames: remove the frames that a method calls important, in training too, retrain, and test again.

    fold = roar(clips, clips.persons == 4, ["gradient", "interval"], seed=0)
    fold["interval"].retrained[0.5]         # confusion matrix of a model that never saw the upper half of the frames

A model that meets removed frames for the first time may fail because they look unlike anything it knows. A retrained
model knows them: what it loses is information that the removed frames held, and the others do not. Removed frames show
the background of their clip. Hooker, Erhan, Kindermans and Kim, "A Benchmark for Interpretability Methods in Deep
Neural Networks", NeurIPS 2019.

The image network is frozen, so a removed frame is a vector that becomes the vector of the background, and only the
small model behind the image network is retrained. It is explained for the class that it predicts, in training and
testing clips alike.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from model.accuracy import summarise_confusion
from model.averaging import WeightAverage
from model.batches import epoch_batches, own_loader
from model.cnn_lstm import build_classifier
from model.heads import HEADS
from model.training import evaluate, train_epoch
from model.vectors import AfterBackbone, Vectors
from tests.benchmarks.encoded_features import EncodedFeatures
from tests.benchmarks.frame_importance import METHODS

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the frames that are removed
BASELINES = ("random", "frame_difference")  # orders of the frames that know no model
CPU = torch.device("cpu")


class Clips(NamedTuple):
    """The clips of a data set as vectors of the frozen image network.

    vectors (N, T, P): of the frames. backgrounds (N, P): of the median of each pixel over the clip. labels (N,):
    indices of classes. persons (N,): who is seen. frame_difference (N, T): summed over the pixels.
    """

    vectors: torch.Tensor
    backgrounds: torch.Tensor
    labels: torch.Tensor
    persons: torch.Tensor
    frame_difference: torch.Tensor


class Training(NamedTuple):
    """How each model is trained.

    head: a name in model.heads.HEADS. components: principal components of the vectors that the model reads. size:
    features of a frame, and units of the head. The weights are averaged over the last epochs, as in model/averaging.py.
    """

    head: str = "lstm"
    components: int = 128
    size: int = 32
    epochs: int = 20
    batch_size: int = 32
    lr_rate: float = 5e-3
    weight_decay: float = 1e-3


TRAINING = Training()


class Removal(NamedTuple):
    """Confusion matrices (true, predicted) of held-out clips without the frames of one method, one per share of frames.

    retrained: of models whose training clips lack the frames too. kept: of the model that was explained.
    """

    retrained: dict[float, np.ndarray]
    kept: dict[float, np.ndarray]


class SmallModel(nn.Module):
    """The part of a CNN-LSTM after its image network: vectors (B, T, P) -> class scores (B, classes)."""

    def __init__(self, vector_size: int, classes: int, training: Training):
        super().__init__()
        entry = HEADS[training.head]
        options = {option.name: option.default for option in entry.options}
        self.projection = nn.Linear(vector_size, training.size)
        self.head = entry.build(training.size, training.size, entry.num_layers, **options)
        hidden = min(entry.classifier_size, training.size)
        self.classifier = build_classifier(self.head.output_size, hidden, classes, entry.dropout)

    def project(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the features of vectors: (B, T, P) -> (B, T, D)."""
        return self.projection(vectors)

    def classify(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return class scores of sequences of features: (B, T, D) -> (B, classes)."""
        return self.classifier(self.head(features, lengths))


def roar(clips: Clips, testing: torch.Tensor, methods: Sequence[str], shares: Sequence[float] = SHARES, seed: int = 0,
         training: Training = TRAINING) -> dict[str, Removal]:
    """Run the experiment for one division of the clips and one seed: {method or baseline: Removal}.

    testing (N,) bool: the clips that are held out. methods: names in frame_importance.METHODS. The share 0 has the
    model without removal, the same for all methods.
    """
    clips = clips._replace(**dict(zip(("vectors", "backgrounds"), in_components(clips, ~testing, training.components),
                                      strict=True)))
    model = fit(clips.vectors[~testing], clips.labels[~testing], seed, training)
    orders = frame_importance(model, clips, methods)
    generator = torch.Generator().manual_seed(seed)
    orders |= {"random": torch.rand(clips.vectors.shape[:2], generator=generator),
               "frame_difference": clips.frame_difference}
    whole = confusion_of(model, clips.vectors[testing], clips.labels[testing])
    found = {}
    for name, importance in orders.items():
        found[name] = Removal({0.0: whole}, {0.0: whole})
        for share in shares:
            removed = most_important(importance, share, generator)
            vectors = torch.where(removed[..., None], clips.backgrounds[:, None], clips.vectors)  # (N, T, P)
            other = fit(vectors[~testing], clips.labels[~testing], seed, training)
            for each, confusions in ((other, found[name].retrained), (model, found[name].kept)):
                confusions[share] = confusion_of(each, vectors[testing], clips.labels[testing])
    return found


def in_components(clips: Clips, training: torch.Tensor, components: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the principal components of the vectors (N, T, C) and of the backgrounds (N, C).

    They are those of the frames of the clips `training` (N,) bool, centred, and divided by the standard deviation of
    the first component.
    """
    frames = clips.vectors[training].flatten(0, 1).double()  # (M, P)
    mean = frames.mean(0)
    values, directions = torch.linalg.eigh(torch.cov(frames.T))  # ascending
    basis = directions[:, -components:] / values[-1].sqrt()  # (P, C)
    vectors, backgrounds = (((each.double() - mean) @ basis).float() for each in (clips.vectors, clips.backgrounds))
    return vectors, backgrounds


def fit(vectors: torch.Tensor, labels: torch.Tensor, seed: int, training: Training) -> SmallModel:
    """Return a new model trained on vectors (N, T, P) and their labels (N,), in eval mode."""
    classes = int(labels.max()) + 1
    torch.manual_seed(seed)
    model = SmallModel(vectors.shape[2], classes, training)
    parameters, dataset = list(model.parameters()), Vectors(vectors[:, None], labels)
    optimizer = torch.optim.Adam(parameters, lr=training.lr_rate, weight_decay=training.weight_decay)
    average = WeightAverage(parameters)
    for epoch in range(1, training.epochs + 1):
        batches = epoch_batches(dataset, training.batch_size, seed, epoch)
        train_epoch(AfterBackbone(model), parameters, batches, optimizer, CPU, classes)
        average.update()
    with average.in_use():
        return copy.deepcopy(model).eval()


def confusion_of(model: SmallModel, vectors: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """Return the confusion matrix (true class, predicted class) of a model on vectors (N, T, P)."""
    classes = model.classifier[-1].out_features
    loader = own_loader(Vectors(vectors[:, None], labels), batch_size=256)
    return evaluate(AfterBackbone(model), loader, CPU, classes)[1].numpy()


def frame_importance(model: SmallModel, clips: Clips, methods: Sequence[str]) -> dict[str, torch.Tensor]:
    """Return the importance (N, T) of the frames of all clips by each method, for the class that the model predicts."""
    rows = {name: [] for name in methods}
    with torch.no_grad():
        features, backgrounds = model.project(clips.vectors), model.project(clips.backgrounds)
        predicted = model.classify(features).argmax(1).tolist()
    for frames, background, target in zip(features, backgrounds, predicted, strict=True):
        encoded = EncodedFeatures(model, frames, background, target)
        for name, row in rows.items():
            row.append(METHODS[name](encoded).double())
    return {name: torch.stack(row) for name, row in rows.items()}


def most_important(importance: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Return which frames belong to the upper `share` of their clip: importance (N, T) -> (N, T) bool.

    The number of frames is rounded. Equal values come in random order.
    """
    count = round(share * importance.shape[1])
    order = torch.rand(importance.shape, generator=generator).argsort(1)
    ranked = order.gather(1, importance.gather(1, order).argsort(dim=1, descending=True, stable=True))
    removed = torch.zeros(importance.shape, dtype=torch.bool)
    return removed.scatter_(1, ranked[:, :count], True)


def summarise_roar(runs: Sequence[dict[str, Removal]]) -> dict[str, dict[str, dict[float, float]]]:
    """Return {method: {"retrained" or "kept": {share: balanced accuracy}}} over all folds of one seed together.

    runs: results of `roar`, one for each part of the clips that was held out.
    """
    table = {}
    for name in runs[0]:
        table[name] = {}
        for kind in Removal._fields:
            parts = [getattr(run[name], kind) for run in runs]
            table[name][kind] = {share: balanced_accuracy(sum(part[share] for part in parts)) for share in parts[0]}
    return table


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Return the mean of the recalls of the classes that have clips, from a confusion matrix (true, predicted)."""
    classes = [str(number) for number in range(len(confusion))]
    return summarise_confusion(confusion, classes)["balanced_accuracy"]


def losses(tables: Sequence[dict], beside: str = "random") -> dict[str, list[float]]:
    """Return how much lower the accuracy of retrained models is than with another order: {method: a value per seed}.

    tables: a result of `summarise_roar` per seed. The value is the mean over the shares; above 0, the frames that the
    method removes are missed more than those of the order `beside`.
    """
    def mean_accuracy(table, name):
        return float(np.mean([value for share, value in table[name]["retrained"].items() if share]))

    return {name: [mean_accuracy(table, beside) - mean_accuracy(table, name) for table in tables]
            for name in tables[0] if name != beside}


def sentences(tables: Sequence[dict]) -> list[str]:
    """Return what the tables of all seeds (see `losses`) say about each method, and about all of them together."""
    whole = [table["random"]["retrained"][0.0] for table in tables]
    found = [f"With all frames, the balanced accuracy is {np.mean(whole):.3f} ({min(whole):.3f} to {max(whole):.3f} "
             "over the seeds)."]
    beats = {beside: {name for name, values in losses(tables, beside).items() if min(values) > 0}
             for beside in BASELINES}
    for name, values in losses(tables).items():
        verdict = "cannot be told from random order"
        if min(values) > 0:
            verdict = "removes what a retrained model misses"
        elif max(values) < 0:
            verdict = "removes what a retrained model can do without"
        found.append(f"{name} {verdict}: on average over the shares, the accuracy is {abs(np.mean(values)):.3f} "
                     f"{'below' if np.mean(values) > 0 else 'above'} that of random order ({0 - max(values):+.3f} to "
                     f"{0 - min(values):+.3f} over the seeds).")
    both = [name for name in tables[0] if all(name in names for names in beats.values())]
    found.append(f"In every seed below both random order and frame difference: {', '.join(both) or 'no method'}."
                 + " ROAR does not tell the methods from chance here." * (not both))
    return found
