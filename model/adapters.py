"""Adapters that turn networks of your own into models that every function of the project can explain.

    model = FrameModel(encoder, head)                  # a network of single frames and a head over them: fast
    model = ClipModel(network, layout="BCTHW")         # a network of whole clips, such as a 3D CNN: literal

A module that has `encode` and `classify` itself needs no adapter. docs/models.md shows all of them at work.
"""

import inspect

import torch
from torch import nn

from model.checks import check_clips, check_scores, described
from runtime.errors import UserError

LAYOUTS = ("BTCHW", "BCTHW")  # of the clips that a network reads: batch, time, channels, height, width


class FrameModel(nn.Module):
    """A model that follows model/contract.py, of an encoder for single frames and a head for their features.

    encoder: (N, C, H, W) -> (N, D). head: (B, T, D) -> (B, classes). If the head's forward has an argument named
    `lengths`, it receives the numbers of frames (B,) of the clips, or None for all.
    """

    frames_independent = True

    def __init__(self, encoder: nn.Module, head: nn.Module):
        super().__init__()
        self.encoder, self.head = encoder, head
        self.takes_lengths = "lengths" in inspect.signature(head.forward).parameters

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the features of each frame by itself: (B, T, C, H, W) -> (B, T, D)."""
        check_clips(clips)
        vectors = self.encoder(clips.flatten(0, 1))  # (B*T, D)
        if getattr(vectors, "ndim", 0) != 2 or len(vectors) != clips.shape[0] * clips.shape[1]:
            raise UserError(f"the encoder {type(self.encoder).__name__} returned {described(vectors)} for "
                            f"{clips.shape[0] * clips.shape[1]} frames; it must return one vector per frame, (N, D), "
                            "for example through global pooling and nn.Flatten")
        return vectors.unflatten(0, clips.shape[:2])  # (B, T, D)

    def classify(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the class scores of feature sequences: (B, T, D) -> (B, classes).

        ValueError if some lengths (B,) are shorter than T and the head takes no lengths.
        """
        if features.ndim != 3:
            raise UserError(f"classify received {described(features)}; give the features of clips, (B, T, D)")
        if self.takes_lengths:
            scores = self.head(features, lengths=lengths)
        elif lengths is None or (lengths == features.shape[1]).all():
            scores = self.head(features)
        else:
            raise UserError(f"the head {type(self.head).__name__} takes no lengths, so it cannot classify clips of "
                            "different lengths together; give its forward an argument `lengths`")
        check_scores(scores, clips=len(features))
        return scores

    def forward(self, clips: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the class scores of clips: (B, T, C, H, W) -> (B, classes)."""
        return self.classify(self.encode(clips), lengths)

    def head_modules(self) -> list[tuple[str, nn.Module]]:
        return [("head", self.head)]

    def backbone_modules(self) -> list[tuple[str, nn.Module]]:
        return [("encoder", self.encoder)]


class ClipModel(nn.Module):
    """A model of whole clips, (B, T, C, H, W) -> (B, classes), around a network that may want another layout.

    layout: the order of the dimensions that the network reads, "BTCHW" or "BCTHW" (most 3D CNNs). Its frames cannot be
    told apart after the input, so the literal definitions explain it.
    """

    def __init__(self, network: nn.Module, layout: str = "BTCHW"):
        super().__init__()
        if layout not in LAYOUTS:
            raise UserError(f"unknown layout {layout!r}; known are: {', '.join(LAYOUTS)}")
        self.network, self.layout = network, layout

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the class scores of clips: (B, T, C, H, W) -> (B, classes)."""
        check_clips(clips)
        scores = self.network(clips.transpose(1, 2) if self.layout == "BCTHW" else clips)
        check_scores(scores, clips=len(clips))
        return scores
