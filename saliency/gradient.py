"""Gradients of a class score with respect to frames and to features.

    relevance = frame_gradient(model, clip, target)      # (T, C, H, W), signed
    drawn = drawn_map(relevance)                          # (T, H, W)

Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", ICLR 2014 workshop.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from model.checks import check_clip
from model.contract import class_scores, differentiable_rnns, encode_clips
from runtime.errors import UserError
from saliency.scores import target_score
from saliency.state import untouched

BATCH = 32  # frames that go through the encoder at a time


@contextmanager
def with_gradients(model: nn.Module) -> Iterator[None]:
    """Record gradients during the block, also through recurrent layers in eval mode on CUDA.

    Every gradient in saliency/ is taken of values that were computed in this block.
    """
    with differentiable_rnns(model), torch.enable_grad():
        yield


def frame_gradient(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> torch.Tensor:
    """Return dS/dx of one normalised clip, signed: (T, C, H, W) -> (T, C, H, W).

    S is the score of class `target`. ValueError if the clip, the score or the gradient is not finite, if the clip or
    the scores have another shape, and if the model has no such class.
    """
    check_clip(clip)
    with untouched(model), with_gradients(model):
        frames = clip.detach().clone().requires_grad_(True)
        return _gradient(target_score(class_scores(model, frames[None]), target, score).sum(), frames)


def feature_gradient(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> torch.Tensor:
    """Return dS/df of one normalised clip, signed: (T, C, H, W) -> (T, D). Errors: as for `frame_gradient`."""
    check_clip(clip)
    with untouched(model):
        with torch.no_grad():
            features = encode_clips(model, clip[None])
        return head_gradient(model, features, target, score)[0]


def head_gradient(model: nn.Module, features: torch.Tensor, target: int, score: str = "logit") -> torch.Tensor:
    """Return dS/df of each feature sequence in a batch, from one pass of the head: (B, T, D) -> (B, T, D)."""
    with with_gradients(model):
        features = features.detach().clone().requires_grad_(True)
        return _gradient(target_score(model.classify(features), target, score).sum(), features)


def _gradient(value: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Return d value / d inputs. ValueError if the inputs, the value or the gradient are not finite."""
    if not value.requires_grad:
        raise UserError("the score has no gradient with respect to the input of the model; the model must compute it "
                        "with differentiable operations of PyTorch, without torch.no_grad and detach")
    gradient = torch.autograd.grad(value, inputs)[0]
    named = {"input of the model": inputs, "score": value, "gradient of the score": gradient}
    finite = torch.stack([torch.isfinite(tensor).all() for tensor in named.values()]).tolist()  # one wait for a GPU
    for name, is_finite in zip(named, finite, strict=True):
        if not is_finite:
            raise UserError(f"the {name} holds values that are not finite; check the model's weights and the clip")
    return gradient


def drawn_map(relevance: torch.Tensor) -> torch.Tensor:
    """Return the map that is drawn, the largest magnitude over the channels: (T, C, H, W) -> (T, H, W)."""
    return relevance.abs().amax(1)


def encode_frames(model: nn.Module, frames: torch.Tensor) -> torch.Tensor:
    """Return the features of single frames, a batch at a time: (N, C, H, W) -> (N, D)."""
    return torch.cat([encode_clips(model, part[:, None])[:, 0] for part in frames.split(BATCH)])


def score_of(model: nn.Module, features: torch.Tensor, target: int, score: str) -> torch.Tensor:
    """Return the score of class `target` for each feature sequence in a batch: (N, T, D) -> (N,)."""
    return target_score(model.classify(features), target, score)
