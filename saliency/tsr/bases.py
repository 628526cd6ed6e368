"""The maps that TSR can rescale, its bases: how each is defined, and which variants of a frame its arithmetic encodes.

    base = make_base("integrated_gradients", clip, points=16)
    base.relevance(model, clip, target)           # the map of a clip; the literal loop calls only this

All that a map takes from the clip, such as its background or the spread of the noise, is taken once from the clip that
is explained. It stays the same while frames are masked, so that masking frame t changes x_t alone. The relevance R is
never negative. For the gradients it has a value per pixel and channel,

    R_s = | w(x_s) * mean over a = 1..n of dS/dx_s at variant a of the clip |

with w = 1, x_s or x_s - background. For Grad-CAM and the occlusions it is the map of the method.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import interpolate

from runtime.declare import load
from runtime.errors import UserError
from saliency.fills import background
from saliency.gradient import frame_gradient
from saliency.methods import METHODS
from saliency.methods.grad_cam import as_map, grad_cam, watched
from saliency.methods.integrated_gradients import shares
from saliency.methods.smoothgrad import noises
from saliency.patches import patch_boxes

Encode = Callable[[torch.Tensor], torch.Tensor]  # frames (b, C, H, W) -> features (b, D)


class Recorded(NamedTuple):
    """Frames that were encoded with gradients.

    features (b, D). source: the tensor whose gradient is taken. to_map: turns the gradient of the source into the map
    before its sign is dropped (b, *shape), which is linear in the gradient of the features.
    """

    features: torch.Tensor
    source: torch.Tensor
    to_map: Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class GradientBase:
    """Gradients at the variants anchor + share * (x - anchor) + noise, times x - origin; `count` of them per frame.

    shares: one number per variant. anchor (C, H, W), or None for x itself. noise: one (T, C, H, W) per variant, or
    None. origin (C, H, W), or None for a factor of 1.
    """

    shares: tuple[float, ...] = (1.0,)
    anchor: torch.Tensor | None = None
    noise: tuple[torch.Tensor, ...] | None = None
    origin: torch.Tensor | None = None
    name: str = "gradient"
    whole_maps = False  # whether `change` needs maps with all their pixels

    @property
    def count(self) -> int:
        """The number of variants of a frame."""
        return len(self.shares)

    def variant(self, frames: torch.Tensor, times: torch.Tensor | list[int], place: int) -> torch.Tensor:
        """Return variant number `place` of frames (b, C, H, W) that stand at `times` (b,) in the clip."""
        if self.anchor is not None:
            return self.anchor + self.shares[place] * (frames - self.anchor)
        return frames if self.noise is None else frames + self.noise[place][times]

    def relevance(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> torch.Tensor:
        """Return R of a clip by its definition, (T, C, H, W): one gradient of the whole clip per variant."""
        total = torch.zeros_like(clip)
        for place in range(self.count):
            total += frame_gradient(model, self.variant(clip, list(range(len(clip))), place), target, score)
        return self.weighted(total, clip).abs()

    def passes(self, length: int) -> tuple[int, int]:
        """Return how many frames `relevance` sends through the encoder, forward and backward."""
        return self.count * length, self.count * length

    def record(self, model: nn.Module, encode: Encode, frames: torch.Tensor) -> Recorded:
        """Encode frames (b, C, H, W) with gradients."""
        frames.requires_grad_(True)
        return Recorded(encode(frames), frames, lambda gradient: gradient)

    def weighted(self, total: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Return the signed map (..., b, C, H, W) of frames (b, C, H, W), given the sum of the variants' gradients."""
        mean = total if self.count == 1 else total / self.count
        return mean if self.origin is None else mean * (frames - self.origin)

    def change(self, after: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Return the summed change of R from one signed map to another, (n, ...) and (n or 1, ...) -> (n,).

        `after` is overwritten.
        """
        return torch.linalg.vector_norm(after.abs_().sub_(before.abs()), 1, dim=tuple(range(1, after.ndim)))


@dataclass(frozen=True)
class GradCamBase:
    """Grad-CAM of a layer. Its signed map, before the ReLU, is linear in the gradients of the features.

    layer: name of the module, None for the default of saliency.methods.grad_cam. size (H, W): of the clip.
    """

    size: tuple[int, int]
    layer: str | None = None
    name: str = "grad_cam"
    count = 1
    whole_maps = True

    def variant(self, frames: torch.Tensor, times: torch.Tensor | list[int], place: int) -> torch.Tensor:
        """Return the frames (b, C, H, W): they are their only variant."""
        return frames

    def relevance(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> torch.Tensor:
        """Return R of a clip by its definition, the map of the method (T, H, W)."""
        return grad_cam(model, clip, target, score, self.layer).map

    def passes(self, length: int) -> tuple[int, int]:
        """Return how many frames `relevance` sends through the encoder, forward and backward."""
        return length, length

    def record(self, model: nn.Module, encode: Encode, frames: torch.Tensor) -> Recorded:
        """Encode frames (b, C, H, W) with gradients. The maps are those of the layer, (b, h, w)."""
        with watched(model, len(frames), self.layer, filled=True) as seen:
            features = encode(frames.requires_grad_(True))
        module, count = seen.source, len(frames)
        maps = as_map(module, seen.feature_map[:count].detach()).to(frames)  # (b, K, h, w)

        def to_map(gradient: torch.Tensor) -> torch.Tensor:
            slopes = as_map(module, gradient[:count]).to(maps).mean((2, 3), keepdim=True)  # (b, K, 1, 1)
            return (slopes * maps).sum(1)

        return Recorded(features, seen.feature_map, to_map)

    def weighted(self, total: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Return the signed map in units in which its magnitude sums to at least that of the enlarged map."""
        return total * self._pixels(total)

    def change(self, after: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Return the summed change of R from one signed map to another, (n, h, w) and (n or 1, h, w) -> (n,)."""
        pixels = self._pixels(after)
        enlarged_maps = [interpolate((each / pixels).relu()[:, None], self.size, mode="bilinear", align_corners=False)
                         for each in (after, before)]
        return (enlarged_maps[0] - enlarged_maps[1]).abs().sum((1, 2, 3))

    def _pixels(self, maps: torch.Tensor) -> torch.Tensor:
        """Return, for each cell of maps (..., h, w), the sum of the weights that it has in the pixels (h, w)."""
        axes = []
        for cells, pixels in zip(maps.shape[-2:], self.size, strict=True):
            single = torch.eye(cells, dtype=maps.dtype, device=maps.device)[:, None]  # (cells, 1, cells)
            axes.append(interpolate(single, pixels, mode="linear", align_corners=False).sum((1, 2)))
        return axes[0][:, None] * axes[1]


@dataclass(frozen=True)
class OcclusionBase:
    """The drop of the score for each replaced block. Variant 0 of a frame is the frame; the others have a box replaced.

    boxes (n - 1, 4): the boxes of the blocks. frames: their length. baseline (C, H, W): what replaces them. method:
    computes the map of a clip, given that baseline.
    """

    boxes: torch.Tensor
    frames: int
    baseline: torch.Tensor
    method: Callable[..., torch.Tensor]
    name: str

    @property
    def count(self) -> int:
        """The number of variants of a frame."""
        return 1 + len(self.boxes)

    def variant(self, frames: torch.Tensor, times: torch.Tensor | list[int], place: int) -> torch.Tensor:
        """Return variant number `place` of frames (b, C, H, W)."""
        if place == 0:
            return frames
        top, bottom, left, right = self.boxes[place - 1].tolist()
        changed = frames.clone()
        changed[..., top:bottom, left:right] = self.baseline[:, top:bottom, left:right]
        return changed

    def relevance(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> torch.Tensor:
        """Return R of a clip by its definition, the map of the method (T, H, W)."""
        return self.method(model, clip, target, score)

    def passes(self, length: int) -> tuple[int, int]:
        """Return how many frames `relevance` sends through a model of whole clips, forward and backward."""
        return (1 + len(self.boxes) * -(-length // self.frames)) * length, 0


Base = GradientBase | GradCamBase | OcclusionBase


def make_base(name: str | None, clip: torch.Tensor, **options) -> Base:
    """Return the base with a name in BASES for a clip (T, C, H, W); None stands for the gradient.

    options: those of the method of that name. ValueError if there is no such base.
    """
    name = name or "gradient"
    if name not in BASES:
        raise UserError(f"unknown base {name!r}; known are: {', '.join(BASES)}")
    return BASES[name](clip, **options)


def _gradient_x_input(clip):
    return GradientBase(origin=torch.zeros_like(clip[0]), name="gradient_x_input")


def _smoothgrad(clip, **options):
    noise = tuple(noises(clip, **options))
    return GradientBase((1.0,) * len(noise), noise=noise, name="smoothgrad")


def _smoothgrad_x_difference(clip, **options):
    noise = tuple(noises(clip, **options))
    return GradientBase((1.0,) * len(noise), noise=noise, origin=background(clip), name="smoothgrad_x_difference")


def _integrated_gradients(clip, **options):
    empty = background(clip)
    return GradientBase(shares(**options), anchor=empty, origin=empty, name="integrated_gradients")


def _occlusion_frame(clip):
    boxes, _ = patch_boxes(*clip.shape[-2:], max(clip.shape[-2:]), clip.device)
    return _occlusion("occlusion_frame", clip, boxes, 1)


def _occlusion_block(clip, frames=5, pixels=20):
    boxes, _ = patch_boxes(*clip.shape[-2:], pixels, clip.device)
    return _occlusion("occlusion_block", clip, boxes, frames, frames=frames, pixels=pixels)


def _occlusion(name, clip, boxes, length, **options):
    empty, function = background(clip), load(METHODS[name].place)

    def method(model, changed, target, score):
        return function(model, changed, target, score, baseline=empty, **options).map

    return OcclusionBase(boxes, length, empty, method, name)


BASES = {
    "gradient": lambda clip: GradientBase(),
    "gradient_x_input": _gradient_x_input,
    "smoothgrad": _smoothgrad,
    "smoothgrad_x_difference": _smoothgrad_x_difference,
    "integrated_gradients": _integrated_gradients,
    "grad_cam": lambda clip, layer=None: GradCamBase(tuple(clip.shape[-2:]), layer),
    "occlusion_frame": _occlusion_frame,
    "occlusion_block": _occlusion_block,
}
