"""Temporal saliency rescaling: how much each frame, and each patch of the important frames, changes the saliency map.

    result = temporal_saliency_rescaling(model, clip, target)
    result.time_contribution      # (T,) in 0..1
    result.tsr                    # (T, H, W)

Ismail, Gunady, Corrada Bravo and Feizi, "Benchmarking Deep Learning Interpretability in Time Series Predictions",
NeurIPS 2020, algorithm 1. Here the target stays the class that the unmasked clip is explained for, and the second step
masks patches of the frame in question. The numbers come from the arithmetic in saliency/tsr/factored.py, or, for a
model that does not follow model/contract.py, from one gradient of the whole clip per perturbation.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from tqdm import tqdm

from model.contract import frames_are_independent
from saliency.fills import FILLS
from saliency.gradient import untouched
from saliency.tsr.factored import FactoredRelevance
from saliency.tsr.literal import LiteralRelevance
from saliency.tsr.patches import patch_boxes

UNIMPORTANT = 0.1  # patch contribution in the frames whose patches are not perturbed
MEMORY = 2.0  # GB for activations on the CPU
GPU_SHARE = 0.7  # of a GPU's free memory
AMP_SAMPLE = 16  # perturbations of each step that are computed in full precision too
TSR_STEPS = ("full", "time")


@dataclass(frozen=True)
class Rescaling:
    """The result for a clip of T frames of H x W pixels with rows x columns patches. All tensors are on the CPU.

    time_delta (T,): summed change of |dS/dx| when a frame is masked. time_contribution (T,): the same, scaled to 0..1.
    important (T,) bool: the frames whose patches are perturbed. patch_delta (T, rows, columns): summed change when a
    patch is masked, 0 in the other frames. tsr (T, H, W): time contribution times patch contribution.
    error_bound: of the deltas, relative to the largest of their step; it does not count half precision. amp_error: the
    largest error of half precision in a sample, 0 in full precision. passes: frames that went through the encoder,
    (forward, backward).
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
                                amp: bool = False) -> Rescaling:
    """Rescale the gradient of class `target` on one normalised clip (T, C, H, W).

    patch: side of the square patches in pixels (smaller at the edges). quantile: patches are perturbed in the frames
    whose time contribution is strictly above this quantile. fill: what replaces masked pixels, a name in FILLS. step:
    "time" leaves the patches out, and tsr is the time contribution everywhere in the frame. tolerance: the error
    allowed in the deltas, relative to the largest; 0 allows rounding errors only. memory_gb: for activations; by
    default 2 on the CPU and 70 percent of what is free on a GPU. amp: run the encoder in bfloat16.
    ValueError for options out of range, and for a clip that is not finite or has another shape.
    """
    check_options(clip, patch, quantile, fill, step, tolerance)
    frames, _, height, width = clip.shape
    filling, patch = FILLS[fill](clip), min(patch, max(height, width))
    boxes, grid = patch_boxes(height, width, patch, clip.device)
    whole = boxes.new_tensor([0, height, 0, width])
    bounds, amp_errors = [0.0], [0.0]
    with untouched(model):
        engine = choose_engine(model, clip, target, score, tolerance, memory_gb, amp)

        def changes(where, patches, progress):
            places = whole.expand(len(where), 4) if patches is None else boxes[patches]
            delta, bound = engine.changes(where, places, filling, progress)
            bounds.append(bound)
            if engine.amp:
                amp_errors.append(sampled_error(engine, where, places, filling, delta))
            return delta

        found = rescale(frames, len(boxes) if step == "full" else 0, changes, quantile, "patch", clip.device)
    time_delta, contribution, important, patch_delta, share = found
    if step == "full":
        pixels = share.view(-1, *grid).repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, :height, :width]
    else:
        pixels, patch_delta = clip.new_ones(frames, height, width), clip.new_zeros(frames, len(boxes))
    return Rescaling(
        time_delta.cpu(), contribution.cpu(), important.cpu(), patch_delta.view(-1, *grid).cpu(),
        (contribution[:, None, None] * pixels).cpu(), max(bounds), max(amp_errors),
        (engine.forward_passes, engine.backward_passes),
    )


def rescale(length: int, n_parts: int, changes: Callable[..., torch.Tensor], quantile: float, part: str,
            device: torch.device) -> tuple[torch.Tensor, ...]:
    """Run algorithm 1 on a sequence of `length` frames with `n_parts` parts each: patches or features.

    changes(frames (P,), parts (P,) or None for whole frames, progress) returns how much masking each part changes the
    map, (P,), and calls progress(n) after n of them. part: the name of a part, for messages.
    Returns time_delta, time_contribution and important, all (length,), and part_delta and part contribution, both
    (length, n_parts). Without parts only the time step is done.
    """
    def with_bar(frames, parts, step):
        with tqdm(total=len(frames), desc=f"TSR, {step}", unit="perturbation", leave=False, disable=None) as bar:
            return changes(frames, parts, bar.update)

    time_delta = with_bar(torch.arange(length, device=device), None, "frames")
    contribution = min_max(time_delta, "no frame changes the map: time contributions are 0")
    important = contribution > contribution.quantile(quantile)
    part_delta = time_delta.new_zeros(length, n_parts)
    share = torch.full_like(part_delta, UNIMPORTANT)
    where = important.nonzero()[:, 0]
    if n_parts and len(where):
        every = torch.arange(n_parts, device=device).repeat(len(where))
        changed = with_bar(where.repeat_interleave(n_parts), every, f"each {part}")
        part_delta[where] = changed.view(-1, n_parts)
        for t in where.tolist():
            share[t] = min_max(part_delta[t], f"no {part} of frame {t + 1} changes the map: its contributions are 0")
    return time_delta, contribution, important, part_delta, share


def sampled_error(engine: FactoredRelevance, frames: torch.Tensor, boxes: torch.Tensor, fill: torch.Tensor,
                  delta: torch.Tensor) -> float:
    """Compute some perturbations in full precision too; return the largest error relative to the largest delta (P,)."""
    some = torch.linspace(0, len(frames) - 1, min(AMP_SAMPLE, len(frames)), device=delta.device).long()
    exact, _ = engine.precise.changes(frames[some], boxes[some], fill)
    return float((exact - delta[some]).abs().max() / delta.max().clamp_min(torch.finfo(delta.dtype).tiny))


def check_options(clip: torch.Tensor, patch: int, quantile: float, fill: str, step: str, tolerance: float) -> None:
    """Raise ValueError if an option is out of range or the clip cannot be explained."""
    if clip.ndim != 4:
        raise ValueError(f"a clip has shape (T, C, H, W), this one has {tuple(clip.shape)}")
    if not torch.isfinite(clip).all():
        raise ValueError("the clip holds values that are not finite; check its frames and the normalisation")
    if patch < 1 or not 0 <= quantile <= 1 or tolerance < 0:
        raise ValueError(f"patch {patch}, quantile {quantile}, tolerance {tolerance}: out of range")
    if fill not in FILLS or step not in TSR_STEPS:
        known = f"fills: {', '.join(FILLS)}; steps: {', '.join(TSR_STEPS)}"
        raise ValueError(f"unknown fill {fill!r} or step {step!r}; {known}")


def choose_engine(model: nn.Module, clip: torch.Tensor, target: int, score: str, tolerance: float = 1e-3,
                  memory_gb: float | None = None, amp: bool = False) -> FactoredRelevance | LiteralRelevance:
    """Return the fast arithmetic if frames do not meet before the head, else the literal loop, with a warning."""
    if frames_are_independent(model, clip):
        if memory_gb is None:
            memory_gb = GPU_SHARE * torch.cuda.mem_get_info(clip.device)[0] / 1e9 if clip.is_cuda else MEMORY
        return FactoredRelevance(model, clip, target, score, tolerance, memory_gb * 1e9, amp)
    warnings.warn("the model does not state that its frames are independent before the head (model/contract.py): TSR "
                  "takes one gradient of the whole clip per perturbation, which is slow", stacklevel=3)
    return LiteralRelevance(model, clip, target, score)


def min_max(values: torch.Tensor, complaint: str) -> torch.Tensor:
    """Scale values to 0..1. If they do not vary, return zeros and warn with the complaint."""
    low, high = values.min(), values.max()
    if high == low:
        warnings.warn(complaint, stacklevel=3)
        return torch.zeros_like(values)
    return (values - low) / (high - low)
