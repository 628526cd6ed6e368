"""Training and evaluation as plain functions: epochs over batches, checkpoints after each epoch.

The randomness of an epoch depends on (seed, epoch) only, see model/batches.py. A run that was stopped and resumed
therefore gives the same weights as one that was never stopped.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, Dataset

from model import distributed
from model.accuracy import summarise_confusion
from model.averaging import WeightAverage
from model.batches import epoch_batches, mixes_lengths, own_loader
from model.checkpoint import ModelInfo, save_checkpoint
from model.contract import check_lengths
from model.resuming import resume
from model.scores import class_probabilities
from model.training_windows import UNDECIDED
from model.vectors import AfterBackbone
from runtime import processes
from runtime.device import tf32
from runtime.errors import UserError
from runtime.progress import Progress
from runtime.sentences import shortened

STATISTICS_BATCHES = 50  # from which the statistics of batch norms are estimated, see estimate_statistics
GRADIENT_NORM = 5.0  # gradients of a larger norm are scaled down to it

History = list[dict[str, Any]]  # a dict for each epoch: epoch, train_loss, train_accuracy, validation_loss ...
Forward = Callable[..., torch.Tensor]  # inputs (B, T, ...), lengths (B,) if clips differ -> class scores (B, classes)


def check_frames(model: nn.Module, size: int, duration: int, finetune: bool, n_clips: int, batch_size: int) -> None:
    """Raise ValueError if frames are too small for the backbone, or batches are too small to train it.

    size: side of the frames in pixels. duration: frames of the shortest clip. n_clips: clips in an epoch.
    """
    smallest_batch = n_clips % batch_size or batch_size
    n_frames = min(duration * smallest_batch, 2)
    frames = torch.zeros(n_frames, 1, 3, size, size, device=next(model.parameters()).device)
    network = copy.deepcopy(model).train(finetune).backbone
    try:
        with torch.no_grad():
            network(frames[:, 0])
    except RuntimeError as error:
        raise UserError(f"--sample_size {size}: {model.config['backbone']} cannot take frames of that size "
                        f"({shortened(error)}); give another --sample_size") from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):  # as batch norm says it
            raise
        raise UserError(f"--finetune: a batch could contain a single frame ({n_clips} clips, the shortest of one "
                        f"frame, in batches of {batch_size}), too few for batch norm; give another --batch_size, or "
                        "clips and --sample_duration of more frames") from error


def check_padding(model: nn.Module, datasets: Sequence[Dataset | None], finetune: bool, device: torch.device) -> None:
    """Raise ValueError if clips of a data set differ in length and the model reads what pads the shorter ones.

    datasets: with clips as inputs if `finetune`, otherwise with vectors of the backbone. Leaves the model in eval mode.
    """
    for dataset in (each for each in datasets if each and mixes_lengths(each)):
        steps = dataset[0][0][None].to(device)  # (1, L, ...)
        with torch.no_grad():
            features = model.eval().encode(steps) if finetune else model.eval().project(steps)
        check_lengths(model, features[0])


def train(model: nn.Module, info: ModelInfo, training: Dataset, validation: Dataset | None, folder: Path, *,
          finetune: bool, n_epochs: int, batch_size: int, lr_rate: float, weight_decay: float, seed: int,
          device: torch.device, workers: int = 0, save_interval: int | None = None, amp: bool = False,
          log: Callable[[History], None] | None = None) -> History:
    """Train a model and return the history of the run, a dict per epoch. Resume from folder/last.pth if it exists.

    training, validation: data sets of (input, label); the label of windows without anybody is UNDECIDED. The inputs
    are clips if `finetune`, otherwise vectors of the backbone; they may differ in length, see model/batches.py. After
    each epoch the average of the weights over the last epochs (model/averaging.py) is evaluated and saved as last.pth,
    as best.pth if it is the best so far (see `best_epoch`), and every `save_interval` epochs as epoch_N.pth. Training
    may use TF32 on a GPU, and with `amp` bfloat16; weights and gradients are in float32, and so is the evaluation.
    log: called with the history after each epoch is saved, and at the start of a resumed run.

    Raises ValueError if last.pth belongs to another run, if padding has an influence on the model, or if training
    diverges. The files of the epoch before remain.
    """
    forward = model if finetune else AfterBackbone(model)
    parameters = [weight for name, weight in model.named_parameters() if finetune or not name.startswith("backbone.")]
    check_padding(model, (training, validation), finetune, device)
    optimizer = torch.optim.Adam(parameters, lr=lr_rate, weight_decay=weight_decay)
    average = WeightAverage(parameters)
    history = resume(folder / "last.pth", model, info, optimizer, average)
    if history and log:
        log(history)
    shared = distributed.share_batches(forward, parameters)
    pinned = device.type == "cuda"
    held_out = own_loader(validation, batch_size, workers, pinned) if validation else None
    with Progress(n_epochs, "training", "epoch", initial=len(history)) as progress:
        for epoch in range(len(history) + 1, n_epochs + 1):
            batches = epoch_batches(training, batch_size, seed, epoch, workers, pinned)
            model.train()
            with tf32(True):
                found = train_epoch(shared, parameters, batches, optimizer, device, len(info.classes), amp)
            average.update()
            model.eval()
            history.append({"epoch": epoch, **_history_of("train", *found, info.classes)})
            info = replace(info, epoch=epoch)
            with average.in_use():
                if finetune:
                    batches = epoch_batches(training, batch_size, seed, epoch, workers)
                    estimate_statistics(forward, islice(batches, STATISTICS_BATCHES), device, len(training), batch_size)
                if held_out is not None:  # not `if held_out`: the share of a process may be empty
                    found = evaluate(forward, held_out, device, len(info.classes))
                    history[-1] |= _history_of("validation", *found, info.classes)
                state = {"optimizer": optimizer.state_dict(), "own_weights": average.held}
                processes.by_first(_save_epoch, folder, model, info, state, history, save_interval)
            if log:
                log(history)
            progress.set_postfix({name: f"{value:.3f}" for name, value in history[-1].items() if name != "epoch"})
            progress.update()
    return history


def _save_epoch(folder: Path, model: nn.Module, info: ModelInfo, state: dict[str, Any], history: History,
                save_interval: int | None) -> None:
    """Write the checkpoints of the last epoch of the history; last.pth comes last, because it marks the epoch done.

    state: what resuming needs besides the model.
    """
    if history[-1] is best_epoch(history):
        save_checkpoint(folder / "best.pth", model, info)
    if save_interval and info.epoch % save_interval == 0:
        save_checkpoint(folder / f"epoch_{info.epoch}.pth", model, info)
    save_checkpoint(folder / "last.pth", model, info, **state, history=history)


def _history_of(part: str, loss: float, confusion: torch.Tensor, classes: list[str]) -> dict[str, float]:
    """Return what the history says about one part of the data in one epoch."""
    summary = summarise_confusion(confusion.numpy(), classes)
    return {f"{part}_loss": loss, f"{part}_accuracy": summary["accuracy"],
            f"{part}_balanced_accuracy": summary["balanced_accuracy"]}


def best_epoch(history: History) -> dict[str, Any]:
    """Return the row with the highest balanced accuracy in validation, and among equals the one with the lowest loss.

    Without validation, return the last row.
    """
    if "validation_loss" not in history[-1]:
        return history[-1]
    return max(history, key=lambda row: (row["validation_balanced_accuracy"], -row["validation_loss"]))


class _Unpacked(nn.Module):
    """A model that takes its arguments as one list, for PyTorch's update_bn."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, arguments: list[torch.Tensor]) -> torch.Tensor:
        return self.model(*arguments)


def estimate_statistics(model: nn.Module, batches: Iterable[list[torch.Tensor]], device: torch.device, n_clips: int,
                        batch_size: int) -> None:
    """Give the batch norms of a model the statistics that its weights of now have in these batches, and set eval mode.

    The running statistics of training are those of other weights than the average that is saved (see
    torch.optim.swa_utils.update_bn). A model without batch norm stays as it is.
    """
    def inputs() -> Iterator[list]:
        for number, (*arguments, _) in enumerate(batches):
            distributed.begin_batch(min(batch_size, n_clips - number * batch_size), len(arguments) > 1)
            yield [[each.to(device) for each in arguments]]

    update_bn(inputs(), _Unpacked(model))
    model.eval()


def target_probabilities(labels: torch.Tensor, n_classes: int) -> torch.Tensor:
    """Return what the model should answer: (B,) -> (B, classes), 1 for the label, all equal if it is UNDECIDED."""
    decided = torch.nn.functional.one_hot(labels.clamp_min(0), n_classes).float()
    return torch.where((labels == UNDECIDED)[:, None], 1 / n_classes, decided)


def count_predictions(confusion: torch.Tensor, labels: torch.Tensor, scores: torch.Tensor) -> None:
    """Add the predictions of a batch to a confusion matrix (true class, predicted class), without undecided windows."""
    decided = labels != UNDECIDED
    labels, predicted = labels[decided].cpu(), scores[decided].argmax(1).cpu()
    confusion.index_put_((labels, predicted), torch.ones_like(labels), accumulate=True)


def train_epoch(forward: Forward, parameters: list[nn.Parameter], loader: DataLoader, optimizer: torch.optim.Optimizer,
                device: torch.device, n_classes: int, amp: bool = False) -> tuple[float, torch.Tensor]:
    """Train on all batches of a loader of `epoch_batches` and return the mean loss and the confusion matrix.

    amp: run the network in bfloat16. Raises ValueError if the loss, a gradient or a weight is not finite.
    """
    loss_sum, confusion = 0.0, torch.zeros(n_classes, n_classes, dtype=torch.long)
    n_clips, batch_size, mixed = len(loader.dataset), loader.batch_sampler.batch_size, mixes_lengths(loader.dataset)
    for number, batch in enumerate(loader):
        *inputs, labels = (each.to(device, non_blocking=True) for each in batch)
        n_whole = min(batch_size, n_clips - number * batch_size)  # clips in the batch, in all processes together
        weight = distributed.begin_batch(n_whole, mixed)
        with torch.autocast(device.type, torch.bfloat16, enabled=amp):
            scores = forward(*inputs).float()  # (B, classes)
        loss = cross_entropy(scores, target_probabilities(labels, n_classes)) * (weight * len(labels) / n_whole)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        loss, norm = torch.stack([loss.detach(), norm]).tolist()  # one wait for the device
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise UserError(f"training diverged (loss {loss}, gradient norm {norm}); the checkpoints are from the "
                            "epoch before; start again with a lower --lr_rate")
        optimizer.step()
        if weight == processes.world() or processes.is_first():  # else each process has the whole batch; count it once
            count_predictions(confusion, labels, scores.detach())
        loss_sum += loss * n_whole
    if not all(torch.isfinite(weight).all() for weight in parameters):
        raise UserError("training diverged (weights are not finite); start again with a lower --lr_rate")
    confusion, loss_sum = _sums_over_processes(confusion, loss_sum)
    return loss_sum / (n_clips * processes.world()), confusion


@torch.no_grad()
def evaluate(forward: Forward, loader: DataLoader, device: torch.device,
             n_classes: int) -> tuple[float, torch.Tensor]:
    """Return the mean loss and the confusion matrix (true class, predicted class) over a loader.

    With several processes, each has a loader of its share, and the numbers are those of all shares together. Raises
    ValueError if the loss is not finite.
    """
    loss_sum, confusion = 0.0, torch.zeros(n_classes, n_classes, dtype=torch.long)
    for *inputs, labels in loader:
        scores = forward(*(each.to(device, non_blocking=True) for each in inputs)).cpu()  # (B, classes)
        loss_sum += cross_entropy(scores, labels, reduction="sum").item()
        count_predictions(confusion, labels, scores)
    loss_sum, confusion = _sums_over_processes(loss_sum, confusion)
    if not math.isfinite(loss_sum):
        raise UserError(f"training diverged (loss {loss_sum} on held-out clips); start again with a lower --lr_rate")
    return loss_sum / confusion.sum().item(), confusion


@torch.no_grad()
def mean_probabilities(forward: Forward, loader: DataLoader, device: torch.device) -> torch.Tensor:
    """Return the mean of the class probabilities (classes,) over a loader, or over the shares of all processes."""
    total, count = 0.0, 0
    for *inputs, labels in loader:
        total = total + class_probabilities(forward(*(each.to(device) for each in inputs))).sum(0).cpu()  # (classes,)
        count += len(labels)
    parts = [part for part in processes.gather((total, count)) if part[1]]
    return sum(part[0] for part in parts) / sum(part[1] for part in parts)


def _sums_over_processes(*values: Any) -> list[Any]:
    """Return the sum of each value over all processes. Every process must call this."""
    return [sum(parts) for parts in zip(*processes.gather(values), strict=True)]
