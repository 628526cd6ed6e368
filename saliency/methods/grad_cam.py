"""Grad-CAM: the sum of the channels of a feature map, weighted by their mean gradients (Selvaraju et al. 2017).

A vision transformer has no feature map before its output, which reads a single token. There, the patch tokens that its
last attention reads take the place of the feature map: they lie in a grid over the frame, and its output depends on all
of them.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate

from model.checks import check_clip, described
from model.contract import class_scores
from runtime.errors import UserError
from saliency.attribution import Attribution
from saliency.gradient import untouched, with_gradients
from saliency.scores import target_score

POOLINGS = (nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


def grad_cam(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
             layer: str | None = None) -> Attribution:
    """Compute the weighted sum of the channels, enlarged to the frame. The map is its positive part.

    layer: the name of the module whose output is weighted: a feature map (T, K, h, w), in a 3D network (1, K, t, h, w),
    which is enlarged in time too, or the tokens of a vision transformer (T, 1 + h * w, K) with h = w. A normalisation
    over the last dimension, as in video transformers, has the K channels there. The default is the last module whose
    output has more than one position in space, which is the one before the global pooling; folding batch norms does not
    change it. In a vision transformer it is the layer before the last attention.
    ValueError if there is no such module, or if its output is none of these.
    """
    check_clip(clip)
    with untouched(model), with_gradients(model):
        frames = clip.detach().clone().requires_grad_(True)
        scores, feature_map, source = watched(model, frames, layer)
        value = target_score(scores, target, score).sum()
        _check_map(feature_map, len(clip), layer)
        gradient = torch.autograd.grad(value, feature_map)[0]
    gradients, maps = as_map(source, gradient), as_map(source, feature_map.detach())
    weighted = (gradients.mean(tuple(range(2, maps.ndim)), keepdim=True) * maps).sum(1, keepdim=True)  # (T, 1, h, w)
    return Attribution(enlarged(weighted.relu(), clip), enlarged(weighted, clip))


def watched(model: nn.Module, clip: torch.Tensor,
            layer: str | None = None) -> tuple[torch.Tensor, torch.Tensor, nn.Module | None]:
    """Return the class scores (1, classes) of a clip (T, C, H, W) and the feature map that the model computed.

    Returns also the module that returned the feature map; None if it is the input of a module. layer, errors: see
    `grad_cam`.
    """
    modules, seen = dict(model.named_modules()), [(None, None)]  # feature maps and their sources, the last one counts
    if layer is not None and layer not in modules:
        raise UserError(f"the model has no module {layer!r}; its first modules are {', '.join(list(modules)[1:12])}")
    ranks = (4, 5) if any(isinstance(module, nn.Conv3d) for module in modules.values()) else (4,)

    def keep(module, inputs, output):
        if layer:
            seen.append((output, module))
            return output.clone() if isinstance(output, torch.Tensor) else None  # an in-place ReLU would overwrite it
        if isinstance(module, nn.MultiheadAttention) and inputs and _has_tokens(inputs[0], len(clip)):
            seen.append((inputs[0], None))
        for found, source in ((inputs[0] if isinstance(module, POOLINGS) else None, None), (output, module)):
            if getattr(found, "ndim", 0) in ranks and as_map(source, found).shape[-2:].numel() > 1:
                seen.append((found, source))
        return None

    hooks = [module.register_forward_hook(keep) for module in ([modules[layer]] if layer else modules.values())]
    try:
        scores = class_scores(model, clip[None])
    finally:
        for hook in hooks:
            hook.remove()
    return scores, *seen[-1]


def _has_tokens(tensor: Any, frames: int) -> bool:
    """Return whether a tensor has, for each of the frames, a class token and a square grid of patch tokens."""
    if getattr(tensor, "ndim", 0) != 3 or len(tensor) != frames or tensor.shape[1] < 2:
        return False
    return math.isqrt(tensor.shape[1] - 1) ** 2 == tensor.shape[1] - 1


def as_map(source: nn.Module | None, tensor: torch.Tensor) -> torch.Tensor:
    """Return a map with its channels in the second dimension. source: the module that returned it, or None.

    Tokens (T, 1 + h * w, K) become the map (T, K, h, w) of their grid. A layer normalisation has its channels last.
    """
    if tensor.ndim == 3:
        side = math.isqrt(tensor.shape[1] - 1)
        return tensor[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    return tensor.movedim(-1, 1) if isinstance(source, nn.LayerNorm) else tensor


def _check_map(feature_map: Any, frames: int, layer: str | None) -> None:
    """Raise ValueError if an output is not a map of each of the frames, or of the whole clip."""
    rank = getattr(feature_map, "ndim", 0)
    if rank in (4, 5) and (len(feature_map) == 1 or (rank == 4 and len(feature_map) == frames)):
        return
    if not _has_tokens(feature_map, frames):
        found = "no module of the model outputs"
        if layer:
            found = f"the output of module {layer!r} ({described(feature_map)}) is not"
        raise UserError(f"{found} a feature map (T, channels, h, w) or (1, channels, t, h, w), or the tokens of a "
                        "vision transformer; Grad-CAM needs a convolution's output: name another --layer, or choose "
                        "another --method")


def enlarged(maps: torch.Tensor, clip: torch.Tensor) -> torch.Tensor:
    """Enlarge maps to the clip (T, C, H, W): (T, 1, h, w), (1, 1, h, w) or (1, 1, t, h, w) -> (T, H, W)."""
    if maps.ndim == 4 and len(maps) == len(clip):
        return interpolate(maps, clip.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    whole = maps if maps.ndim == 5 else maps[:, :, None]  # (1, 1, t, h, w)
    return interpolate(whole, (len(clip), *clip.shape[-2:]), mode="trilinear", align_corners=False)[0, 0]
