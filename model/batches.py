"""Batches of clips, divided among the processes of a run, in an order that depends on seed and epoch only.

A batch is (inputs (B, T, ...), labels (B,)), or (inputs, lengths (B,), labels) if the clips of the data set differ in
length:

    for *inputs, labels in epoch_batches(dataset, batch_size=8, seed=0, epoch=1):
        scores = forward(*inputs)

A data set whose clips may differ in length says so by its attribute `true_lengths`, the number of frames of each clip.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    Subset,
    WeightedRandomSampler,
    default_collate,
)

from model import distributed
from runtime import processes


class ShareSampler(BatchSampler):
    """A BatchSampler that yields this process's share of the indices of each batch."""

    def __iter__(self) -> Iterator[list[int]]:
        return (batch[distributed.share(len(batch))] for batch in super().__iter__())


def lengths_of(dataset: Dataset) -> list[int] | None:
    """Return the number of frames of each clip of a data set, or None if it does not say; then all are equal."""
    return getattr(dataset, "true_lengths", None)


def mixes_lengths(dataset: Dataset) -> bool:
    """Return whether the clips of a data set differ in length."""
    return len(set(lengths_of(dataset) or ())) > 1


def padded_batch(items: Sequence[tuple[torch.Tensor, int]], longest: int) -> list[torch.Tensor]:
    """Return [inputs (B, longest, ...), lengths (B,), labels (B,)] of pairs (input (L, ...), label).

    Inputs are padded with zeros. All batches of a data set have the same T, and lengths even if none is shorter, so
    that all processes of a run draw the same random numbers.
    """
    inputs, labels = zip(*items, strict=True)
    lengths = torch.tensor([len(each) for each in inputs])
    padded = inputs[0].new_zeros(len(inputs), longest, *inputs[0].shape[1:])
    for row, each in zip(padded, inputs, strict=True):
        row[:len(each)] = each
    return [padded, lengths, default_collate(labels)]


def _collate(dataset: Dataset) -> partial | None:
    """Return the function that makes a batch, or None for PyTorch's own if the clips do not differ in length."""
    return partial(padded_batch, longest=max(lengths_of(dataset))) if mixes_lengths(dataset) else None


def own_loader(dataset: Dataset, batch_size: int = 1, workers: int = 0, pinned: bool = False) -> DataLoader:
    """Return a loader of this process's share of a data set, in order. pinned: see `epoch_batches`."""
    return DataLoader(Subset(dataset, processes.own(len(dataset))), batch_size, num_workers=workers, pin_memory=pinned,
                      collate_fn=_collate(dataset))


def balanced_sampler(dataset: Dataset, generator: torch.Generator) -> Sampler:
    """Return an order of a data set that uses each class equally often.

    If the classes differ in size, clips are drawn with replacement; otherwise each clip is used once.
    """
    labels = torch.as_tensor(dataset.labels)
    counts = torch.bincount(labels)
    if len(counts[counts > 0].unique()) > 1:
        return WeightedRandomSampler((1.0 / counts[labels]).tolist(), len(labels), generator=generator)
    return RandomSampler(dataset, generator=generator)


def epoch_batches(dataset: Dataset, batch_size: int, seed: int, epoch: int, workers: int = 0,
                  pinned: bool = False) -> DataLoader:
    """Return a loader of this process's share of each batch of one epoch, and seed everything random in the epoch.

    Order (the data set's method `sampler`), views of the data set (its method `draw`) and dropout depend on (seed,
    epoch) only. pinned: put the batches into memory from which a GPU can copy them while it computes.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    torch.manual_seed(generator.initial_seed())
    dataset.draw(generator)
    batches = ShareSampler(dataset.sampler(generator), batch_size, drop_last=False)
    return DataLoader(dataset, batch_sampler=batches, num_workers=workers, pin_memory=pinned,
                      collate_fn=_collate(dataset))
