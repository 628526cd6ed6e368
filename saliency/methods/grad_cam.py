"""Grad-CAM: the channels of a convolution's output, weighted by their mean gradient (Selvaraju et al. 2017)."""

import torch
from torch import nn
from torch.nn.functional import interpolate

from model.contract import differentiable_rnns
from saliency.attribution import Attribution
from saliency.gradient import untouched
from saliency.scores import target_score


def grad_cam(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
             layer: str | None = None) -> Attribution:
    """Compute the positive part of the weighted channels, enlarged to the frame.

    layer: the name of a module of the model; by default the last one before the global pooling, whose output still has
    more than one place. That is the same layer whether batch norms are folded or not.
    """
    modules = dict(model.named_modules())
    if layer not in (None, *modules):
        raise ValueError(f"layer {layer!r}: no such module; the first are {', '.join(list(modules)[1:12])}")
    kept = []

    def keep(module, inputs, output):
        if layer or (getattr(output, "ndim", 0) == 4 and output[0, 0].numel() > 1):
            kept[:] = [output]
        return output.clone() if layer else None  # a ReLU in place would overwrite the output

    hooks = [module.register_forward_hook(keep) for module in ([modules[layer]] if layer else modules.values())]
    try:
        with untouched(model), differentiable_rnns(model), torch.enable_grad():
            frames = clip.detach().clone().requires_grad_(True)
            value = target_score(model(frames[None]), target, score).sum()
            if not kept or kept[0].ndim != 4:
                raise ValueError(f"layer {layer!r} gives no maps (T, channels, h, w); Grad-CAM needs a convolution's")
            slopes = torch.autograd.grad(value, kept[0])[0]  # (T, K, h, w)
    finally:
        for hook in hooks:
            hook.remove()
    weighted = (slopes.mean((2, 3), keepdim=True) * kept[0].detach()).sum(1, keepdim=True)  # (T, 1, h, w)
    return Attribution(_enlarged(weighted.relu(), clip), _enlarged(weighted, clip))


def _enlarged(maps: torch.Tensor, clip: torch.Tensor) -> torch.Tensor:
    """(T, 1, h, w) -> (T, H, W) of the clip (T, C, H, W)."""
    return interpolate(maps, clip.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
