"""The drop of the score when a part of the clip is replaced by the background (Zeiler and Fergus 2014).

If the model's frames are independent, each frame is encoded by itself and only the head runs on the changed sequences;
otherwise the whole model runs on each of the changed clips. The background is the median over the clip of each pixel,
or of each feature.
"""

from dataclasses import dataclass

import torch
from torch import nn

from saliency.attribution import Attribution
from saliency.fills import background
from saliency.gradient import score_of, untouched
from saliency.methods.sequences import explain_features
from saliency.patches import patch_boxes
from saliency.sequences import Sequences


@torch.no_grad()
def occlusion_frame(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
                    baseline: torch.Tensor | None = None) -> Attribution:
    """Compute the drop of the score for each replaced frame, from T + 1 frames and T + 1 sequences of them.

    baseline (C, H, W): what replaces a frame, the background of the clip if None.
    """
    empty = background(clip) if baseline is None else baseline
    times = torch.arange(len(clip), device=clip.device)
    replaced = times.repeat(len(clip), 1)  # (T, T), the part that each step shows
    replaced.fill_diagonal_(len(clip))  # the background
    with untouched(model):
        sequences = Sequences(model, clip, target, score)
        parts = torch.cat([sequences.describe(clip), sequences.describe(empty[None])])  # (T + 1, ...)
        drop = sequences.scores(parts, times[None]) - sequences.scores(parts, replaced)  # (T,)
    evidence = drop[:, None, None].expand(-1, *clip.shape[-2:]).clone()
    return Attribution(evidence.clamp_min(0), evidence, time_only=True)


@torch.no_grad()
def occlusion_block(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", frames: int = 5,
                    pixels: int = 20, baseline: torch.Tensor | None = None) -> Attribution:
    """Compute the drop of the score for each replaced block of `frames` frames and `pixels` x `pixels` pixels.

    Blocks do not overlap, and blocks at the far edges may be smaller. Each frame with a replaced box is encoded once.
    baseline (C, H, W): what replaces a block, the background of the clip if None.
    """
    boxes, _ = patch_boxes(*clip.shape[-2:], pixels, clip.device)
    empty = background(clip) if baseline is None else baseline
    times = torch.arange(len(clip), device=clip.device)
    starts = torch.arange(0, len(clip), frames, device=clip.device)[:, None]  # (blocks, 1)
    in_block = (times >= starts) & (times < starts + frames)  # (blocks, T)
    replaced = times + len(clip) * in_block  # (blocks, T), the part that each step shows; masked frames come last
    evidence = clip.new_zeros(len(clip), *clip.shape[-2:])
    with untouched(model):
        sequences = Sequences(model, clip, target, score)
        parts = sequences.describe(clip)
        whole = sequences.scores(parts, times[None])
        for top, bottom, left, right in boxes.tolist():
            masked = clip.clone()
            masked[:, :, top:bottom, left:right] = empty[:, top:bottom, left:right]
            drop = whole - sequences.scores(torch.cat([parts, sequences.describe(masked)]), replaced)
            evidence[:, top:bottom, left:right] = drop.repeat_interleave(frames)[:len(clip), None, None]
    return Attribution(evidence.clamp_min(0), evidence, {"patch": pixels, "patch_frames": frames})


def feature_occlusion(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> Attribution:
    """Compute the drop of the score for each replaced feature of each frame, (T, D), signed."""
    return explain_features(occlusion_of_sequences, model, clip, target, score)


@dataclass(frozen=True)
class Occlusion:
    """The Relevance of occlusion. empty (D,): what takes the place of a feature, its median over the clip."""

    model: nn.Module
    target: int
    score: str
    empty: torch.Tensor

    @torch.no_grad()
    def __call__(self, sequences: torch.Tensor) -> torch.Tensor:
        """Return the drops of the score of each sequence, (N, T, D) -> (N, T, D)."""
        return torch.stack([self._drops(sequence) for sequence in sequences])

    def _drops(self, sequence: torch.Tensor) -> torch.Tensor:
        """Return the drops of one sequence, (T, D) -> (T, D)."""
        whole = score_of(self.model, sequence[None], self.target, self.score)
        result = torch.empty_like(sequence)
        for t in range(len(sequence)):
            sequences = sequence.repeat(sequence.shape[1], 1, 1)  # (D, T, D)
            sequences[:, t].diagonal().copy_(self.empty)  # sequence d has feature d replaced
            result[t] = whole - score_of(self.model, sequences, self.target, self.score)
        return result


def occlusion_of_sequences(model: nn.Module, features: torch.Tensor, target: int, score: str = "logit") -> Occlusion:
    """Return the Relevance of occlusion by the median of the clip's features."""
    return Occlusion(model, target, score, background(features))
