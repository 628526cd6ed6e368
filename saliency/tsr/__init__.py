"""Temporal saliency rescaling (TSR): the algorithm, and the arithmetic that makes it fast. docs/tsr.md explains both.

    result = temporal_saliency_rescaling(model, clip, target)      # frames and patches
    result = feature_rescaling(model, features, target)            # features between encoder and head
"""

from saliency.tsr.algorithm import Rescaling, temporal_saliency_rescaling
from saliency.tsr.features import FeatureRescaling, feature_rescaling

__all__ = ["FeatureRescaling", "Rescaling", "feature_rescaling", "temporal_saliency_rescaling"]
