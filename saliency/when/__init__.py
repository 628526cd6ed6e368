"""When a model decided: which frames caused a class score. Causal answers, from runs of the head alone.

    decision = decide(model, clip, target)
    decision.shapley.values                   # (T,) share of each frame in the score, with decision.shapley.errors
    decision.intervals.sufficient             # (12, 17): these frames alone keep 90 percent of the score
    decision.prefixes.decided                 # 15: from this frame on, the model says what it says in the end
    print("\n".join(decision.sentences(classes)))

Each frame of the clip, and the background, goes through the encoder once. Every question is then a batch of sequences
of these T + 1 features, which only the head reads. An absent frame shows the background: the median over the clip of
each pixel, the scene without the person. The parts can be computed by themselves:

    encoded = EncodedClip(model, clip, target)
    frame_values(encoded, segment=3), intervals(encoded), prefixes(encoded), feature_values(encoded)
"""

from saliency.when.decision import Decision, decide, of_means
from saliency.when.encoded import EncodedClip
from saliency.when.intervals import Intervals, intervals
from saliency.when.prefixes import Prefixes, prefixes
from saliency.when.shapley import Shapley, feature_values, frame_values, shapley_values

__all__ = ["Decision", "EncodedClip", "Intervals", "Prefixes", "Shapley", "decide", "feature_values", "frame_values",
           "intervals", "of_means", "prefixes", "shapley_values"]
