"""Temporal saliency rescaling: how much each frame, and each patch of the important frames, changes the saliency map.

    result = temporal_saliency_rescaling(model, clip, target)
    result.time_contribution      # (T,) in 0..1
    result.tsr                    # (T, H, W)

Ismail, Gunady, Corrada Bravo and Feizi, "Benchmarking Deep Learning Interpretability in Time Series Predictions",
NeurIPS 2020, algorithm 1. The first step masks each frame, the second step masks each patch of the important frames.
Here both steps explain the same class, that of the unmasked clip, and the second step masks patches of one frame at a
time. The map that is rescaled is the gradient or another base (saliency/tsr/bases.py). The numbers come from the
arithmetic in saliency/tsr/factored.py, or in saliency/tsr/occluded.py for occlusions. For a model that does not state
that its frames are independent (model/contract.py), they come from one map of the whole clip per perturbation
(saliency/tsr/literal.py), with a warning that says how long this takes.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from model.checks import check_clip, has_encoder
from model.contract import frames_are_independent
from runtime.errors import UserError
from saliency.fills import FILLS
from saliency.lengths import padded, true_frames
from saliency.patches import patch_boxes
from saliency.state import untouched
from saliency.tsr.bases import Base, OcclusionBase, make_base
from saliency.tsr.factored import FactoredRelevance
from saliency.tsr.literal import LiteralRelevance
from saliency.tsr.occluded import OccludedRelevance
from saliency.tsr.progress import Bar

UNIMPORTANT = 0.1  # patch contribution in the frames whose patches are not perturbed
MEMORY = 2.0  # GB for activations on the CPU
GPU_SHARE = 0.7  # of a GPU's free memory
AMP_SAMPLE = 16  # perturbations of each step that are computed in full precision too, to measure bfloat16's error
TSR_STEPS = ("full", "time")

Engine = FactoredRelevance | OccludedRelevance | LiteralRelevance


@dataclass(frozen=True)
class Rescaling:
    """The result for a clip of T frames of H x W pixels with rows x columns patches. All tensors are on the CPU.

    time_delta (T,): summed change of the base's map when a frame is masked. time_contribution (T,): the same, scaled to
    0..1. important (T,) bool: the frames whose patches are perturbed. patch_delta (T, rows, columns): summed change
    when a patch is masked, 0 in the other frames. tsr (T, H, W): time contribution times patch contribution.
    error_bound: bound of the error of the deltas, relative to the largest delta of the same step; it does not count the
    error of bfloat16. amp_error: the largest error of bfloat16 in a sample, 0 in full precision. passes: numbers of
    frames that went through the encoder, (forward, backward).
    """

    time_delta: torch.Tensor
    time_contribution: torch.Tensor
    important: torch.Tensor
    patch_delta: torch.Tensor
    tsr: torch.Tensor
    error_bound: float
    amp_error: float
    passes: tuple[int, int]


def temporal_saliency_rescaling(model: nn.Module, clip: torch.Tensor, target: int, *, patch: int = 10,
                                quantile: float = 0.55, fill: str = "background", step: str = "full",
                                score: str = "logit", tolerance: float = 1e-3, memory_gb: float | None = None,
                                amp: bool = False, length: int | None = None, base: str | None = None,
                                base_options: dict | None = None) -> Rescaling:
    """Compute TSR of a map of class `target` on one normalised clip (T, C, H, W).

    patch: side of the square patches in pixels (smaller at the edges). quantile: patches are masked in the frames
    whose time contribution is strictly above this quantile. fill: what replaces masked pixels, a name in FILLS. step:
    "full", or "time" to mask whole frames only; tsr is then the time contribution at all pixels. tolerance: the error
    allowed in the deltas, relative to the largest; 0 allows rounding errors only. memory_gb: memory for activations in
    GB; by default 2 on the CPU and 70 percent of the free memory on a GPU. amp: run the encoder in bfloat16. length:
    the number of true frames if the frames after them are padding, which gets 0 in every result. base: the map that is
    rescaled, a name in saliency.tsr.bases.BASES; None for the gradient. base_options: the options of its method.
    ValueError for options out of range, and for a clip that is not finite or has another shape.
    """
    check_options(clip, patch, quantile, fill, step, tolerance)
    total, clip = len(clip), clip if length is None else true_frames(model, clip, length)
    n_frames, _, height, width = clip.shape
    filling, patch = FILLS[fill](clip), min(patch, max(height, width))
    boxes, grid = patch_boxes(height, width, patch, clip.device)
    whole_frame = boxes.new_tensor([0, height, 0, width])
    bounds, amp_errors = [0.0], [0.0]
    with untouched(model):
        engine = choose_engine(model, clip, target, score, tolerance, memory_gb, amp,
                               make_base(base, clip, **(base_options or {})))
        if isinstance(engine, LiteralRelevance):
            warn_of_time(model, engine, n_frames, len(boxes) if step == "full" else 0, quantile)

        def changes(frames, patches, progress):
            masked = whole_frame.expand(len(frames), 4) if patches is None else boxes[patches]  # (P, 4)
            delta, bound = engine.changes(frames, masked, filling, progress)
            bounds.append(bound)
            if engine.amp:
                amp_errors.append(sampled_error(engine, frames, masked, filling, delta))
            return delta

        found = rescale(n_frames, len(boxes) if step == "full" else 0, changes, quantile, "patch", clip.device)
    time_delta, time_contribution, important, patch_delta, patch_contribution = found
    if step == "full":
        squares = patch_contribution.view(-1, *grid).repeat_interleave(patch, 1).repeat_interleave(patch, 2)
        pixels = squares[:, :height, :width]  # (T, H, W)
    else:
        pixels, patch_delta = clip.new_ones(n_frames, height, width), clip.new_zeros(n_frames, len(boxes))
    result = Rescaling(
        time_delta.cpu(), time_contribution.cpu(), important.cpu(), patch_delta.view(-1, *grid).cpu(),
        (time_contribution[:, None, None] * pixels).cpu(), max(bounds), max(amp_errors),
        (engine.forward_passes, engine.backward_passes),
    )
    return padded(result, n_frames, total)


def rescale(length: int, n_parts: int, changes: Callable[..., torch.Tensor], quantile: float, part: str,
            device: torch.device) -> tuple[torch.Tensor, ...]:
    """Run algorithm 1 on a sequence of `length` frames with `n_parts` parts each: patches or features.

    changes(frames, parts, progress) masks part parts[p] of frame frames[p], or the whole frame if parts is None, for
    each p by itself. It returns the changes of the map (P,). progress: see saliency.tsr.progress.Progress.
    part: the word for a part in messages.
    Returns time_delta, time_contribution and important, all (length,), and the delta and contribution of the parts,
    both (length, n_parts). If n_parts is 0, only frames are masked.
    """
    with Bar(length + expected_frames(length, quantile) * n_parts) as bar:
        time_delta = changes(torch.arange(length, device=device), None, bar)
        time_contribution = min_max(time_delta, "no frame changes the map, so all time contributions are 0")
        important = time_contribution > time_contribution.quantile(quantile)
        part_delta = time_delta.new_zeros(length, n_parts)
        part_contribution = torch.full_like(part_delta, UNIMPORTANT)
        chosen = important.nonzero()[:, 0]  # (n,) frames
        if n_parts and len(chosen):
            bar.more((len(chosen) - expected_frames(length, quantile)) * n_parts)
            parts = torch.arange(n_parts, device=device).repeat(len(chosen))
            part_delta[chosen] = changes(chosen.repeat_interleave(n_parts), parts, bar).view(-1, n_parts)
    for t in chosen.tolist() if n_parts else ():
        complaint = f"no {part} of frame {t + 1} changes the map, so all its contributions are 0"
        part_contribution[t] = min_max(part_delta[t], complaint)
    return time_delta, time_contribution, important, part_delta, part_contribution


def expected_frames(length: int, quantile: float) -> int:
    """Return how many frames lie strictly above a quantile of `length` different values; fewer if values are equal."""
    return length - 1 - math.floor(quantile * (length - 1))


def sampled_error(engine: Engine, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                  delta: torch.Tensor) -> float:
    """Return the largest error of delta (P,) in a sample that is computed in full precision too.

    The error is relative to the largest delta.
    """
    sample = torch.linspace(0, len(frames) - 1, min(AMP_SAMPLE, len(frames)), device=delta.device).long()
    exact, _ = engine.full_precision.changes(frames[sample], boxes[sample], fill)
    return float((exact - delta[sample]).abs().max() / delta.max().clamp_min(torch.finfo(delta.dtype).tiny))


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


def choose_engine(model: nn.Module, clip: torch.Tensor, target: int, score: str, tolerance: float = 1e-3,
                  memory_gb: float | None = None, amp: bool = False, base: Base | None = None) -> Engine:
    """Return the fast arithmetic if the model treats frames independently before the head, else the literal loop."""
    if frames_are_independent(model, clip):
        if memory_gb is None:
            memory_gb = GPU_SHARE * torch.cuda.mem_get_info(clip.device)[0] / 1e9 if clip.is_cuda else MEMORY
        fast = OccludedRelevance if isinstance(base, OcclusionBase) else FactoredRelevance
        return fast(model, clip, target, score, tolerance, memory_gb * 1e9, amp, base)
    return LiteralRelevance(model, clip, target, score, base)


def warn_of_time(model: nn.Module, engine: LiteralRelevance, length: int, n_parts: int, quantile: float) -> None:
    """Warn that the literal loop is slow: how many passes follow, how long they take, and what would make it fast.

    The arguments are those of `rescale`; the first pass of the engine gives the time.
    """
    n_passes, kind = length + expected_frames(length, quantile) * n_parts, type(model).__name__
    name = "gradient" if engine.base.name == "gradient" else f"map of {engine.base.name}"
    if not has_encoder(model):
        reason, advice = f"{kind} has no encode and classify", "model.adapters.FrameModel makes a fast model"
    elif not hasattr(model, "frames_independent"):
        reason = "the model does not state that its frames are independent before the head"
        advice = f"if encode treats each frame by itself, add the line `frames_independent = True` to the class {kind}"
    else:
        reason, advice = f"{kind} states frames_independent = False", "this is right if frames meet in encode"
    warnings.warn(f"{reason}, so TSR computes one {name} of the whole clip per perturbation, which is slow: up to "
                  f"{n_passes} passes, about {n_passes * engine.seconds / 60:.1f} minutes (one pass took "
                  f"{engine.seconds:.2f} seconds); the step 'time' alone takes {length} passes; {advice}", stacklevel=3)


def min_max(values: torch.Tensor, complaint: str) -> torch.Tensor:
    """Scale values linearly to 0..1. If they are all equal, return zeros and warn with the complaint."""
    low, high = values.min(), values.max()
    if high == low:
        warnings.warn(complaint, stacklevel=3)
        return torch.zeros_like(values)
    return (values - low) / (high - low)
