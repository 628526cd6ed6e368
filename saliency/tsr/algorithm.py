"""Temporal saliency rescaling: how much each frame, and each patch of the important frames, changes the saliency map.

    result = temporal_saliency_rescaling(model, clip, target)
    result.time_contribution      # (T,) in 0..1
    result.tsr                    # (T, H, W)

Ismail, Gunady, Corrada Bravo and Feizi, "Benchmarking Deep Learning Interpretability in Time Series Predictions",
NeurIPS 2020, algorithm 1. The first step masks each frame, the second step masks each patch of the important frames.
Here both steps explain the same class, that of the unmasked clip, and the second step masks patches of one frame at a
time. The map that is rescaled is the gradient or another mean gradient (saliency/mean_gradient.py), with the arithmetic
in saliency/tsr/factored.py. Any other map, and any map of a model that does not state that its frames are independent
(model/contract.py), is computed once per perturbation (saliency/tsr/literal.py), after a warning that says how long
this takes.
"""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from model.checks import check_clip, has_encoder
from model.contract import frames_are_independent
from runtime.errors import UserError
from runtime.progress import Progress, in_words
from saliency.fills import FILLS
from saliency.mean_gradient import PLAIN, Variant, mean_gradient
from saliency.patches import patch_boxes
from saliency.state import untouched
from saliency.tsr.factored import FactoredRelevance
from saliency.tsr.literal import LiteralRelevance

UNIMPORTANT = 0.1  # patch contribution in the frames whose patches are not perturbed
MEMORY = 2.0  # GB for activations on the CPU
GPU_SHARE = 0.7  # of a GPU's free memory
LONGEST = 1800.0  # seconds of a clip; what takes longer is refused
REMEDY = "give --tsr_step time, a larger --tsr_patch, a higher --tsr_quantile, or a shorter clip"
TSR_STEPS = ("full", "time")

Variants = Callable[[torch.Tensor], Iterable[Variant]]  # of a clip
Relevance = Callable[[torch.Tensor], torch.Tensor]  # clips (T, C, H, W) -> maps (T, ...), not negative


@dataclass(frozen=True)
class Rescaling:
    """The result for a clip of T frames of H x W pixels with rows x columns patches. All tensors are on the CPU.

    time_delta (T,): summed change of the base's map when a frame is masked. time_contribution (T,): the same, scaled to
    0..1. important (T,) bool: the frames whose patches are perturbed. patch_delta (T, rows, columns): summed change
    when a patch is masked, 0 in the other frames. tsr (T, H, W): time contribution times patch contribution.
    error_bound: an estimate of the error of the deltas, relative to the largest delta of the same step. It is not a
    proven bound: it is twice a value that was measured on a random sample (saliency/tsr/low_rank.py). passes: numbers
    of frames that went through the encoder, (forward, backward), or None for the literal loop.
    """

    time_delta: torch.Tensor
    time_contribution: torch.Tensor
    important: torch.Tensor
    patch_delta: torch.Tensor
    tsr: torch.Tensor
    error_bound: float
    passes: tuple[int, int] | None


def temporal_saliency_rescaling(model: nn.Module, clip: torch.Tensor, target: int, *, patch: int = 10,
                                quantile: float = 0.55, fill: str = "background", step: str = "full",
                                score: str = "logit", tolerance: float = 1e-3, memory_gb: float | None = None,
                                variants: Variants = lambda clip: PLAIN,
                                prepare: Callable[..., Relevance] | None = None) -> Rescaling:
    """Compute TSR of a map of class `target` on one normalised clip (T, C, H, W).

    patch: side of the square patches in pixels (smaller at the edges). quantile: patches are masked in the frames
    whose time contribution is strictly above this quantile. fill: what replaces masked pixels, a name in FILLS. step:
    "full", or "time" to mask whole frames only; tsr is then the time contribution at all pixels. tolerance: the error
    allowed in the deltas, relative to the largest; 0 allows rounding errors only. memory_gb: memory for activations in
    GB; by default 2 on the CPU and 70 percent of the free memory on a GPU. variants: of the mean gradient that is
    rescaled; by default those of the gradient. prepare: instead, a function (model, clip, target, score) that returns
    the map that is rescaled, of clips; what it takes from the clip stays fixed. saliency/methods/rescaling.py has
    examples of both. ValueError for options out of range, for a clip that is not finite or has another shape, and if
    the literal loop would take more than half an hour.
    """
    check_options(clip, patch, quantile, fill, step, tolerance)
    n_frames, _, height, width = clip.shape
    filling, patch = FILLS[fill](clip), min(patch, max(height, width))
    boxes, grid = patch_boxes(height, width, patch, clip.device)
    n_patches, whole_frame, bounds = len(boxes) if step == "full" else 0, boxes.new_tensor([0, height, 0, width]), [0.0]
    with untouched(model):
        if prepare is None and frames_are_independent(model, clip):
            memory = default_memory(clip.device) if memory_gb is None else memory_gb
            engine = FactoredRelevance(model, clip, target, score, tolerance, memory * 1e9, tuple(variants(clip)))
        else:
            engine = LiteralRelevance(clip, prepare(model, clip, target, score) if prepare else
                                      magnitude(model, clip, target, score, variants))
            announce(engine.seconds(filling), n_frames, n_patches, quantile, why_literal(model, prepare), REMEDY)

        def changes(frames, patches, progress):
            masked = whole_frame.expand(len(frames), 4) if patches is None else boxes[patches]  # (P, 4)
            delta, bound = engine.changes(frames, masked, filling, progress)
            bounds.append(bound)
            return delta

        found = rescale(n_frames, n_patches, changes, quantile, "patch", clip.device)
    time_delta, time_contribution, important, patch_delta, patch_contribution = (each.cpu() for each in found)
    if step == "full":
        squares = patch_contribution.view(-1, *grid).repeat_interleave(patch, 1).repeat_interleave(patch, 2)
        pixels = squares[:, :height, :width]  # (T, H, W)
    else:
        pixels, patch_delta = time_delta.new_ones(n_frames, height, width), time_delta.new_zeros(n_frames, len(boxes))
    return Rescaling(time_delta, time_contribution, important, patch_delta.view(-1, *grid),
                     time_contribution[:, None, None] * pixels, max(bounds), engine.passes)


def default_memory(device: torch.device) -> float:
    """Return how many GB activations may take."""
    return GPU_SHARE * torch.cuda.mem_get_info(device)[0] / 1e9 if device.type == "cuda" else MEMORY


def magnitude(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit",
              variants: Variants = lambda clip: PLAIN) -> Relevance:
    """Return the magnitude of a mean gradient of clips, whose variants are those of this clip."""
    fixed = tuple(variants(clip))
    return lambda changed: mean_gradient(model, changed, target, score, fixed).abs()


def rescale(length: int, n_parts: int, changes: Callable[..., torch.Tensor], quantile: float, part: str,
            device: torch.device) -> tuple[torch.Tensor, ...]:
    """Run algorithm 1 on a sequence of `length` frames with `n_parts` parts each: patches or features.

    changes(frames, parts, progress) masks part parts[p] of frame frames[p], or the whole frame if parts is None, for
    each p by itself. It returns the changes of the map (P,), and calls progress with the number of perturbations that
    are done since the last call. part: the word for a part in messages.
    Returns time_delta, time_contribution and important, all (length,), and the delta and contribution of the parts,
    both (length, n_parts). If n_parts is 0, only frames are masked.
    """
    with Progress(length + expected_frames(length, quantile) * n_parts, "TSR", "step", leave=False) as bar:
        time_delta = changes(torch.arange(length, device=device), None, bar.update)
        time_contribution, constant = min_max(time_delta[None])
        if constant:
            warnings.warn("no frame changes the map, so all time contributions are 0", stacklevel=2)
        time_contribution = time_contribution[0]
        important = time_contribution > time_contribution.quantile(quantile)
        part_delta = time_delta.new_zeros(length, n_parts)
        part_contribution = torch.full_like(part_delta, UNIMPORTANT)
        chosen = important.nonzero()[:, 0]  # (n,) frames
        if n_parts and len(chosen):
            parts = torch.arange(n_parts, device=device).repeat(len(chosen))
            part_delta[chosen] = changes(chosen.repeat_interleave(n_parts), parts, bar.update).view(-1, n_parts)
            part_contribution[chosen], constant = min_max(part_delta[chosen])
            for place in constant:
                warnings.warn(f"no {part} of frame {int(chosen[place]) + 1} changes the map, so all its contributions "
                              "are 0", stacklevel=2)
    return time_delta, time_contribution, important, part_delta, part_contribution


def expected_frames(length: int, quantile: float) -> int:
    """Return how many frames lie strictly above a quantile of `length` different values; fewer if values are equal."""
    return length - 1 - math.floor(quantile * (length - 1))


def check_options(clip: torch.Tensor, patch: int, quantile: float, fill: str, step: str, tolerance: float) -> None:
    """Raise ValueError if an option is out of range or the clip cannot be explained."""
    check_clip(clip)
    if not torch.isfinite(clip).all():
        raise UserError("the clip holds values that are not finite; check its frames and the normalisation")
    if patch < 1 or not 0 <= quantile <= 1 or tolerance < 0:
        raise UserError(f"patch {patch}, quantile {quantile}, tolerance {tolerance} were given; the patch must be at "
                        "least 1, the quantile between 0 and 1, and the tolerance at least 0")
    if fill not in FILLS:
        raise UserError(f"unknown fill {fill!r}; known are: {', '.join(FILLS)}")
    if step not in TSR_STEPS:
        raise UserError(f"unknown step {step!r}; known are: {', '.join(TSR_STEPS)}")


def why_literal(model: nn.Module, prepare: Callable | None) -> str:
    """Return why a map is rescaled by the literal loop, and in parentheses what would make it fast."""
    kind = type(model).__name__
    if prepare is not None:
        return "this map has no fast arithmetic (another --tsr_base, such as gradient, has)"
    if not has_encoder(model):
        return f"{kind} has no encode and classify (model.adapters.FrameModel makes a fast model)"
    if not hasattr(model, "frames_independent"):
        return ("the model does not state that its frames are independent before the head (if encode treats each frame "
                f"by itself, add the line `frames_independent = True` to the class {kind})")
    return f"{kind} states frames_independent = False (this is right if frames meet in encode)"


def announce(seconds: float, length: int, n_parts: int, quantile: float, reason: str, remedy: str,
             quiet: float = 0.0) -> None:
    """Warn how long a map per perturbation takes if each takes `seconds`, unless all take less than `quiet` seconds.

    length, n_parts, quantile: those of `rescale`. reason: why this is slow. remedy: what to do if it is more than half
    an hour, which raises UserError.
    """
    n_maps = length + expected_frames(length, quantile) * n_parts
    told = (f"{reason}, so TSR takes up to {n_maps} maps of {seconds:.2g} seconds, about "
            f"{in_words(n_maps * seconds)}")
    if n_maps * seconds > LONGEST:
        raise UserError(f"{told}; more than {LONGEST / 60:.0f} are refused: {remedy}")
    if n_maps * seconds > quiet:
        warnings.warn(told, stacklevel=3)


def min_max(values: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """Scale each row (n, k) linearly to 0..1. Return also the rows whose values are all equal, which become zeros."""
    low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    equal = high == low
    scaled = torch.where(equal, 0, (values - low) / torch.where(equal, 1, high - low))
    return scaled, [row for row, constant in enumerate(equal[:, 0].tolist()) if constant]
