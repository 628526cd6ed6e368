"""The change of the score when the clip stands still for a few frames (freezing; Mänttäri et al. 2020).

The frames of a window repeat the frame before it, so nothing in the clip is new: a freeze shows no background where a
person was, and no jump to an empty scene. It tells when the model uses motion. An empty scene stands still anyway.
"""

import torch
from torch import nn

from saliency.attribution import Attribution
from saliency.gradient import untouched
from saliency.sequences import Sequences

FRAMES = 5


@torch.no_grad()
def freeze(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
           frames: int = FRAMES) -> Attribution:
    """Compute, for each frame, the mean drop of the score over the windows of `frames` frames that hold it.

    The map is the magnitude of the drop, because standing still may lower the score of a class or raise it; the
    evidence is the drop. Both are the same for all pixels of a frame. The clip is encoded once, and T + frames - 1
    sequences pass the head, or the whole model if its frames are not independent. Source: Mänttäri, Broomé, Folkesson
    and Kjellström, "Interpreting video features: a comparison of 3D convolutional networks and convolutional LSTM
    networks", ACCV 2020.
    """
    frozen, shown = frozen_windows(len(clip), frames, clip.device)
    with untouched(model):
        sequences = Sequences(model, clip, target, score)
        parts = sequences.describe(clip)
        whole = sequences.scores(parts, torch.arange(len(clip), device=clip.device)[None])  # (1,)
        drop = whole - sequences.scores(parts, shown)  # (windows,)
    mean_drop = (frozen * drop[:, None]).sum(0) / frames  # (T,)
    evidence = mean_drop[:, None, None].expand(-1, *clip.shape[-2:]).clone()
    return Attribution(evidence.abs(), evidence, time_only=True)


def frozen_windows(length: int, frames: int, device: torch.device | str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """Return which steps of a clip of `length` frames stand still, and the frame that each step shows.

    Both are (windows, T), one row for each window of `frames` frames; every frame lies in `frames` of the windows.
    """
    times = torch.arange(length, device=device)
    starts = torch.arange(1 - frames, length, device=device)[:, None]  # (windows, 1)
    frozen = (times >= starts) & (times < starts + frames)
    return frozen, torch.where(frozen, (starts - 1).clamp_min(0), times)
