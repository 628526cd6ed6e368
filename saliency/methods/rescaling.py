"""Temporal saliency rescaling (TSR) as an attribution method, and the maps that it can rescale, its bases.

The algorithm is in saliency/tsr/, which knows no methods: it is handed the variants of a mean gradient, or a function
that prepares any other map.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from runtime.errors import UserError
from saliency.attribution import Attribution, with_seed
from saliency.methods.deep_lift import deep_lift_of_sequences
from saliency.methods.grad_cam import grad_cam
from saliency.methods.gradients import drawn_paths, noisy, noisy_difference, path, plain, times_input
from saliency.methods.lrp import lrp_of_sequences
from saliency.methods.occlusion import OcclusionMap, occlusion_of_sequences, whole_frame
from saliency.methods.sequences import clip_features, mean_gradients
from saliency.tsr import feature_rescaling, temporal_saliency_rescaling


def grad_cam_of_clips(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
                      layer: str | None = None) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the map of Grad-CAM, of clips (T, C, H, W) -> (T, H, W)."""
    return lambda changed: grad_cam(model, changed, target, score, layer).map


def occlusion_frame_of_clips(model: nn.Module, clip: torch.Tensor, target: int,
                             score: str = "logit") -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the map of occlusion_frame, of clips (T, C, H, W) -> (T, H, W)."""
    return OcclusionMap(model, clip, target, score, frames=1, pixels=whole_frame(clip))


VARIANTS = {"gradient": plain, "gradient_x_input": times_input, "smoothgrad": noisy,
            "smoothgrad_x_difference": noisy_difference, "integrated_gradients": path}  # fast
LITERAL = {"grad_cam": grad_cam_of_clips, "occlusion_frame": occlusion_frame_of_clips, "occlusion_block": OcclusionMap}
SEQUENCES = {
    "gradient": mean_gradients(plain), "gradient_x_input": mean_gradients(times_input),
    "smoothgrad": mean_gradients(noisy), "integrated_gradients": mean_gradients(path),
    "gradient_shap": mean_gradients(drawn_paths), "occlusion": occlusion_of_sequences,
    "deep_lift": deep_lift_of_sequences, "lrp": lrp_of_sequences,
}
BASES = (*VARIANTS, *LITERAL)  # of pixels
FEATURE_BASES = tuple(SEQUENCES)


def tsr(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", patch: int = 10, step: str = "full",
        base: str | None = None, base_options: dict[str, Any] | None = None, seed: int = 0, **options) -> Attribution:
    """Compute TSR of |dS/dx|, or of the map `base`, with the options of saliency.tsr.temporal_saliency_rescaling.

    base: a name in BASES. base_options: keyword arguments of that method. seed: of its draws. The map lies in 0..1. The
    fact `base` names the map that was rescaled, if it is not the gradient; `patch` is the side of a patch in pixels, if
    patches were masked. The arrays are time_delta (T,), time_contribution (T,) and patch_delta (T, rows, columns).
    """
    base = known(base, BASES)
    function = VARIANTS.get(base) or LITERAL[base]
    own = partial(function, **with_seed(function, base_options or {}, seed))
    options[("variants" if base in VARIANTS else "prepare")] = own
    result = temporal_saliency_rescaling(model, clip, target, score=score, patch=patch, step=step, **options)
    arrays = {name: getattr(result, name) for name in ("time_delta", "time_contribution", "patch_delta")}
    facts = {"error_bound": result.error_bound} | ({} if base == "gradient" else {"base": base}) | (
        {} if step == "time" else {"patch": patch})
    return Attribution(result.tsr, None, facts, arrays, time_only=step == "time")


def feature_tsr(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", base: str | None = None,
                base_options: dict[str, Any] | None = None, seed: int = 0, **options) -> Attribution:
    """Compute TSR of features, with the options of saliency.tsr.feature_rescaling. The map (T, D) lies in 0..1.

    base: a name in FEATURE_BASES. The other arguments are those of `tsr`. The array is time_contribution (T,).
    facts["base"]: the method that is rescaled, if it is not the gradient.
    """
    base = known(base, FEATURE_BASES)
    prepare = partial(SEQUENCES[base], **with_seed(SEQUENCES[base], base_options or {}, seed))
    result = feature_rescaling(model, clip_features(model, clip), target, score=score, prepare=prepare, **options)
    facts = {} if base == "gradient" else {"base": base}
    return Attribution(result.tsr, None, facts, {"time_contribution": result.time_contribution})


def known(base: str | None, bases: tuple[str, ...]) -> str:
    """Return the name of a base; None stands for the gradient. UserError if it is not in `bases`."""
    if (base or "gradient") not in bases:
        raise UserError(f"unknown base {base!r} of TSR; known are: {', '.join(bases)}")
    return base or "gradient"
