"""Clips that are padded at their end: only the true frames are explained, and the padding gets exactly 0.

    true = true_frames(model, clip, length)                     # (length, C, H, W) of a clip (T, C, H, W)
    gradient = padded(frame_gradient(model, true, target), length, len(clip))      # (T, C, H, W)

This is done by the keyword argument `length` of saliency.explain.explain, of the gradients and of TSR.
"""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import nn

from model.checks import check_clip, has_encoder
from model.contract import check_lengths, encode_clips
from runtime.errors import UserError
from saliency.state import untouched


def true_frames(model: nn.Module, clip: torch.Tensor, length: int) -> torch.Tensor:
    """Return the first `length` frames of a clip (T, C, H, W); the others are padding.

    ValueError if there is no such number of frames, or if the scores of the model change with what follows the clip.
    """
    check_clip(clip)
    true = _cut(clip, length)
    if length < len(clip) and has_encoder(model):
        with untouched(model), torch.no_grad():
            check_lengths(model, encode_clips(model, true[None])[0])
    return true


def true_features(model: nn.Module, features: torch.Tensor, length: int) -> torch.Tensor:
    """Return the first `length` steps of features (T, D); the others are padding. Errors as in `true_frames`."""
    true = _cut(features, length)
    if length < len(features):
        with untouched(model), torch.no_grad():
            check_lengths(model, true)
    return true


def _cut(steps: torch.Tensor, length: int) -> torch.Tensor:
    if length not in range(1, len(steps) + 1):
        raise UserError(f"length {length} was given for a clip of {len(steps)} frames; give the number of its true "
                        f"frames, from 1 to {len(steps)}")
    return steps[:length]


def padded(result: Any, length: int, total: int) -> Any:
    """Return a result for `length` true frames with zeros for the frames up to `total`.

    result: a tensor (length, ...), or a dataclass or dict of such tensors. Values without a row per frame stay as they
    are.
    """
    if length == total:
        return result
    if isinstance(result, dict):
        return {name: padded(value, length, total) for name, value in result.items()}
    if is_dataclass(result):
        changed = {item.name: padded(getattr(result, item.name), length, total) for item in fields(result)}
        return replace(result, **changed)
    if isinstance(result, torch.Tensor) and result.ndim and len(result) == length:
        return torch.cat([result, result.new_zeros(total - length, *result.shape[1:])])
    return result
