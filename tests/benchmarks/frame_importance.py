"""How important each frame of a clip is, by methods that read only the features of its frames.

    importance = METHODS["interval"](EncodedClip(model, clip, target))        # (T,), larger means more important

The methods are those of saliency/methods/ with the features of a frame in place of its pixels: gradients are taken with
respect to the features, and the path of integrated gradients and the mask of TSR begin at the features of the
background. They need no pass of the image network, so whole data sets can be explained in seconds.
"""

from collections.abc import Callable
from functools import partial

import torch

from saliency.gradient import head_gradient, untouched
from saliency.mean_gradient import PLAIN, mean_head_gradient
from saliency.methods.freeze import FRAMES, frozen_windows
from saliency.tsr.features import feature_changes
from saliency.when.encoded import EncodedClip
from saliency.when.intervals import intervals, mean_effect
from saliency.when.shapley import frame_values

POINTS = 16  # on the path of integrated gradients
PAIRS = 10  # of random orders, for Shapley values
SEGMENT = 2  # frames that the ends of intervals are multiples of

Importance = Callable[[EncodedClip], torch.Tensor]


def gradient(encoded: EncodedClip) -> torch.Tensor:
    """Return the sum over the features of |dS/df| for each frame, (T,)."""
    with untouched(encoded.model):
        return head_gradient(encoded.model, encoded.features[None], encoded.target, encoded.score)[0].abs().sum(1)


def integrated_gradients(encoded: EncodedClip) -> torch.Tensor:
    """Return the sum over the features of |integrated gradients| from the background for each frame, (T,)."""
    difference = encoded.features - encoded.empty  # (T, D)
    shares = (torch.arange(POINTS, device=difference.device) + 0.5) / POINTS
    path = encoded.empty + shares.to(difference.dtype).view(-1, 1, 1) * difference  # (POINTS, T, D)
    with untouched(encoded.model):
        slopes = head_gradient(encoded.model, path, encoded.target, encoded.score).mean(0)  # (T, D)
    return (slopes * difference).abs().sum(1)


def tsr(encoded: EncodedClip) -> torch.Tensor:
    """Return the summed change of |dS/df| when a frame shows the background, TSR's time delta, (T,)."""
    with untouched(encoded.model):
        relevance = partial(mean_head_gradient, encoded.model, encoded.target, encoded.score, PLAIN)
        return feature_changes(relevance, encoded.features, encoded.empty, encoded.steps, None)


def freeze(encoded: EncodedClip) -> torch.Tensor:
    """Return the magnitude of the mean drop of the score when the clip stands still for FRAMES frames, (T,)."""
    frozen, shown = frozen_windows(len(encoded), FRAMES, encoded.features.device)  # (windows, T)
    drop = encoded.score_of_clip - encoded.explained(encoded.class_scores_of(shown))  # (windows,)
    return ((frozen * drop[:, None]).sum(0) / FRAMES).abs()


def interval(encoded: EncodedClip) -> torch.Tensor:
    """Return the mean magnitude of the effect per frame of all intervals that become background, (T,)."""
    found = intervals(encoded, SEGMENT)
    return mean_effect(found.drop["background"].abs(), found.segment, len(encoded))


def shapley_frame(encoded: EncodedClip) -> torch.Tensor:
    """Return the positive part of the Shapley value of each frame, (T,)."""
    return frame_values(encoded, segment=1, pairs=PAIRS).per_frame(len(encoded)).clamp_min(0)


METHODS: dict[str, Importance] = {
    "gradient": gradient, "integrated_gradients": integrated_gradients, "tsr": tsr, "freeze": freeze,
    "interval": interval, "shapley_frame": shapley_frame,
}
