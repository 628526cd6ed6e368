"""Attribution methods for the frames of a clip, behind one registry.

    attribution = METHODS["smoothgrad"].attribute(model, clip, target)
    attribution.map           # (T, H, W), not negative, larger means more important
    attribution.facts         # numbers that the method has to say of itself, such as a completeness gap
    attribution.arrays        # what else is worth keeping, such as TSR's time contribution

`clip` is normalised, (T, C, H, W). Every method leaves the model as it found it. Own code rather than captum's: the
methods that blank frames or blocks encode each frame by itself, once, which a library for any model cannot do.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch.nn.functional import interpolate

from saliency.gradient import drawn_map, feature_gradient, frame_gradient, head_gradient, target_score, untouched
from saliency.tsr import background, patch_boxes, temporal_saliency_rescaling

SAMPLES = 25  # SmoothGrad
NOISE = 0.25  # SmoothGrad's standard deviation, of the clip's range of values
STEPS = 32  # integrated gradients
BLOCK = (5, 20)  # occlusion: frames x pixels of a space-time block
BATCH = 32  # frames through the encoder at a time


@dataclass
class Attribution:
    map: torch.Tensor
    facts: dict = field(default_factory=dict)
    arrays: dict = field(default_factory=dict)


class Method(NamedTuple):
    attribute: Callable  # (model, clip, target, score) -> Attribution
    line: str  # for --help: what it is, and its source


def gradient(model, clip, target, score="logit"):
    return Attribution(drawn_map(frame_gradient(model, clip, target, score)))


def gradient_x_input(model, clip, target, score="logit"):
    return Attribution(drawn_map(frame_gradient(model, clip, target, score) * clip))


def mean_gradient(model, clip, target, score, samples=SAMPLES, noise=NOISE, seed=0):
    """Mean signed gradient over noisy copies of the clip, (T, C, H, W)."""
    spread = noise * (clip.max() - clip.min())
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(clip)
    for _ in range(samples):
        noisy = clip + spread * torch.randn(clip.shape, generator=generator, dtype=clip.dtype).to(clip.device)
        total += frame_gradient(model, noisy, target, score)
    return total / samples


def smoothgrad(model, clip, target, score="logit", **options):
    return Attribution(drawn_map(mean_gradient(model, clip, target, score, **options)))


def smoothgrad_x_difference(model, clip, target, score="logit", **options):
    """First-order effect of the difference from the background, with the gradient smoothed."""
    return Attribution(drawn_map(mean_gradient(model, clip, target, score, **options) * (clip - background(clip))))


def integrated_gradients(model, clip, target, score="logit", steps=STEPS):
    """Along the straight path from the background, at the midpoints of `steps` parts.

    facts["completeness_gap"]: |sum of the attributions - (S(clip) - S(background))| / |S(clip) - S(background)|.
    """
    baseline = background(clip).expand_as(clip)
    total = torch.zeros_like(clip)
    for step in range(steps):
        total += frame_gradient(model, baseline + (step + 0.5) / steps * (clip - baseline), target, score)
    attributions = total / steps * (clip - baseline)
    with untouched(model), torch.no_grad():
        ends = target_score(model(torch.stack([clip, baseline])), target, score)
    difference = float(ends[0] - ends[1])
    same = abs(difference) <= 1e-6 * float(ends.abs().max())  # but for rounding: nothing to divide by
    gap = float("nan") if same else abs(float(attributions.sum()) - difference) / abs(difference)
    return Attribution(drawn_map(attributions), {"completeness_gap": gap})


def grad_cam(model, clip, target, score="logit", layer=None):
    """Channels of a layer's output weighted by their mean gradient, positive part, enlarged to the frame.

    layer: the name of a module of the model; by default what goes into the global pooling (the last output that still
    has more than one place), which is the same whether batch norms are folded or not.
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
        with untouched(model), torch.enable_grad():
            frames = clip.detach().clone().requires_grad_(True)
            value = target_score(model(frames[None]), target, score).sum()
            if not kept or kept[0].ndim != 4:
                raise ValueError(f"layer {layer!r} gives no maps (T, channels, h, w); Grad-CAM needs a convolution's")
            slopes = torch.autograd.grad(value, kept[0])[0]  # (T, K, h, w)
    finally:
        for hook in hooks:
            hook.remove()
    weighted = (slopes.mean((2, 3), keepdim=True) * kept[0].detach()).sum(1, keepdim=True).relu()  # (T, 1, h, w)
    return Attribution(interpolate(weighted, clip.shape[-2:], mode="bilinear", align_corners=False)[:, 0])


@torch.no_grad()
def occlusion_frame(model, clip, target, score="logit"):
    """Drop of the score when one frame is replaced by the background; T frames encoded, T passes of the head."""
    with untouched(model):
        features = encode_frames(model, clip)  # (T, D)
        empty = encode_frames(model, background(clip)[None])  # (1, D)
        replaced = features.repeat(len(clip), 1, 1)  # (T, T, D)
        replaced[torch.arange(len(clip)), torch.arange(len(clip))] = empty
        drop = score_of(model, features[None], target, score) - score_of(model, replaced, target, score)
    return Attribution(drop.clamp_min(0)[:, None, None].expand(-1, *clip.shape[-2:]).clone())


@torch.no_grad()
def occlusion_block(model, clip, target, score="logit", block=BLOCK):
    """Drop of the score when a block of frames x pixels is replaced by the background.

    A frame with a box replaced is encoded once and shared by all blocks in time that hold it.
    """
    length, side = block
    boxes, _ = patch_boxes(*clip.shape[-2:], side, clip.device)
    empty = background(clip)
    result = clip.new_zeros(len(clip), *clip.shape[-2:])
    with untouched(model):
        features = encode_frames(model, clip)
        whole = score_of(model, features[None], target, score)
        for top, bottom, left, right in boxes.tolist():
            masked = clip.clone()
            masked[:, :, top:bottom, left:right] = empty[:, top:bottom, left:right]
            masked_features = encode_frames(model, masked)
            starts = range(0, len(clip), length)
            sequences = features.repeat(len(starts), 1, 1)
            for row, start in enumerate(starts):
                sequences[row, start:start + length] = masked_features[start:start + length]
            drop = (whole - score_of(model, sequences, target, score)).clamp_min(0)
            per_frame = drop.repeat_interleave(length)[:len(clip)]
            result[:, top:bottom, left:right] = per_frame[:, None, None]
    return Attribution(result)


def tsr(model, clip, target, score="logit", **options):
    """The arrays are time_delta (T,), time_contribution (T,) and patch_delta (T, rows, columns)."""
    result = temporal_saliency_rescaling(model, clip, target, score=score, **options)
    arrays = {name: getattr(result, name) for name in ("time_delta", "time_contribution", "patch_delta")}
    facts = {"error_bound": result.error_bound} | ({"amp_error": result.amp_error} if options.get("amp") else {})
    return Attribution(result.tsr, facts, arrays)


def encode_frames(model, frames):
    """(N, C, H, W) -> (N, D), a batch of frames at a time."""
    return torch.cat([model.encode(part[:, None])[:, 0] for part in frames.split(BATCH)])


def score_of(model, features, target, score):
    """Target score of feature sequences (N, T, D) -> (N,)."""
    return target_score(model.classify(features), target, score)


METHODS = {
    "gradient": Method(gradient, "|dS/dx| (Simonyan et al. 2014)"),
    "gradient_x_input": Method(gradient_x_input, "|x dS/dx| (Shrikumar et al. 2016)"),
    "smoothgrad": Method(smoothgrad, "mean gradient of noisy copies (Smilkov et al. 2017)"),
    "smoothgrad_x_difference": Method(smoothgrad_x_difference, "SmoothGrad times the difference from the background"),
    "integrated_gradients": Method(integrated_gradients, "path from the background (Sundararajan et al. 2017)"),
    "grad_cam": Method(grad_cam, "weighted channels of the last feature map (Selvaraju et al. 2017)"),
    "occlusion_frame": Method(occlusion_frame, "drop when a frame is blanked (Zeiler and Fergus 2014, in time)"),
    "occlusion_block": Method(occlusion_block, "drop when a space-time block is blanked (Zeiler and Fergus 2014)"),
    "tsr": Method(tsr, "temporal saliency rescaling of the gradient (Ismail et al. 2020)"),
}


def feature_gradient_x_input(model, clip, target, score="logit"):
    return feature_gradient(model, clip, target, score) * clip_features(model, clip)


def feature_smoothgrad(model, clip, target, score="logit", samples=SAMPLES, noise=NOISE, seed=0):
    """Mean gradient over noisy copies of the features; the noise is that share of their range of values."""
    features, generator = clip_features(model, clip), torch.Generator().manual_seed(seed)
    drawn = torch.randn(samples, *features.shape, generator=generator, dtype=features.dtype).to(features.device)
    with untouched(model):
        copies = features + noise * (features.max() - features.min()) * drawn  # (samples, T, D)
        return head_gradient(model, copies, target, score).mean(0)


def feature_integrated_gradients(model, clip, target, score="logit", steps=STEPS):
    """Along the straight path from each feature's median over the clip; the sum is the difference of the scores."""
    features = clip_features(model, clip)
    difference = features - background(features)
    shares = (torch.arange(steps, device=features.device) + 0.5) / steps
    with untouched(model):
        path = background(features) + shares.to(features.dtype).view(-1, 1, 1) * difference  # (steps, T, D)
        return head_gradient(model, path, target, score).mean(0) * difference


@torch.no_grad()
def feature_occlusion(model, clip, target, score="logit"):
    """Change of the score when one feature of one frame is replaced by its median over the clip, (T, D), signed."""
    features = clip_features(model, clip)
    filling = background(features)
    with untouched(model):
        whole = score_of(model, features[None], target, score)
        result = torch.empty_like(features)
        for t in range(len(features)):
            sequences = features.repeat(features.shape[1], 1, 1)  # (D, T, D)
            sequences[:, t].diagonal().copy_(filling)
            result[t] = whole - score_of(model, sequences, target, score)
    return result


@torch.no_grad()
def clip_features(model, clip):
    """(T, C, H, W) -> (T, D)."""
    with untouched(model):
        return encode_frames(model, clip)


FEATURE_METHODS = {  # (model, clip, target, score) -> (T, D), signed
    "gradient": Method(feature_gradient, "dS/df"),
    "gradient_x_input": Method(feature_gradient_x_input, "f dS/df"),
    "smoothgrad": Method(feature_smoothgrad, "mean dS/df of noisy features"),
    "integrated_gradients": Method(feature_integrated_gradients, "path from the features' median over the clip"),
    "occlusion": Method(feature_occlusion, "drop of S when a feature of a frame becomes its median over the clip"),
}
