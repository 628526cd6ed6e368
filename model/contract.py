"""The sequence-model contract: what a model must offer so that every fast algorithm of the project applies to it.

    encode(clips)                       (B, T, C, H, W) -> (B, T, D); each frame by itself, no state kept
    classify(features, lengths=None)    (B, T, D) -> (B, classes); frames at or beyond `lengths` (B,) have no influence
    head_modules()                      [(name, module)] after the encoder, from the top down
    backbone_modules()                  [(name, module)] of the encoder
    frames_independent                  True: the model states that `encode` treats each frame by itself

Together, `head_modules` and `backbone_modules` hold every parameter once. The statement `frames_independent` is
verified on the clip at hand. A model without the lists of modules gets everything but the sanity checks. A model that
does not state `frames_independent`, or has no `encode` and `classify`, is explained by the literal definitions.
docs/models.md has the table, and model/adapters.py makes such models.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from model.checks import check_clips, check_features, check_scores, has_encoder
from runtime.errors import UserError

SAME = 1e-3  # largest relative difference between two encodings of a frame that counts as rounding
PADDED = 1e-4  # largest difference of scores between a padded clip and the clip alone that counts as rounding


@runtime_checkable
class SequenceModel(Protocol):
    """The members of the contract; see the docstring of this module."""

    frames_independent: bool

    def encode(self, clips: torch.Tensor) -> torch.Tensor: ...
    def classify(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor: ...
    def head_modules(self) -> list[tuple[str, nn.Module]]: ...
    def backbone_modules(self) -> list[tuple[str, nn.Module]]: ...


def check_parts(model: SequenceModel) -> None:
    """Raise ValueError if `head_modules` and `backbone_modules` do not hold every parameter of the model once.

    A module that is missing there would keep its trained weights when a sanity check claims to have randomised it.
    """
    lacking = [name for name in ("head_modules", "backbone_modules") if not callable(getattr(model, name, None))]
    if lacking:
        raise UserError(f"{type(model).__name__} has no {' and no '.join(lacking)}, which name the parts that a "
                        "sanity check randomises; add them, or build the model with model.adapters.FrameModel")
    listed = [weight for _, part in (*model.head_modules(), *model.backbone_modules()) for weight in part.parameters()]
    counts = {id(weight): 0 for weight in listed}
    for weight in listed:
        counts[id(weight)] += 1
    missing = [name for name, weight in model.named_parameters() if id(weight) not in counts]
    twice = [name for name, weight in model.named_parameters() if counts.get(id(weight), 0) > 1]
    for names, fault in ((missing, "are in neither"), (twice, "are listed twice in")):
        if names:
            raise UserError(f"{type(model).__name__}: {len(names)} parameters {fault} head_modules() and "
                            f"backbone_modules() (first: {names[0]}); list each part of the model once")


def frames_are_independent(model: nn.Module, clip: torch.Tensor) -> bool:
    """Return whether the model has `encode` and `classify` and states that its frames are independent.

    The statement is verified on the clip (T, C, H, W): different frames must have the same features together and
    apart. ValueError if they do not, because every fast algorithm would be wrong.
    """
    if not has_encoder(model) or not getattr(model, "frames_independent", False):
        return False
    if not encodes_apart(model, clip):
        raise UserError(f"{type(model).__name__} states frames_independent = True, but a frame's features change when "
                        "another frame is encoded with it; set it to False")
    return True


def encodes_apart(model: nn.Module, clip: torch.Tensor) -> bool:
    """Return whether different frames of a clip (T, C, H, W) have the same features together and apart."""
    frames = _different_frames(clip)  # (3, C, H, W)
    with torch.no_grad():
        together, apart = encode_clips(model, frames[None])[0], encode_clips(model, frames[:, None])[:, 0]  # (3, D)
    return not (together - apart).abs().max() > SAME * together.abs().max()


def _different_frames(clip: torch.Tensor) -> torch.Tensor:
    """Return the first frame, a very different one, and the first frame again: (T, C, H, W) -> (3, C, H, W).

    The different one is that which differs most from the first, or a mirrored negative if all frames are equal.
    """
    first = clip[0]
    distance = (clip - first).abs().flatten(1).amax(1)  # (T,)
    other = clip[distance.argmax()]
    if distance.max() <= 0.1 * (clip.max() - clip.min()):
        other = 1 + 2 * first.max() - first.flip(-1)  # never equal to the first, because their sum is too large
    return torch.stack([first, other, first])


def encode_clips(model: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    """Return model.encode(clips), (B, T, C, H, W) -> (B, T, D); ValueError if one of the two has another shape."""
    check_clips(clips)
    features = model.encode(clips)
    check_features(features, *clips.shape[:2])
    return features


def class_scores(model: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    """Return the class scores of clips, (B, T, C, H, W) -> (B, classes), from any model.

    The scores come from `encode` and `classify` if the model has them, otherwise from the model itself. ValueError if
    the clips or the scores have another shape.
    """
    check_clips(clips)
    scores = model.classify(encode_clips(model, clips)) if has_encoder(model) else model(clips)
    check_scores(scores, clips=len(clips))
    return scores


def check_lengths(model: nn.Module, features: torch.Tensor) -> None:
    """Raise ValueError if what follows the features (L, D) of a clip has an influence on the scores of the model.

    The model must be in eval mode. A model that has no `classify`, or whose `classify` takes no `lengths`, claims
    nothing; an adapter says by `takes_lengths` whether its head takes them.
    """
    classify, length = getattr(model, "classify", None), len(features)
    if classify is None or "lengths" not in signature(classify).parameters or not getattr(model, "takes_lengths", True):
        return
    strange = 1 + 2 * features.abs().max() - features.flip(0)
    beyond = torch.stack([torch.zeros_like(features), strange])  # (2, L, D)
    padded = torch.cat([features.expand(2, -1, -1), beyond], 1)  # (2, 2 L, D)
    with torch.no_grad():
        alone = classify(features[None])
        found = classify(padded, torch.full((2,), length, device=features.device))
    if ((found - alone).abs() > PADDED * alone.abs().max() + PADDED).any():
        raise UserError(f"{type(model).__name__}: steps at or beyond `lengths` change its scores, so that padding "
                        "would count as evidence; let classify(features, lengths) ignore them")


def last_layer(model: SequenceModel) -> str:
    """Return the name of the layer that computes the class scores: the last linear layer of the first head module."""
    name, top = model.head_modules()[0]
    linear = [(sub, part) for sub, part in top.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise UserError(f"the head module {name} of {type(model).__name__} has no linear layer")
    wanted = linear[-1][1]
    return next(place for place, part in model.named_modules() if part is wanted)


@contextmanager
def differentiable_rnns(model: nn.Module) -> Iterator[None]:
    """Make the model's recurrent layers differentiable in eval mode on CUDA during the block.

    cuDNN refuses the backward pass of a recurrent layer in eval mode, so PyTorch's own kernels take its place while
    such a layer runs. The rest of the model keeps cuDNN.
    """
    switched = []

    def enter(module: nn.Module, inputs: tuple) -> None:
        if not module.training and torch.is_grad_enabled() and any(weight.is_cuda for weight in module.parameters()):
            switched.append(torch.backends.cudnn.flags(enabled=False))
            switched[-1].__enter__()

    def leave(module: nn.Module, inputs: tuple, outputs: tuple) -> None:
        if switched:
            switched.pop().__exit__(None, None, None)

    layers = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
    hooks = [layer.register_forward_pre_hook(enter) for layer in layers]
    hooks += [layer.register_forward_hook(leave, always_call=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
