"""The device that a process computes on."""

import torch

from runtime import processes


def choose_device(use_cuda: bool = False, gpu: int | None = None) -> torch.device:
    """Return the torch device that the options ask for and connect the processes of torchrun.

    gpu: the index of the GPU, which implies `use_cuda`; with torchrun the index of the first one, and each process of a
    machine takes the next. ValueError if there is no such device.
    """
    device = torch.device("cpu")
    if use_cuda or gpu is not None:
        if not torch.cuda.is_available():
            raise ValueError("--use_cuda was given, but PyTorch finds no CUDA device here; leave out --use_cuda and "
                             "--gpu")
        index = (gpu or 0) + processes.local_rank()
        if not 0 <= index < torch.cuda.device_count():
            raise ValueError(f"--gpu {index} was given, but there are {torch.cuda.device_count()} GPUs, numbered from "
                             "0; give the number of one of them")
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
    processes.join("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return device
