"""The memory that the encoder needs, and the errors that say that there is too little."""

from collections.abc import Callable

import torch
from torch import nn

from saliency.gradient import with_gradients

WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def activation_bytes(encode: Callable[[torch.Tensor], torch.Tensor], model: nn.Module, frame: torch.Tensor) -> int:
    """Return the bytes that autograd keeps when `encode` encodes a frame (1, C, H, W), the model's weights left out."""
    weights = {weight.data_ptr() for weight in model.parameters()}
    kept = frame[0].numel() * frame.element_size()

    def count(tensor):
        nonlocal kept
        if tensor.data_ptr() not in weights:
            kept += tensor.numel() * tensor.element_size()
        # Returning None keeps nothing. A hook that returned an output would let the graph hold itself for ever.

    with with_gradients(model), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        encode(frame.detach().clone().requires_grad_(True))
    return kept


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error says that the memory of the processor or of the GPU ran out."""
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in WORDS)
