"""Adapters that turn networks of your own into models that every function of the project can explain.

    model = FrameModel(encoder, head)                  # a network of single frames and a head over them: fast
    model = ClipModel(network, layout="BCTHW")         # a network of whole clips, such as a 3D CNN: literal

Both take the scores out of what the network or the head returns (`pick_scores`).

A module that has `encode` and `classify` itself needs no adapter. docs/models.md shows all of them at work.
"""

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from model.checks import check_clips, check_scores, described
from runtime.errors import UserError

LAYOUTS = ("BTCHW", "BCTHW")  # of the clips that a network reads: batch, time, channels, height, width
GREY = (0.299, 0.587, 0.114)  # shares of red, green and blue (ITU-R BT.601)


class Adapter(nn.Module):
    """The base class of both adapters, which finds the class scores in the output of a network.

    n_classes: width of the scores, which finds them in a tuple or a dict. step: of scores per step, the one that
    counts, from 1; None for the last. taken: in words, what was taken of the last output, empty for all of it.
    """

    def __init__(self, n_classes: int | None, step: int | None):
        super().__init__()
        self.n_classes, self.step, self.taken = n_classes, step, ""
        self.register_module("grey", None)

    def seen(self, clips: torch.Tensor) -> torch.Tensor:
        """Return all frames of clips as the network sees them: (B, T, C, H, W) -> (B*T, C, H, W), or grey ones."""
        frames = clips.flatten(0, 1)
        return frames if self.grey is None else self.grey(frames)

    def read(self, output: Any, clips: int) -> torch.Tensor:
        """Return the scores (B, classes) of so many clips in an output."""
        scores, self.taken = pick_scores(output, self.n_classes, self.step)
        check_scores(scores, clips=clips)
        return scores

    def reading(self, n_classes: int | None, step: int | None, grey: nn.Module | None = None) -> "Adapter":
        """Return this model with other arguments. grey: a convolution, (N, 3, H, W) -> (N, 1, H, W), of all frames."""
        other = copy.copy(self)
        other._modules = dict(self._modules) | ({} if grey is None else {"grey": grey})
        other.n_classes, other.step = n_classes or self.n_classes, step or self.step
        return other


class FrameModel(Adapter):
    """A model that follows model/contract.py, of an encoder for single frames and a head for their features.

    encoder: (N, C, H, W) -> (N, D). head: (B, T, D) -> (B, classes). If the head's forward has an argument named
    `lengths`, it receives the numbers of frames (B,) of the clips, or None for all. n_classes, step: see Adapter.
    """

    frames_independent = True

    def __init__(self, encoder: nn.Module, head: nn.Module, n_classes: int | None = None, step: int | None = None):
        super().__init__(n_classes, step)
        self.encoder, self.head = encoder, head
        self.takes_lengths = "lengths" in inspect.signature(head.forward).parameters

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the features of each frame by itself: (B, T, C, H, W) -> (B, T, D)."""
        check_clips(clips)
        vectors = self.encoder(self.seen(clips))  # (B*T, D)
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
            output = self.head(features, lengths=lengths)
        elif lengths is None or (lengths == features.shape[1]).all():
            output = self.head(features)
        else:
            raise UserError(f"the head {type(self.head).__name__} takes no lengths, so it cannot classify clips of "
                            "different lengths together; give its forward an argument `lengths`")
        return self.read(output, len(features))

    def forward(self, clips: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the class scores of clips: (B, T, C, H, W) -> (B, classes)."""
        return self.classify(self.encode(clips), lengths)

    def head_modules(self) -> list[tuple[str, nn.Module]]:
        return [("head", self.head)]

    def backbone_modules(self) -> list[tuple[str, nn.Module]]:
        return [("encoder", self.encoder)]


class ClipModel(Adapter):
    """A model of whole clips, (B, T, C, H, W) -> (B, classes), around a network that may want another layout.

    layout: the order of the dimensions that the network reads, "BTCHW" or "BCTHW" (most 3D CNNs). Its frames cannot be
    told apart after the input, so the literal definitions explain it. n_classes, step: see Adapter.
    """

    def __init__(self, network: nn.Module, layout: str = "BTCHW", n_classes: int | None = None,
                 step: int | None = None):
        super().__init__(n_classes, step)
        if layout not in LAYOUTS:
            raise UserError(f"unknown layout {layout!r}; known are: {', '.join(LAYOUTS)}")
        self.network, self.layout = network, layout

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the class scores of clips: (B, T, C, H, W) -> (B, classes)."""
        check_clips(clips)
        shown = self.seen(clips).unflatten(0, clips.shape[:2])
        return self.read(self.network(shown.transpose(1, 2) if self.layout == "BCTHW" else shown), len(clips))


def grey_frames(clip: torch.Tensor) -> nn.Conv2d:
    """Return the convolution of frames (N, 3, H, W) -> (N, 1, H, W) that keeps their brightness, without parameters."""
    grey = nn.Conv2d(3, 1, 1, bias=False)
    del grey.weight
    grey.register_buffer("weight", clip.new_tensor(GREY).view(1, 3, 1, 1))
    return grey


def pick_scores(output: Any, n_classes: int | None, step: int | None) -> tuple[torch.Tensor, str]:
    """Return the scores (B, classes) in what a network returned, and the words for what they are of it, if not all.

    They are a tensor itself, what is called logits, or else the first tensor of `n_classes` numbers (of any number if
    that is None), one per clip before one per step. Of scores per step (B, T, classes), those of the last step count,
    or those of `step`, from 1. UserError if there are none, and for a step that is not there.
    """
    parts = output if isinstance(output, Mapping) else {}
    parts = dict(enumerate(output)) if isinstance(output, tuple | list) else parts
    parts = {"logits": getattr(output, "logits", None), **parts}
    tensors = {name: part for rank in (2, 3) for name, part in parts.items() if getattr(part, "ndim", 0) == rank}
    fitting = [name for name, part in tensors.items() if n_classes in (None, part.shape[-1]) or name == "logits"]
    fitting.sort(key=lambda name: name != "logits")
    taken, scores = "", output
    if not isinstance(output, torch.Tensor) and fitting:
        scores, taken = tensors[fitting[0]], repr(fitting[0])
    if getattr(scores, "ndim", 0) == 3:
        if step is not None and not 1 <= step <= scores.shape[1]:
            raise UserError(f"--step {step} was given, but the network has scores of {scores.shape[1]} steps")
        scores, taken = scores[:, -1 if step is None else step - 1], taken + f" of step {step or scores.shape[1]}"
    elif step is not None:
        raise UserError(f"--step {step} was given, but the network returned {described(output)}, no scores per step "
                        "(B, T, classes); leave it out")
    return scores, taken
