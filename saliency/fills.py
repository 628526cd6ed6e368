"""Fills, the values that replace a masked part of a clip."""

import torch


def background(clip: torch.Tensor) -> torch.Tensor:
    """Return the median over time of each pixel or feature: (T, ...) -> (...). It shows the scene without a person."""
    ordered = clip.sort(0).values
    return (ordered[(len(clip) - 1) // 2] + ordered[len(clip) // 2]) / 2


def zero(clip: torch.Tensor) -> torch.Tensor:
    """Return zeros, the mean colour after normalisation: (T, ...) -> (...)."""
    return clip.new_zeros(clip.shape[1:])


def first_pixel(clip: torch.Tensor) -> torch.Tensor:
    """Return the first value of the clip everywhere, as the authors of TSR do: (T, ...) -> (...)."""
    return clip.flatten()[0].expand_as(clip[0])


FILLS = {"background": background, "zero": zero, "first_pixel": first_pixel}
