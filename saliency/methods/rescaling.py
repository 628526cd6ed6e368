"""Temporal saliency rescaling (TSR) as an attribution method. The algorithm is in saliency/tsr/."""

import torch
from torch import nn

from saliency.attribution import Attribution
from saliency.methods.sequences import clip_features
from saliency.tsr import feature_rescaling, temporal_saliency_rescaling


def tsr(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", patch: int = 10,
        **options) -> Attribution:
    """Compute TSR of |dS/dx|, or of the map `base`, with the options of saliency.tsr.temporal_saliency_rescaling.

    The map lies in 0..1. The fact `base` names the map that was rescaled, if it is not the gradient; `patch` is the
    side of a patch in pixels, if patches were masked.
    The arrays are time_delta (T,), time_contribution (T,) and patch_delta (T, rows, columns).
    """
    result = temporal_saliency_rescaling(model, clip, target, score=score, patch=patch, **options)
    arrays = {name: getattr(result, name) for name in ("time_delta", "time_contribution", "patch_delta")}
    facts = {"error_bound": result.error_bound}
    if options.get("amp"):
        facts["amp_error"] = result.amp_error
    if options.get("base") not in (None, "gradient"):
        facts["base"] = options["base"]
    if options.get("step") != "time":
        facts["patch"] = patch
    return Attribution(result.tsr, None, facts, arrays, time_only=options.get("step") == "time")


def feature_tsr(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", **options) -> Attribution:
    """Compute TSR of features, with the options of saliency.tsr.feature_rescaling. The map (T, D) lies in 0..1.

    The array is time_contribution (T,). facts["base"]: the method that is rescaled, if it is not the gradient.
    """
    result = feature_rescaling(model, clip_features(model, clip), target, score=score, **options)
    base = options.get("base") or "gradient"
    facts = {"base": base} if base != "gradient" else {}
    return Attribution(result.tsr, None, facts, {"time_contribution": result.time_contribution})
