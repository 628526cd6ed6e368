"""The drop of the score when a part of the clip is replaced by the background (Zeiler and Fergus 2014).

These methods encode each frame by itself and run only the head on the changed sequences. The background is the median
over the clip of each pixel, or of each feature.
"""

import torch
from torch import nn

from saliency.attribution import Attribution
from saliency.fills import background
from saliency.gradient import encode_frames, score_of, untouched
from saliency.methods.gradient import clip_features
from saliency.tsr.patches import patch_boxes


@torch.no_grad()
def occlusion_frame(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> Attribution:
    """Compute the drop of the score for each replaced frame, from T + 1 encoded frames and T + 1 passes of the head."""
    with untouched(model):
        features = encode_frames(model, clip)  # (T, D)
        empty = encode_frames(model, background(clip)[None])  # (1, D)
        replaced = features.repeat(len(clip), 1, 1)  # (T, T, D)
        replaced[torch.arange(len(clip)), torch.arange(len(clip))] = empty
        drop = score_of(model, features[None], target, score) - score_of(model, replaced, target, score)  # (T,)
    evidence = drop[:, None, None].expand(-1, *clip.shape[-2:]).clone()
    return Attribution(evidence.clamp_min(0), evidence)


@torch.no_grad()
def occlusion_block(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit", frames: int = 5,
                    pixels: int = 20) -> Attribution:
    """Compute the drop of the score for each replaced block of `frames` frames and `pixels` x `pixels` pixels.

    Blocks do not overlap, and blocks at the far edges may be smaller. Each frame with a replaced box is encoded once.
    """
    boxes, _ = patch_boxes(*clip.shape[-2:], pixels, clip.device)
    empty = background(clip)
    evidence = clip.new_zeros(len(clip), *clip.shape[-2:])
    starts = range(0, len(clip), frames)
    with untouched(model):
        features = encode_frames(model, clip)
        whole = score_of(model, features[None], target, score)
        for top, bottom, left, right in boxes.tolist():
            masked = clip.clone()
            masked[:, :, top:bottom, left:right] = empty[:, top:bottom, left:right]
            masked_features = encode_frames(model, masked)
            sequences = features.repeat(len(starts), 1, 1)
            for row, start in enumerate(starts):
                sequences[row, start:start + frames] = masked_features[start:start + frames]
            drop = whole - score_of(model, sequences, target, score)
            evidence[:, top:bottom, left:right] = drop.repeat_interleave(frames)[:len(clip), None, None]
    return Attribution(evidence.clamp_min(0), evidence)


@torch.no_grad()
def feature_occlusion(model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit") -> Attribution:
    """Compute the drop of the score for each replaced feature of each frame, (T, D), signed."""
    features = clip_features(model, clip)
    empty = background(features)  # (D,)
    with untouched(model):
        whole = score_of(model, features[None], target, score)
        result = torch.empty_like(features)
        for t in range(len(features)):
            sequences = features.repeat(features.shape[1], 1, 1)  # (D, T, D)
            sequences[:, t].diagonal().copy_(empty)  # sequence d has feature d replaced
            result[t] = whole - score_of(model, sequences, target, score)
    return Attribution(result)
