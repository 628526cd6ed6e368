"""The registry of attribution methods, for the frames of a clip and for the features between encoder and head.

    attribution = attribute(METHODS["smoothgrad"], model, clip, target)
    attribution.map           # (T, H, W), not negative, larger means more important

Every method has the signature (model, clip, target, score="logit", **options) -> saliency.attribution.Attribution.
`clip` is normalised, (T, C, H, W). Every method leaves the model as it found it. docs/architecture.md shows how to add
one.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from model.checks import check_clip, has_encoder
from runtime.declare import Option
from runtime.errors import UserError
from saliency.attribution import Attribution, with_seed
from saliency.fills import FILLS
from saliency.methods import gradients
from saliency.methods.freeze import freeze
from saliency.methods.grad_cam import grad_cam
from saliency.methods.interval import interval
from saliency.methods.lrp import feature_lrp
from saliency.methods.occlusion import occlusion_block, occlusion_frame
from saliency.methods.rescaling import BASES, FEATURE_BASES, SEQUENCES, feature_tsr, tsr
from saliency.methods.sequences import feature_method
from saliency.methods.shapley import shapley_frame
from saliency.propagation import check_head


class Method(NamedTuple):
    """An entry of the registry.

    line: description and source, for --help and the report page. options: the function's keyword arguments, which
    become flags. signed: whether its Attribution has evidence for and against. needs_encode: whether it works only for
    models with `encode` and `classify`. ruled: whether it needs a head that has rules (saliency/propagation).
    is_base: whether TSR can rescale its map (saliency/methods/rescaling.py).
    """

    function: Callable[..., Attribution]
    line: str
    options: tuple[Option, ...] = ()
    signed: bool = False
    needs_encode: bool = False
    ruled: bool = False
    is_base: bool = False


def attribute(method: Method, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
              seed: int = 0, **options) -> Attribution:
    """Call the function of an entry of METHODS or FEATURE_METHODS and return its result.

    seed: of everything that the method draws at random. ValueError if the clip has another shape or type than a method
    reads, or if the method cannot explain such a model.
    """
    check_clip(clip)
    check_method(method, model)
    return method.function(model, clip, target, score, **with_seed(method.function, options, seed))


def check_method(method: Method, model: nn.Module) -> None:
    """Raise ValueError if a method needs `encode` and `classify` and the model lacks them, or rules for its head."""
    if method.needs_encode and not has_encoder(model):
        others = ", ".join(name for name, other in METHODS.items() if not other.needs_encode)
        raise UserError(f"{type(model).__name__} has no encode and classify, which this method needs to tell the "
                        f"features of the frames; methods of pixels that explain such a model: {others}")
    if method.ruled:
        check_head(model)


SMOOTHGRAD_OPTIONS = (
    Option("samples", int, 25, "noisy copies of the clip", "smoothgrad_samples", least=1),
    Option("noise", float, 0.25, "standard deviation of the noise, as a share of the clip's range of values",
           "smoothgrad_noise", least=0),
)
PATH_OPTIONS = (Option("points", int, 32, "points on the path from the background", "path_points", least=1),)
SHAP_OPTIONS = (Option("samples", int, 32, "random baselines, each with a point on the path from it", "shap_samples",
                       least=1),)
LRP_OPTIONS = (Option("epsilon", float, 1e-3, "added to the magnitude of every sum before it is divided by",
                      "lrp_epsilon", least=0),)
MASK_OPTIONS = (
    Option("quantile", float, 0.55, "patches or features are masked only in frames whose time contribution lies above "
           "this quantile; 0.55 selects the upper 45 percent of the frames", "tsr_quantile", least=0, most=1),
    Option("fill", str, "background", "values that replace a masked part; background is the median over the clip",
           "tsr_fill", choices=tuple(FILLS)),
)
FEATURE_TSR_OPTIONS = (
    *MASK_OPTIONS,
    Option("base", str, None, "method that is rescaled; default: that of --method, or the gradient", "tsr_base",
           choices=FEATURE_BASES),
)
TSR_OPTIONS = (
    Option("patch", int, 10, "side of a patch in pixels", "tsr_patch", least=1),
    *MASK_OPTIONS,
    Option("step", str, "full", "full: mask frames, then patches; time: mask frames only", "tsr_step",
           choices=("full", "time")),
    Option("tolerance", float, 1e-3, "largest error of the fast computation, relative to the largest change of the "
           "map; 0 allows rounding errors only and takes about twice as long", "tsr_tolerance", least=0),
    Option("memory_gb", float, None, "memory for activations in GB; default: 2 on a CPU, 70%% of the free memory on a "
           "GPU", "memory_gb", least=0),
)

SEGMENT = Option("segment", int, None, "frames in a row that count as one; default: 1, and more if a clip has more "
                 "than 60 frames", "segment", least=1)
SHAPLEY_OPTIONS = (
    SEGMENT,
    Option("pairs", int, 60, "pairs of random orders of the frames, if there are more than 12 of them", "shapley_pairs",
           least=2),
)

METHODS = {
    "gradient": Method(gradients.gradient, "|dS/dx| (Simonyan et al. 2014)"),
    "gradient_x_input": Method(gradients.gradient_x_input, "|x dS/dx| (Shrikumar et al. 2016)", signed=True),
    "smoothgrad": Method(gradients.smoothgrad, "mean gradient of noisy copies (Smilkov et al. 2017)",
                         SMOOTHGRAD_OPTIONS),
    "smoothgrad_x_difference": Method(gradients.smoothgrad_x_difference,
                                      "SmoothGrad times the difference from the background", SMOOTHGRAD_OPTIONS, True),
    "integrated_gradients": Method(gradients.integrated_gradients,
                                   "path from the background (Sundararajan et al. 2017)", PATH_OPTIONS, True),
    "gradient_shap": Method(gradients.gradient_shap, "paths from the clip standing still at random frames (Lundberg "
                            "and Lee 2017; Erion et al. 2021)", SHAP_OPTIONS, True),
    "grad_cam": Method(
        grad_cam, "weighted channels of the last feature map (Selvaraju et al. 2017)",
        (Option("layer", str, None, "name of the module whose output is weighted; default: the last one before the "
                "global pooling", "layer"),), True),
    "freeze": Method(freeze, "change when the clip stands still (Mänttäri et al. 2020)",
                     (Option("frames", int, 5, "frames that stand still", "freeze_frames", least=1),), True),
    "occlusion_frame": Method(occlusion_frame, "drop of S when a frame is blanked (Zeiler and Fergus 2014, in time)",
                              signed=True),
    "occlusion_block": Method(
        occlusion_block, "drop of S when a space-time block is blanked (Zeiler and Fergus 2014)",
        (Option("frames", int, 5, "length of a block in frames", "occlusion_frames", least=1),
         Option("pixels", int, 20, "side of a block in pixels", "occlusion_pixels", least=1)), True),
    "interval": Method(
        interval, "mean effect of changing the intervals that contain a frame",
        (Option("change", str, "background", "the frames of an interval show the background, stand still, or run "
                "backwards", "interval_change", choices=("background", "freeze", "reverse")), SEGMENT),
        signed=True, needs_encode=True),
    "shapley_frame": Method(shapley_frame, "Shapley value of each frame (Bento et al. 2021)", SHAPLEY_OPTIONS, True,
                            needs_encode=True),
    "tsr": Method(
        tsr, "temporal saliency rescaling of the gradient or another map (Ismail et al. 2020)",
        (*TSR_OPTIONS,
         Option("base", str, None, "method that is rescaled; default: that of --method, or the gradient", "tsr_base",
                choices=BASES))),
}
METHODS |= {name: METHODS[name]._replace(is_base=True) for name in BASES}
ALL = "all"  # stands for ALL_METHODS on the command line
ALL_METHODS = tuple(name for name in METHODS if name != "tsr")  # which has a switch of its own and takes longer
FEATURE_METHODS = {
    name: Method(feature_method(SEQUENCES[name]), line, options, needs_encode=True, is_base=True)
    for name, line, options in (
        ("gradient", "dS/df", ()), ("gradient_x_input", "f dS/df", ()),
        ("smoothgrad", "mean dS/df of noisy features", SMOOTHGRAD_OPTIONS),
        ("integrated_gradients", "path from the features' median over the clip", PATH_OPTIONS),
        ("gradient_shap", "paths from the features of random frames, held over the clip (Erion et al. 2021)",
         SHAP_OPTIONS),
        ("occlusion", "drop of S when a feature of a frame becomes its median over the clip", ()),
        ("deep_lift", "difference of S from that of the features' median, by the rescale rule (Shrikumar et al. 2017)",
         ()),
        ("lrp", "relevance of S through the layers of the head (Arras et al. 2017)", LRP_OPTIONS),
    )
}
FEATURE_METHODS["deep_lift"] = FEATURE_METHODS["deep_lift"]._replace(ruled=True)
FEATURE_METHODS["lrp"] = FEATURE_METHODS["lrp"]._replace(function=feature_lrp, ruled=True)
FEATURE_METHODS["tsr"] = Method(feature_tsr, "temporal saliency rescaling of the gradient, or of another method "
                                "(Ismail et al. 2020)", FEATURE_TSR_OPTIONS, needs_encode=True)
