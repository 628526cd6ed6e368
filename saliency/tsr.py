"""Temporal saliency rescaling: how much each frame, and each patch of the frames that matter, changes the saliency map.

    result = temporal_saliency_rescaling(model, clip, target)
    result.time_contribution      # (T,) in 0..1
    result.tsr                    # (T, H, W)

Ismail, Gunady, Corrada Bravo and Feizi, "Benchmarking Deep Learning Interpretability in Time Series Predictions",
NeurIPS 2020, algorithm 1, with the target fixed to the class that the unmasked clip is explained for, and the second
step masking patches of the frame in question. The numbers come from the arithmetic in saliency/factored.py, or, for a
model whose frames meet before the head, from one gradient of the whole clip per perturbation.
"""

import warnings
from dataclasses import dataclass

import torch

from saliency.factored import FactoredRelevance, box_masks
from saliency.gradient import frame_gradient, untouched

UNIMPORTANT = 0.1  # patch contribution in the frames whose patches are not perturbed
MEMORY = 2.0  # GB for activations on the CPU
AMP_SAMPLE = 16  # perturbations of each step that are done in full precision too
STEPS = ("full", "time")


def background(clip):
    """Per-pixel median over the clip: what is to be seen when nobody is there."""
    ordered = clip.sort(0).values
    return (ordered[(len(clip) - 1) // 2] + ordered[len(clip) // 2]) / 2


FILLS = {  # clip (T, C, H, W) or features (T, D) -> what takes the place of a masked part, (C, H, W) or (D,)
    "background": background,
    "zero": lambda clip: torch.zeros_like(clip[0]),
    "first_pixel": lambda clip: clip.flatten()[0].expand_as(clip[0]),
}


@dataclass(frozen=True)
class Rescaling:
    """Tensors on the CPU. T frames of H x W pixels, in rows x columns of patches; delta: summed change of |dS/dx|.

    time_delta (T,), time_contribution (T,) in 0..1; important (T,) bool: the frames whose patches are perturbed;
    patch_delta (T, rows, columns), 0 in the other frames; tsr (T, H, W) = time contribution x patch contribution;
    error_bound: of the deltas, relative to the largest of their step, but for what half precision costs; amp_error:
    that, the largest found in a sample, 0 in full precision; passes: frames through the encoder, forward and backward.
    """

    time_delta: torch.Tensor
    time_contribution: torch.Tensor
    important: torch.Tensor
    patch_delta: torch.Tensor
    tsr: torch.Tensor
    error_bound: float
    amp_error: float
    passes: tuple


def temporal_saliency_rescaling(model, clip, target, *, patch=10, quantile=0.55, fill="background", step="full",
                                score="logit", tolerance=1e-3, memory_gb=None, amp=False, progress=None):
    """TSR of the gradient for class `target` on one normalised clip (T, C, H, W). Returns a Rescaling.

    patch: side of the square patches in pixels (smaller at the edges). quantile: patches are perturbed in the frames
    whose time contribution is strictly above this quantile. fill: what replaces masked pixels, a name in FILLS. step:
    "time" leaves the patches out, and tsr is the time contribution everywhere in the frame. tolerance: error allowed in
    the deltas, relative to the largest; 0 for none but rounding. memory_gb: for activations; by default 2 on the CPU
    and 70 percent of what is free on a GPU. amp: the encoder in bfloat16. progress: called with the number of
    perturbations done.
    """
    check_options(clip, patch, quantile, fill, step, tolerance)
    frames, _, height, width = clip.shape
    filling, patch = FILLS[fill](clip), min(patch, max(height, width))
    boxes, grid = patch_boxes(height, width, patch, clip.device)
    whole = boxes.new_tensor([0, height, 0, width])
    bounds, amp_errors = [0.0], [0.0]
    with untouched(model):
        engine = choose_engine(model, clip, target, score, tolerance, memory_gb, amp)

        def changes(where, patches):
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


def rescale(length, n_parts, changes, quantile, part, device):
    """Algorithm 1 on a sequence of `length` frames that have `n_parts` parts each: patches or features, named `part`.

    changes: (frames (P,), parts (P,), or None for whole frames) -> how much masking each changes the map, (P,).
    Returns time_delta, time_contribution and important, all (length,), part_delta and part contribution, both
    (length, n_parts); without parts only the time step is done.
    """
    time_delta = changes(torch.arange(length, device=device), None)
    contribution = min_max(time_delta, "no frame changes the map: time contributions are 0")
    important = contribution > contribution.quantile(quantile)
    part_delta = time_delta.new_zeros(length, n_parts)
    share = torch.full_like(part_delta, UNIMPORTANT)
    where = important.nonzero()[:, 0]
    if n_parts and len(where):
        every = torch.arange(n_parts, device=device).repeat(len(where))
        part_delta[where] = changes(where.repeat_interleave(n_parts), every).view(-1, n_parts)
        for t in where.tolist():
            share[t] = min_max(part_delta[t], f"no {part} of frame {t + 1} changes the map: its contributions are 0")
    return time_delta, contribution, important, part_delta, share


def sampled_error(engine, frames, boxes, fill, delta):
    """The largest error, relative to the largest delta (P,), of some of an engine's perturbations in half precision."""
    some = torch.linspace(0, len(frames) - 1, min(AMP_SAMPLE, len(frames)), device=delta.device).long()
    exact, _ = engine.precise.changes(frames[some], boxes[some], fill)
    return float((exact - delta[some]).abs().max() / delta.max().clamp_min(torch.finfo(delta.dtype).tiny))


def check_options(clip, patch, quantile, fill, step, tolerance):
    if clip.ndim != 4:
        raise ValueError(f"a clip has shape (T, C, H, W), this one has {tuple(clip.shape)}")
    if not torch.isfinite(clip).all():
        raise ValueError("the clip holds values that are not finite; check its frames and the normalisation")
    if patch < 1 or not 0 <= quantile <= 1 or tolerance < 0:
        raise ValueError(f"patch {patch}, quantile {quantile}, tolerance {tolerance}: out of range")
    if fill not in FILLS or step not in STEPS:
        known = f"fills: {', '.join(FILLS)}; steps: {', '.join(STEPS)}"
        raise ValueError(f"unknown fill {fill!r} or step {step!r}; {known}")


def choose_engine(model, clip, target, score, tolerance=1e-3, memory_gb=None, amp=False):
    """The fast arithmetic where frames do not meet before the head, else the literal loop, with a warning."""
    if frames_are_separate(model, clip):
        if memory_gb is None:
            memory_gb = 0.7 * torch.cuda.mem_get_info(clip.device)[0] / 1e9 if clip.is_cuda else MEMORY
        return FactoredRelevance(model, clip, target, score, tolerance, memory_gb * 1e9, amp)
    warnings.warn("the model's frames meet before its head: TSR takes one gradient of the whole clip per perturbation, "
                  "which is slow", stacklevel=3)
    return LiteralRelevance(model, clip, target, score)


@torch.no_grad()
def frames_are_separate(model, clip):
    """Whether the model has `encode` and `classify`, and encodes a frame alone as it does among the others."""
    if not (hasattr(model, "encode") and hasattr(model, "classify")):
        return False
    few = clip[:2]
    together, alone = model.encode(few[None])[0], model.encode(few[:, None])[:, 0]
    return bool((together - alone).abs().max() <= 1e-3 * together.abs().max())


class LiteralRelevance:
    """The definition: one gradient of the whole perturbed clip per perturbation. Interface of FactoredRelevance."""

    amp = False

    def __init__(self, model, clip, target, score="logit"):
        self.model, self.clip, self.target, self.score = model, clip, target, score
        self.forward_passes = self.backward_passes = 0
        self.relevance = self._relevance(clip)

    def _relevance(self, clip):
        self.forward_passes += len(clip)
        self.backward_passes += len(clip)
        return frame_gradient(self.model, clip, self.target, self.score).abs()

    def changes(self, frames, boxes, fill, progress=None):
        """Replace box p of frame frames[p] by the fill. Returns the changes (P,) and 0, the error."""
        delta = self.clip.new_empty(len(frames))
        masks = box_masks(boxes, self.clip.shape[-2:])
        for p, t in enumerate(frames.tolist()):
            masked = self.clip.clone()
            masked[t] = torch.where(masks[p], fill, masked[t])
            delta[p] = (self._relevance(masked) - self.relevance).abs().sum()
            if progress:
                progress(1)
        return delta, 0.0


def patch_boxes(height, width, patch, device=None):
    """The patches of a frame, row by row: boxes (rows*columns, 4) top, bottom, left, right, and (rows, columns)."""
    tops = torch.arange(0, height, patch, device=device)
    lefts = torch.arange(0, width, patch, device=device)
    top, left = (edge.flatten() for edge in torch.meshgrid(tops, lefts, indexing="ij"))
    boxes = torch.stack([top, (top + patch).clamp(max=height), left, (left + patch).clamp(max=width)], 1)
    return boxes, (len(tops), len(lefts))


def min_max(values, complaint):
    """Values scaled to 0..1, all 0 with a warning where they do not vary."""
    low, high = values.min(), values.max()
    if high == low:
        warnings.warn(complaint, stacklevel=3)
        return torch.zeros_like(values)
    return (values - low) / (high - low)
