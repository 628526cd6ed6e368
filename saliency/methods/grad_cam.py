"""Grad-CAM: the sum of the channels of a feature map, weighted by their mean gradients (Selvaraju et al. 2017).

A vision transformer has no feature map before its output, which reads a single token. There, the patch tokens that its
last attention reads take the place of the feature map: they lie in a grid over the frame, and its output depends on all
of them.
"""

import math

import torch
from torch import nn
from torch.nn.functional import interpolate

from model.contract import differentiable_rnns
from saliency.attribution import Attribution
from saliency.gradient import untouched
from saliency.scores import target_score


def grad_cam(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
             layer: str | None = None) -> Attribution:
    """Compute the weighted sum of the channels, enlarged to the frame. The map is its positive part.

    layer: the name of the module whose output is weighted, a feature map (T, channels, h, w) or the tokens of a vision
    transformer (T, 1 + h * w, channels) with h = w. The default is the last module whose output has more than one
    position, which is the one before the global pooling; folding batch norms does not change it. In a vision
    transformer it is the layer before the last attention.
    ValueError if there is no such module, or if its output is neither of these.
    """
    modules = dict(model.named_modules())
    if layer is not None and layer not in modules:
        raise ValueError(f"the model has no module {layer!r}; its first modules are {', '.join(list(modules)[1:12])}")
    feature_map = None

    def keep(module, inputs, output):
        nonlocal feature_map
        if layer:
            feature_map = output
            return output.clone() if isinstance(output, torch.Tensor) else None  # an in-place ReLU would overwrite it
        if isinstance(module, nn.MultiheadAttention) and inputs and _has_tokens(inputs[0], clip):
            feature_map = inputs[0]
        for found in (inputs[0] if isinstance(module, nn.AdaptiveAvgPool2d) else None, output):
            if getattr(found, "ndim", 0) == 4 and found[0, 0].numel() > 1:
                feature_map = found
        return None

    hooks = [module.register_forward_hook(keep) for module in ([modules[layer]] if layer else modules.values())]
    try:
        with untouched(model), differentiable_rnns(model), torch.enable_grad():
            frames = clip.detach().clone().requires_grad_(True)
            value = target_score(model(frames[None]), target, score).sum()
            if getattr(feature_map, "ndim", 0) != 4 and not _has_tokens(feature_map, clip):
                found = f"the output of module {layer!r} is not" if layer else "no module of the model outputs"
                raise ValueError(f"{found} a feature map (T, channels, h, w) or the tokens of a vision transformer; "
                                 "Grad-CAM needs a convolution's output, or another --method")
            gradient = torch.autograd.grad(value, feature_map)[0]  # (T, K, h, w)
    finally:
        for hook in hooks:
            hook.remove()
    gradient, feature_map = _as_map(gradient), _as_map(feature_map.detach())
    weighted = (gradient.mean((2, 3), keepdim=True) * feature_map).sum(1, keepdim=True)  # (T, 1, h, w)
    return Attribution(_enlarged(weighted.relu(), clip), _enlarged(weighted, clip))


def _has_tokens(tensor: torch.Tensor | None, clip: torch.Tensor) -> bool:
    """Return whether a tensor has, for each frame of the clip, a class token and a square grid of patch tokens."""
    if getattr(tensor, "ndim", 0) != 3 or len(tensor) != len(clip) or tensor.shape[1] < 2:
        return False
    return math.isqrt(tensor.shape[1] - 1) ** 2 == tensor.shape[1] - 1


def _as_map(tensor: torch.Tensor) -> torch.Tensor:
    """Return a feature map as it is, and tokens (T, 1 + h * w, K) as the feature map (T, K, h, w) of their grid."""
    if tensor.ndim == 4:
        return tensor
    side = math.isqrt(tensor.shape[1] - 1)
    return tensor[:, 1:].transpose(1, 2).unflatten(2, (side, side))


def _enlarged(maps: torch.Tensor, clip: torch.Tensor) -> torch.Tensor:
    """Enlarge maps to the size of the frames: (T, 1, h, w) and the clip (T, C, H, W) -> (T, H, W)."""
    return interpolate(maps, clip.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
