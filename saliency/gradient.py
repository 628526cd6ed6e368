"""Gradients of a class score with respect to frames and to features.

    relevance = frame_gradient(model, clip, target)      # (T, C, H, W), signed
    drawn = relevance.abs().amax(1)                       # (T, H, W)

Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", ICLR 2014 workshop.
"""

from contextlib import contextmanager

import torch

SCORES = ("logit", "probability")


@contextmanager
def untouched(model):
    """The model in eval mode with no parameter asking for gradients; afterwards exactly as it was found."""
    modes = [(module, module.training) for module in model.modules()]
    wishes = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval().requires_grad_(False)
        yield model
    finally:
        for module, training in modes:
            module.training = training
        for parameter, wish in wishes:
            parameter.requires_grad_(wish)


def target_score(scores, target, score="logit"):
    """The number that is explained, for each row of scores (B, classes): a logit, or a probability. Returns (B,)."""
    if score not in SCORES:
        raise ValueError(f"unknown score {score!r}; known are: {', '.join(SCORES)}")
    return (scores.softmax(-1) if score == "probability" else scores)[:, target]


def frame_gradient(model, clip, target, score="logit"):
    """dS/dx of one normalised clip (T, C, H, W), signed, same shape; S is the score of class `target`.

    ValueError where clip, score or gradient are not finite, here as below.
    """
    with untouched(model), torch.enable_grad():
        frames = clip.detach().clone().requires_grad_(True)
        return _gradient(target_score(model(frames[None]), target, score).sum(), frames)


def feature_gradient(model, clip, target, score="logit"):
    """dS/df of one normalised clip (T, C, H, W): (T, D), signed."""
    with untouched(model):
        with torch.no_grad():
            features = model.encode(clip[None])
        return head_gradient(model, features, target, score)[0]


def head_gradient(model, features, target, score="logit"):
    """dS/df of each of a batch of feature sequences (B, T, D), by one pass of the head: (B, T, D)."""
    with torch.enable_grad():
        features = features.detach().clone().requires_grad_(True)
        return _gradient(target_score(model.classify(features), target, score).sum(), features)


def _gradient(value, inputs):
    """d value / d inputs. ValueError that names the first of inputs, value and gradient that is not finite."""
    gradient = torch.autograd.grad(value, inputs)[0]
    for name, tensor in {"input of the model": inputs, "score": value, "gradient of the score": gradient}.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"the {name} holds values that are not finite; check the model's weights and the clip")
    return gradient


def drawn_map(relevance):
    """What is shown of a relevance (T, C, H, W): the maximum of its magnitude over channels, (T, H, W)."""
    return relevance.abs().amax(1)
