"""Scores of clips that are put together from single frames, such as a clip with a frame replaced.

    with untouched(model):
        sequences = Sequences(model, clip, target, score)
        parts = sequences.describe(frames)                # what the frames become: features, or the frames themselves
        scores = sequences.scores(parts, order)           # order (N, T): the part that each step of each clip shows

If the model states that its frames are independent, each frame is encoded once and only the head runs on the sequences.
Otherwise the whole model runs on each of the clips.
"""

import torch
from torch import nn

from model.checks import check_clip
from model.contract import class_scores, frames_are_independent
from saliency.gradient import BATCH, encode_frames, score_of
from saliency.scores import target_score

HEAD_BATCH = 512  # sequences that go through the head at a time


class Sequences:
    """One model, in eval mode, and one class. `independent` says whether frames are encoded by themselves.

    clip (T, C, H, W): the clip on which the model's statement that its frames are independent is verified.
    """

    def __init__(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit"):
        check_clip(clip)
        self.model, self.target, self.score = model, target, score
        self.independent = frames_are_independent(model, clip)

    def describe(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the features of single frames, (N, C, H, W) -> (N, D), or the frames themselves."""
        return encode_frames(self.model, frames) if self.independent else frames

    def scores(self, parts: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """Return the score of each sequence: parts (n, ...) of `describe` and their indices (N, T) -> (N,)."""
        if self.independent:
            return torch.cat([score_of(self.model, parts[rows], self.target, self.score)
                              for rows in order.split(HEAD_BATCH)])
        at_once = max(1, BATCH // order.shape[1])  # clips
        return torch.cat([target_score(class_scores(self.model, parts[rows]), self.target, self.score)
                          for rows in order.split(at_once)])
