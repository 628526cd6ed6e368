"""The patches of a frame, as boxes and as masks."""

import torch


def patch_boxes(height: int, width: int, patch: int,
                device: torch.device | None = None) -> tuple[torch.Tensor, tuple[int, int]]:
    """Return the patches of a frame, row by row, and how many rows and columns there are.

    The boxes (rows * columns, 4) are top, bottom, left, right in pixels. Patches at the far edges may be smaller.
    """
    tops = torch.arange(0, height, patch, device=device)
    lefts = torch.arange(0, width, patch, device=device)
    top, left = (edge.flatten() for edge in torch.meshgrid(tops, lefts, indexing="ij"))
    boxes = torch.stack([top, (top + patch).clamp(max=height), left, (left + patch).clamp(max=width)], 1)
    return boxes, (len(tops), len(lefts))


def box_masks(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return masks that are true inside the boxes: (P, 4) top, bottom, left, right -> (P, 1, H, W) bool."""
    rows = torch.arange(size[0], device=boxes.device).view(1, -1, 1)
    columns = torch.arange(size[1], device=boxes.device).view(1, 1, -1)
    top, bottom, left, right = (edge.view(-1, 1, 1) for edge in boxes.unbind(1))
    return ((rows >= top) & (rows < bottom) & (columns >= left) & (columns < right))[:, None]
