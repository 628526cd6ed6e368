"""The device that a process computes on, and its threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from runtime import processes
from runtime.errors import UserError
from runtime.sentences import counted


@contextmanager
def fewer_threads(taken: int) -> Iterator[None]:
    """Compute with `taken` threads fewer during the block, but with one at least."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before - taken))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let a GPU round the factors of convolutions and matrix products to 10 bits (TF32) during the block, or forbid it.

    That is fast, and exact enough for training. The gradient map of a network with ReLUs changes by a tenth of its
    maximum (tests/benchmarks/rounding.py).
    """
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = allowed
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def choose_device(use_cuda: bool = False, gpu: int | None = None, n_threads: int | None = None) -> torch.device:
    """Return the torch device that the options ask for.

    gpu: the number of the GPU, from 0; it implies `use_cuda`. With torchrun it is the number of the first GPU, and each
    process of a machine takes the next one. n_threads: PyTorch's number of threads; None keeps it. What was chosen is
    printed. Raises UserError if there is no such device.
    """
    if n_threads is not None:
        torch.set_num_threads(n_threads)
    device = torch.device("cpu")
    if use_cuda or gpu is not None:
        if not torch.cuda.is_available():
            raise UserError("--use_cuda was given, but PyTorch finds no CUDA device here; leave out --use_cuda and "
                            "--gpu")
        index, count = (gpu or 0) + processes.local_rank(), torch.cuda.device_count()
        if not 0 <= index < count:
            raise UserError(f"GPU {index} was asked for, but the GPUs of this machine are 0 to {count - 1}; give "
                            "--gpu one of these numbers, and with torchrun start no more processes than GPUs")
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
        torch.backends.cudnn.allow_tf32 = False  # full float32, as on a CPU; training allows it, see tf32
    print(f"computing on {device} with {counted(torch.get_num_threads(), 'thread')}")
    return device
