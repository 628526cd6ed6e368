"""Frames of a clip as a model reads them: normalised per RGB channel, as a float tensor."""

import numpy as np
import torch

from runtime.errors import UserError

IMAGENET_MEAN = [0.485, 0.456, 0.406]  # per RGB channel, for pixels in 0..1
IMAGENET_STD = [0.229, 0.224, 0.225]
MAX_BYTES = 1 << 30  # of one clip as a tensor; what a model computes from it takes about ten times as much


def normalise(frames: np.ndarray, mean: list[float], std: list[float]) -> torch.Tensor:
    """Return (pixel / 255 - mean) / std per channel: (T, H, W, 3) uint8 RGB -> (T, 3, H, W) float32."""
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255  # (T, 3, H, W)
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def check_size(duration: int, size: int) -> None:
    """Raise ValueError if a clip of `duration` square frames with sides of `size` pixels would not fit into memory."""
    n_bytes = duration * size * size * 3 * 4
    if n_bytes > MAX_BYTES:
        raise UserError(f"a clip of {duration} frames of {size} x {size} pixels fills {n_bytes >> 20} MiB, more than "
                        f"the limit of {MAX_BYTES >> 20} MiB; give fewer or smaller frames")
