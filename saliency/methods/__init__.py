"""The registry of attribution methods, for the frames of a clip and for the features between encoder and head.

    attribution = attribute(METHODS["smoothgrad"], model, clip, target)
    attribution.map           # (T, H, W), not negative, larger means more important

Every method has the signature (model, clip, target, score="logit", **options) -> saliency.attribution.Attribution.
`clip` is normalised, (T, C, H, W). Every method leaves the model as it found it. docs/architecture.md shows how to add
one. Importing this module does not import PyTorch.
"""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, NamedTuple

from model.checks import check_clip, has_encoder
from runtime.declare import Option, load
from runtime.errors import UserError
from saliency.fills import FILLS

if TYPE_CHECKING:
    import torch

    from saliency.attribution import Attribution


class Method(NamedTuple):
    """An entry of the registry.

    place: the function, "package.module:name". line: description and source, for --help and the report page. options:
    the function's keyword arguments, which become flags. signed: whether its Attribution has evidence for and against.
    needs_encode: whether it works only for models with `encode` and `classify`. heads: the names of the heads for which
    it is defined, empty if it is for every model. sequences: for methods of features, the function that attributes
    batches of sequences ("package.module:name", saliency/methods/sequences.py), with which TSR masks their features.
    rescaled: for methods of pixels, whether TSR can rescale their map (saliency/tsr/bases.py).
    """

    place: str
    line: str
    options: tuple[Option, ...] = ()
    signed: bool = False
    needs_encode: bool = False
    heads: tuple[str, ...] = ()
    sequences: str = ""
    rescaled: bool = False

    @property
    def is_base(self) -> bool:
        """Whether TSR can rescale the map of this method."""
        return self.rescaled or bool(self.sequences)


def attribute(method: Method, model: torch.nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
              seed: int = 0, **options) -> Attribution:
    """Call the function of an entry of METHODS or FEATURE_METHODS and return its result.

    seed: of everything that the method draws at random. ValueError if the clip has another shape or type than a method
    reads, or if the method cannot explain such a model.
    """
    check_clip(clip)
    check_method(method, model)
    return load(method.place)(model, clip, target, score, **with_seed(method, options, seed))


def with_seed(method: Method, options: dict, seed: int) -> dict:
    """Return the options of a method with the seed of a run, for its own draws or those of TSR's base."""
    if "seed" in signature(load(method.place)).parameters:
        return {"seed": seed} | options
    base = (METHODS if method in METHODS.values() else FEATURE_METHODS).get(options.get("base"))
    return options if base is None else options | {
        "base_options": with_seed(base, options.get("base_options") or {}, seed)}


def check_method(method: Method, model: torch.nn.Module) -> None:
    """Raise ValueError if a method needs `encode` and `classify` and the model lacks them."""
    if method.needs_encode and not has_encoder(model):
        function = method.place.partition(":")[2]
        others = ", ".join(name for name, other in METHODS.items() if not other.needs_encode)
        raise UserError(f"{type(model).__name__} has no encode and classify, which {function} needs to tell the "
                        f"features of the frames; methods of pixels that explain such a model: {others}")
    if method.heads:
        check_head(model, method.place.partition(":")[2].removeprefix("feature_"), method.heads)


def check_head(model: torch.nn.Module, method: str, heads: tuple[str, ...] | None = None) -> None:
    """Raise ValueError unless the model is a CNN-LSTM of this project with one of the heads, by default RULED_HEADS."""
    heads, config = heads or RULED_HEADS, getattr(model, "config", None)
    head = config.get("head") if isinstance(config, dict) else None
    if head not in heads:
        found = f"the head {head}" if head else f"the head of {type(model).__name__}"
        raise UserError(f"the rules of {method} are not defined for {found}; they are for the heads "
                        f"{', '.join(heads)}")


RULED_HEADS = ("change", "lstm", "bilstm", "gru", "cell_attention", "attention", "tcn", "mean")
FEATURE_BASES = ("gradient", "gradient_x_input", "smoothgrad", "integrated_gradients", "gradient_shap", "occlusion",
                 "deep_lift", "lrp")

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
    Option("amp", bool, False, "run the image network in bfloat16, for GPUs; the error this causes is measured on a "
           "sample and saved as tsr_amp_error", "amp"),
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
    "gradient": Method("saliency.methods.gradient:gradient", "|dS/dx| (Simonyan et al. 2014)", rescaled=True),
    "gradient_x_input": Method("saliency.methods.gradient:gradient_x_input", "|x dS/dx| (Shrikumar et al. 2016)",
                               signed=True, rescaled=True),
    "smoothgrad": Method("saliency.methods.smoothgrad:smoothgrad",
                         "mean gradient of noisy copies (Smilkov et al. 2017)", SMOOTHGRAD_OPTIONS, rescaled=True),
    "smoothgrad_x_difference": Method("saliency.methods.smoothgrad:smoothgrad_x_difference",
                                      "SmoothGrad times the difference from the background", SMOOTHGRAD_OPTIONS, True,
                                      rescaled=True),
    "integrated_gradients": Method("saliency.methods.integrated_gradients:integrated_gradients",
                                   "path from the background (Sundararajan et al. 2017)", PATH_OPTIONS, True,
                                   rescaled=True),
    "gradient_shap": Method("saliency.methods.gradient_shap:gradient_shap", "paths from the clip standing still at "
                            "random frames (Lundberg and Lee 2017; Erion et al. 2021)", SHAP_OPTIONS, True),
    "grad_cam": Method(
        "saliency.methods.grad_cam:grad_cam", "weighted channels of the last feature map (Selvaraju et al. 2017)",
        (Option("layer", str, None, "name of the module whose output is weighted; default: the last one before the "
                "global pooling", "layer"),), True, rescaled=True),
    "freeze": Method("saliency.methods.freeze:freeze", "change when the clip stands still (Mänttäri et al. 2020)",
                     (Option("frames", int, 5, "frames that stand still", "freeze_frames", least=1),), True),
    "occlusion_frame": Method("saliency.methods.occlusion:occlusion_frame",
                              "drop of S when a frame is blanked (Zeiler and Fergus 2014, in time)", signed=True,
                              rescaled=True),
    "occlusion_block": Method(
        "saliency.methods.occlusion:occlusion_block",
        "drop of S when a space-time block is blanked (Zeiler and Fergus 2014)",
        (Option("frames", int, 5, "length of a block in frames", "occlusion_frames", least=1),
         Option("pixels", int, 20, "side of a block in pixels", "occlusion_pixels", least=1)), True, rescaled=True),
    "interval": Method(
        "saliency.methods.interval:interval", "mean effect of changing the intervals that contain a frame",
        (Option("change", str, "background", "the frames of an interval show the background, stand still, or run "
                "backwards", "interval_change", choices=("background", "freeze", "reverse")), SEGMENT),
        signed=True, needs_encode=True),
    "shapley_frame": Method("saliency.methods.shapley:shapley_frame", "Shapley value of each frame (Bento et al. 2021)",
                            SHAPLEY_OPTIONS, True, needs_encode=True),
}
BASES = tuple(name for name, method in METHODS.items() if method.rescaled)
METHODS["tsr"] = Method(
    "saliency.methods.rescaling:tsr",
    "temporal saliency rescaling of the gradient or another map (Ismail et al. 2020)",
    (*TSR_OPTIONS,
     Option("base", str, None, "method that is rescaled; default: that of --method, or the gradient", "tsr_base",
            choices=BASES)))
ALL = "all"  # stands for ALL_METHODS on the command line
ALL_METHODS = tuple(name for name in METHODS if name != "tsr")  # which has a switch of its own and takes longer
FEATURE_METHODS = {
    "gradient": Method("saliency.methods.gradient:feature_gradient", "dS/df", needs_encode=True,
                       sequences="saliency.methods.gradient:gradient_of_sequences"),
    "gradient_x_input": Method("saliency.methods.gradient:feature_gradient_x_input", "f dS/df", needs_encode=True,
                               sequences="saliency.methods.gradient:gradient_x_input_of_sequences"),
    "smoothgrad": Method("saliency.methods.smoothgrad:feature_smoothgrad", "mean dS/df of noisy features",
                         SMOOTHGRAD_OPTIONS, needs_encode=True,
                         sequences="saliency.methods.smoothgrad:smoothgrad_of_sequences"),
    "integrated_gradients": Method(
        "saliency.methods.integrated_gradients:feature_integrated_gradients",
        "path from the features' median over the clip", PATH_OPTIONS, needs_encode=True,
        sequences="saliency.methods.integrated_gradients:integrated_gradients_of_sequences"),
    "gradient_shap": Method("saliency.methods.gradient_shap:feature_gradient_shap",
                            "paths from the features of random frames, held over the clip (Erion et al. 2021)",
                            SHAP_OPTIONS, needs_encode=True,
                            sequences="saliency.methods.gradient_shap:gradient_shap_of_sequences"),
    "occlusion": Method("saliency.methods.occlusion:feature_occlusion",
                        "drop of S when a feature of a frame becomes its median over the clip", needs_encode=True,
                        sequences="saliency.methods.occlusion:occlusion_of_sequences"),
    "deep_lift": Method("saliency.methods.deep_lift:feature_deep_lift", "difference of S from that of the features' "
                        "median, by the rescale rule (Shrikumar et al. 2017)", needs_encode=True, heads=RULED_HEADS,
                        sequences="saliency.methods.deep_lift:deep_lift_of_sequences"),
    "lrp": Method("saliency.methods.lrp:feature_lrp", "relevance of S through the layers of the head (Arras et al. "
                  "2017)", LRP_OPTIONS, needs_encode=True, heads=RULED_HEADS,
                  sequences="saliency.methods.lrp:lrp_of_sequences"),
    "tsr": Method("saliency.methods.rescaling:feature_tsr", "temporal saliency rescaling of the gradient, or of "
                  "another method (Ismail et al. 2020)", FEATURE_TSR_OPTIONS, needs_encode=True),
}
