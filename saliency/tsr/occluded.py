"""TSR of occlusion maps: how much replacing a box in one frame changes the drops of the score for replaced blocks.

The encoder reads each distinct frame once: every frame of the clip with each box of the blocks replaced, and the
perturbed frame of each perturbation likewise. An occlusion map of a perturbed clip then takes only the head, which runs
on one sequence per block. Nothing is approximated.
"""

from functools import partial

import torch
from torch import nn

from saliency.tsr.bases import OcclusionBase
from saliency.tsr.frames import PerturbedFrames
from saliency.tsr.progress import SILENT, Progress

SEQUENCES = 512  # that go through the head at a time, if a single map does not need more


class OccludedRelevance(PerturbedFrames):
    """One normalised clip (T, C, H, W) and one model, with the interface of FactoredRelevance, for an OcclusionBase."""

    def __init__(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", tolerance: float = 1e-3,
                 memory: float = 2e9, amp: bool = False, base: OcclusionBase | None = None):
        super().__init__(model, clip, target, score, tolerance, memory, amp, base)
        times = torch.arange(len(clip), device=clip.device)
        starts = torch.arange(0, len(clip), self.base.frames, device=clip.device)[:, None]
        self.in_block = (times >= starts) & (times < starts + self.base.frames)  # (K, T), for K blocks after each other
        sides = self.base.boxes[:, 1::2] - self.base.boxes[:, ::2]  # (n - 1, 2)
        self.pixels = (sides.prod(1)[:, None] * self.in_block.sum(1)).flatten()  # (blocks,)
        self.before = self._drops(self.features[None])  # (1, blocks)

    def changes(self, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                progress: Progress = SILENT) -> tuple[torch.Tensor, float]:
        """Replace box p of frame frames[p] by the fill, for each p by itself, as in FactoredRelevance.changes.

        Returns the changes (P,) and the bound of their error, which is 0.
        """
        delta = self.features.new_empty(len(frames))
        at_once = max(1, SEQUENCES // (1 + len(self.pixels)))  # perturbations
        for group, t in self._groups(frames, boxes):
            perturbed = self._perturbed_features(group, t, frames[group], boxes[group], fill)  # (m, n, D)
            for part in torch.arange(len(group), device=group.device).split(at_once):
                features = self.features.repeat(len(part), 1, 1, 1)  # (b, T, n, D)
                features[torch.arange(len(part)), frames[group[part]]] = perturbed[part]
                change = (self._drops(features) - self.before).abs()  # (b, blocks)
                delta[group[part]] = (change * self.pixels).sum(1)
                progress(len(part))
        return delta, 0.0

    @torch.no_grad()
    def _perturbed_features(self, group: torch.Tensor, t: int | None, frames: torch.Tensor, boxes: torch.Tensor,
                            fill: torch.Tensor) -> torch.Tensor:
        """Return the features of all variants of the perturbed frames of a group (m,), which may be known already.

        A block that covers the whole perturbation hides it, for example. Returns (m, n, D).
        """
        features = self.features[frames]  # (m, n, D)
        for place in range(self.base.count):
            context, done = self._context(t, place), 0
            masked = self.base.variant(self._masked(frames, boxes, fill), frames, place)
            old = self.base.variant(self.clip[frames], frames, place)
            changed = (masked != old).flatten(1).any(1).nonzero()[:, 0]
            while done < len(changed):
                work = partial(self._encode_batch, context, changed, done, group, masked)
                part, encoded = self._with_less_memory(work)
                features[part, place] = encoded
                done += len(part)
        return features

    def _encode_batch(self, context, changed, done, group, masked):
        """Return the next batch of the rows `changed` (indices into the group) and their features (b, D)."""
        part = changed[done:done + self.batch]
        with context(group[part]):
            return part, self._encode(masked[part])

    @torch.no_grad()
    def _drops(self, features: torch.Tensor) -> torch.Tensor:
        """Return the positive drops of the score for all blocks: features (b, T, n, D) of variants -> (b, blocks).

        Block (box i, time k) has the number i * K + k.
        """
        whole, boxed = features[:, :, 0], features[:, :, 1:].transpose(1, 2)  # (b, T, D), (b, n - 1, T, D)
        sequences = torch.where(self.in_block[:, :, None], boxed[:, :, None], whole[:, None, None])  # (b, n-1, K, T, D)
        blocks = self._scores(sequences.flatten(0, 2)).view(len(features), -1)
        return (self._scores(whole)[:, None] - blocks).clamp_min(0).to(features)
