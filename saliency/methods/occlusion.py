"""The drop of the score when a part of the clip is replaced by the background (Zeiler and Fergus 2014).

If the model's frames are independent, each frame is encoded by itself and only the head runs on the changed sequences;
otherwise the whole model runs on each of the changed clips. The background is the median over the clip of each pixel,
or of each feature.
"""

from collections.abc import Callable

import torch
from torch import nn

from saliency.attribution import Attribution
from saliency.fills import background
from saliency.gradient import score_of, untouched
from saliency.patches import patch_boxes
from saliency.sequences import Sequences


class OcclusionMap:
    """The map of a clip, and of clips that differ from it in a few frames, which are all that is encoded again.

        drops = OcclusionMap(model, clip, target)
        drops(clip)                                     # (T, H, W), the positive drops of the score

    Blocks of `frames` frames and `pixels` x `pixels` pixels become the background of the clip, one at a time. They do
    not overlap, and blocks at the far edges may be smaller. The model is in eval mode.
    """

    def __init__(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", frames: int = 5,
                 pixels: int = 20):
        self.sequences, self.empty, self.clip = Sequences(model, clip, target, score), background(clip), clip
        self.boxes, self.frames = patch_boxes(*clip.shape[-2:], pixels)[0].tolist(), frames
        at_once = len(self.boxes) if self.sequences.independent else 1  # features take little memory
        self.groups = [self.boxes[first:first + at_once] for first in range(0, len(self.boxes), at_once)]
        starts = torch.arange(0, len(clip), frames, device=clip.device)[:, None]
        times = torch.arange(len(clip), device=clip.device)
        self.in_block = (times >= starts) & (times < starts + frames)  # (K, T), for K blocks after each other
        self.known = self._parts(clip, self.boxes) if self.sequences.independent else None

    def __call__(self, clip: torch.Tensor) -> torch.Tensor:
        """Return the map of a clip, (T, C, H, W) -> (T, H, W)."""
        return self.drops(clip).clamp_min(0)

    @torch.no_grad()
    def drops(self, clip: torch.Tensor) -> torch.Tensor:
        """Return the signed drops of the score, (T, C, H, W) -> (T, H, W). All pixels of a block share its drop."""
        length, drops = len(clip), clip.new_empty(len(clip), *clip.shape[-2:])
        steps, whole = torch.arange(length, device=clip.device), None
        for boxes in self.groups:
            parts = self._parts(clip, boxes)  # (1 + boxes, T, ...)
            masked = torch.arange(1, len(parts), device=clip.device)[:, None, None] * length + steps
            shown = torch.where(self.in_block, masked, steps).flatten(0, 1)  # (boxes * K, T)
            if whole is None:
                whole = self.sequences.scores(parts[0], steps[None])
            blocks = self.sequences.scores(parts.flatten(0, 1), shown).view(len(boxes), -1)  # (boxes, K)
            for (top, bottom, left, right), scores in zip(boxes, blocks, strict=True):
                drop = (whole - scores).repeat_interleave(self.frames)[:length]  # (T,)
                drops[:, top:bottom, left:right] = drop[:, None, None]
        return drops

    def _parts(self, clip: torch.Tensor, boxes: list[list[int]]) -> torch.Tensor:
        """Return what the frames become, and the frames with each of the boxes replaced, (1 + boxes, T, ...)."""
        if getattr(self, "known", None) is None:
            return self._described(clip, boxes)
        changed = (clip != self.clip).flatten(1).any(1).nonzero()[:, 0]
        parts = self.known.clone()
        if len(changed):
            parts[:, changed] = self._described(clip[changed], boxes)
        return parts

    def _described(self, frames: torch.Tensor, boxes: list[list[int]]) -> torch.Tensor:
        found = [self.sequences.describe(frames)]
        for top, bottom, left, right in boxes:
            masked = frames.clone()
            masked[:, :, top:bottom, left:right] = self.empty[:, top:bottom, left:right]
            found.append(self.sequences.describe(masked))
        return torch.stack(found)


def whole_frame(clip: torch.Tensor) -> int:
    """Return the side of the blocks that cover a whole frame of a clip (T, C, H, W)."""
    return max(clip.shape[-2:])


def occlusion_frame(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> Attribution:
    """Compute the drop of the score for each frame that is replaced by the background."""
    found = occlusion_block(model, clip, target, score, 1, whole_frame(clip))
    return Attribution(found.map, found.evidence, time_only=True)


def occlusion_block(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", frames: int = 5,
                    pixels: int = 20) -> Attribution:
    """Compute the drop of the score for each replaced block of `frames` frames and `pixels` x `pixels` pixels.

    Each frame with a replaced box is encoded once.
    """
    with untouched(model), torch.no_grad():
        evidence = OcclusionMap(model, clip, target, score, frames, pixels).drops(clip)
    return Attribution(evidence.clamp_min(0), evidence, {"patch": pixels, "patch_frames": frames})


def occlusion_of_sequences(model: nn.Module, features: torch.Tensor, target: int,
                           score: str = "logit") -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the drops of the score for each feature that becomes its median over the clip, (N, T, D) -> (N, T, D)."""
    empty = background(features)  # (D,)

    @torch.no_grad()
    def drops(sequences: torch.Tensor) -> torch.Tensor:
        result = torch.empty_like(sequences)
        for sequence, found in zip(sequences, result, strict=True):
            whole = score_of(model, sequence[None], target, score)
            for t in range(len(sequence)):
                masked = sequence.repeat(sequence.shape[1], 1, 1)  # (D, T, D)
                masked[:, t].diagonal().copy_(empty)  # sequence d has feature d replaced
                found[t] = whole - score_of(model, masked, target, score)
        return result

    return drops
