"""Batches of clips, divided among the processes of a run, in an order that depends on seed and epoch only."""

from collections.abc import Iterator

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler, Subset, WeightedRandomSampler

from model import distributed
from runtime import processes


class ShareSampler(BatchSampler):
    """A BatchSampler that yields this process's share of the indices of each batch."""

    def __iter__(self) -> Iterator[list[int]]:
        return (batch[distributed.share(len(batch))] for batch in super().__iter__())


def own_loader(dataset: Dataset, batch_size: int = 1, workers: int = 0) -> DataLoader:
    """Return a loader of this process's share of a data set, in order."""
    return DataLoader(Subset(dataset, processes.own(len(dataset))), batch_size, num_workers=workers)


def balanced_sampler(dataset: Dataset, generator: torch.Generator) -> Sampler:
    """Return an order of a data set that uses each class equally often.

    If the classes differ in size, clips are drawn with replacement; otherwise each clip is used once.
    """
    labels = torch.as_tensor(dataset.labels)
    counts = torch.bincount(labels)
    if len(counts[counts > 0].unique()) > 1:
        return WeightedRandomSampler((1.0 / counts[labels]).tolist(), len(labels), generator=generator)
    return RandomSampler(dataset, generator=generator)


def epoch_batches(dataset: Dataset, batch_size: int, seed: int, epoch: int, workers: int = 0) -> DataLoader:
    """Return a loader of this process's share of each batch of one epoch, and seed everything random in the epoch.

    Order (the data set's method `sampler`), views of the data set (its method `draw`) and dropout depend on (seed,
    epoch) only.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    torch.manual_seed(generator.initial_seed())
    dataset.draw(generator)
    batches = ShareSampler(dataset.sampler(generator), batch_size, drop_last=False)
    return DataLoader(dataset, batch_sampler=batches, num_workers=workers)
