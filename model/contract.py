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

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import signature
from itertools import product
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from model.adapters import LAYOUTS, ClipModel, FrameModel, grey_frames
from model.checks import check_clip, check_clips, check_features, check_scores, has_encoder
from runtime.errors import UserError
from runtime.sentences import in_short

HALF = (torch.float16, torch.bfloat16)
CHECKED = "checked_by_fitted"  # the attribute of a network that `fitted` has checked: whether it needs no adapter
FRAMES, SIDES = (8, 16, 32), (112, 128, 160, 182, 224, 256, 288, 299, 320, 384, 448, 512)  # of clips that are tried
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


@torch.no_grad()
def fitted(model: nn.Module, clip: torch.Tensor, n_classes: int | None = None, step: int | None = None,
           layout: str | None = None) -> nn.Module:
    """Return a network as everything here calls it, with class scores (B, classes) of clips like this one.

    The one check of a network that somebody brings. clip (T, C, H, W): normalised, or noise. n_classes, step, layout:
    see model.adapters.ClipModel; a layout wraps the network in any case. Wrappers of PyTorch are taken off, half
    precision is explained on a copy in the precision of the clip, and a network of grey frames gets these. UserError
    if the network fails, keeps a state, draws at random, or lets the clips of a batch mix. The network is left as it
    was; a second call for it checks no more than that it runs.
    """
    check_clip(clip)
    network = _in_precision(_unwrapped(model), clip.dtype)
    known = vars(model).get(CHECKED, getattr(type(model), CHECKED, False))
    if network is model and known and (n_classes, step, layout) == (None, None, None):
        return model
    with as_it_was(network, clip.device):
        found = _running(network, clip, n_classes, step, layout)
        if CHECKED not in vars(network):
            _check_calls(found, clip)
            frames_are_independent(found, clip)
    for each in {model, network, found}:
        vars(each)[CHECKED] = each is found
    return found


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside DataParallel, DistributedDataParallel and torch.compile."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif "_orig_mod" in getattr(model, "_modules", {}):  # as torch.compile keeps it
            model = model._orig_mod
        else:
            return model


def _in_precision(network: nn.Module, wanted: torch.dtype) -> nn.Module:
    """Return the network, or a copy of it in the wanted precision if its weights have another one."""
    found = {value.dtype for value in network.parameters() if value.is_floating_point()}
    other = [dtype for dtype in found if dtype in HALF] or [dtype for dtype in found if wanted not in found]
    if not other:
        return network
    warnings.warn(f"the weights of the network are in {other[0]}; a copy of it in {wanted} is explained", stacklevel=4)
    return copy.deepcopy(network).to(wanted)


@contextmanager
def as_it_was(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Compute in eval mode, in full float32; afterwards the network has its modes, attributes and buffers again."""
    modes, before = [(part, part.training) for part in network.modules()], []
    for part in (part for part in network.modules() if not isinstance(part, torch.jit.ScriptModule)):
        own = vars(part) | {"_buffers": dict(part._buffers)}
        tensors = [value for value in (*own.values(), *part._buffers.values()) if isinstance(value, torch.Tensor)]
        before.append((part, own, [(value, value.clone()) for value in tensors]))
    tf32 = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = False
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            network.eval()
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
        for part, own, tensors in before:
            vars(part).clear()
            vars(part).update(own)
            for value, content in tensors:
                value.copy_(content)
        for part, training in modes:
            part.training = training


def _running(network: nn.Module, clip: torch.Tensor, n_classes: int | None, step: int | None,
             layout: str | None) -> nn.Module:
    """Return the network, with an adapter if it needs one, in a form that runs on the clip. UserError if none does."""
    if not has_encoder(network) or isinstance(network, FrameModel):
        adapter = network if isinstance(network, FrameModel | ClipModel) else ClipModel(network, layout or LAYOUTS[0])
        forms = [adapter.reading(n_classes, step)]
        forms += [adapter.reading(n_classes, step, grey_frames(clip))] if clip.shape[1] == 3 else []
    elif step is None:
        forms = [network]
    else:
        raise UserError(f"--step {step} was given, but {type(network).__name__} has encode and classify; let classify "
                        "return the scores of that step")
    errors = []
    for form in forms:
        try:
            class_scores(form, clip[None])
            break
        except Exception as error:  # whatever the code of the user raises
            errors.append(error)
    if len(errors) == len(forms):
        if isinstance(errors[0], UserError):
            raise errors[0]
        frames, _, height, width = clip.shape
        raise UserError(f"the network fails on a clip of {frames} frames of {height} x {width} pixels "
                        f"({in_short(errors[0])}); {_advice(forms[0], clip)}") from errors[0]
    if errors:
        warnings.warn("the network reads one channel, so it gets the grey values of the clip", stacklevel=4)
    elif getattr(form, "taken", ""):
        print(f"the scores are {form.taken.strip()} in what the network returns")
    elif layout is None and not isinstance(network, torch.jit.ScriptModule):  # which cannot be frozen by itself
        return network
    return form


def _advice(form: nn.Module, clip: torch.Tensor) -> str:
    """Return what to do if a network does not run: another layout, or the size of the clips that it reads.

    Other sizes are tried without values and arithmetic, on the device "meta".
    """
    orders = LAYOUTS if isinstance(form, ClipModel) else [None]
    with suppress(Exception):
        tried = copy.deepcopy(form).to("meta")
        for frames, side, order in product((len(clip), *FRAMES), (clip.shape[-1], *SIDES), orders):
            tried.layout = order
            with suppress(Exception):
                class_scores(tried, clip.new_empty(1, frames, clip.shape[1], side, side, device="meta"))
                layout = f" --layout {order}" if order and order != form.layout else ""
                return (f"it reads clips of {frames} frames of {side} x {side} pixels{' in the layout' * bool(layout)}"
                        f"{layout[9:]}; give --sample_duration {frames} --sample_size {side}{layout}")
    return "check --sample_size, --sample_duration and --layout"


def _check_calls(model: nn.Module, clip: torch.Tensor) -> None:
    """Raise UserError unless equal calls give equal scores, and a clip has the same scores alone and in a batch."""
    def scores(seed: int, *clips: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(seed)
        return class_scores(model, torch.stack(clips))

    name, noise = type(model).__name__, clip.mean() + clip.std(correction=0) * torch.randn_like(clip)
    first, _, again, other = (scores(seed, each)[0] for seed, each in ((0, clip), (0, noise), (0, clip), (1, clip)))
    if _differ(first, again):
        raise UserError(f"{name}: two equal calls give different scores, so the network keeps something from one call "
                        "to the next, such as the hidden state of a recurrent layer; begin every forward without it")
    if _differ(first, other):
        raise UserError(f"{name}: its scores are drawn at random in eval mode, so maps would change from call to call; "
                        "let its functional dropout, for example, have training=self.training")
    try:
        among = scores(0, noise, clip, noise.flip(0))[1]
    except Exception as error:  # whatever the code of the user raises
        raise UserError(f"{name} reads one clip, but fails on a batch of three ({in_short(error)}); let its forward "
                        "take any number of clips") from error
    if _differ(first, among):
        layers = [f"{part} is an nn.{type(layer).__name__}" for part, layer in model.named_modules()
                  if not getattr(layer, "batch_first", True)]
        cause = f"{layers[0]} without batch_first=True" if layers else "a dimension of time may be taken for the batch"
        raise UserError(f"{name}: a clip has other scores alone than in a batch, so the clips of a batch mix; {cause}")
    if len(first) == 1:
        values = torch.cat([first, *(scores(0, size * noise)[0] for size in (-10, 10))])
        if (values >= 0).all() and (values <= 1).all():
            warnings.warn("the one score of the network lies in 0..1 for the clip and for noise, so the network seems "
                          "to apply the sigmoid itself; let it return the logit", stacklevel=5)


def _differ(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two vectors of scores differ by more than rounding. Values that are not finite do not count."""
    return bool((one - other).abs().max() > SAME * one.abs().max())


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
