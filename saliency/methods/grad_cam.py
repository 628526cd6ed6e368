"""Grad-CAM: the sum of the channels of a feature map, weighted by their mean gradients (Selvaraju et al. 2017)."""

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

    layer: the name of the module whose output is weighted. The default is the last module whose output has more than
    one position, which is the one before the global pooling; folding batch norms does not change it.
    ValueError if there is no such module, or if its output is not a feature map.
    """
    modules = dict(model.named_modules())
    if layer is not None and layer not in modules:
        raise ValueError(f"the model has no module {layer!r}; its first modules are {', '.join(list(modules)[1:12])}")
    feature_map = None

    def keep(module, inputs, output):
        nonlocal feature_map
        if layer or (getattr(output, "ndim", 0) == 4 and output[0, 0].numel() > 1):
            feature_map = output
        if layer and isinstance(output, torch.Tensor):
            return output.clone()  # the next layer gets a copy, because an in-place ReLU would overwrite the output
        return None

    hooks = [module.register_forward_hook(keep) for module in ([modules[layer]] if layer else modules.values())]
    try:
        with untouched(model), differentiable_rnns(model), torch.enable_grad():
            frames = clip.detach().clone().requires_grad_(True)
            value = target_score(model(frames[None]), target, score).sum()
            if getattr(feature_map, "ndim", 0) != 4:
                found = f"the output of module {layer!r} is not" if layer else "no module of the model outputs"
                raise ValueError(f"{found} a feature map (T, channels, h, w); Grad-CAM needs a convolution's output")
            gradient = torch.autograd.grad(value, feature_map)[0]  # (T, K, h, w)
    finally:
        for hook in hooks:
            hook.remove()
    weighted = (gradient.mean((2, 3), keepdim=True) * feature_map.detach()).sum(1, keepdim=True)  # (T, 1, h, w)
    return Attribution(_enlarged(weighted.relu(), clip), _enlarged(weighted, clip))


def _enlarged(maps: torch.Tensor, clip: torch.Tensor) -> torch.Tensor:
    """Enlarge maps to the size of the frames: (T, 1, h, w) and the clip (T, C, H, W) -> (T, H, W)."""
    return interpolate(maps, clip.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
