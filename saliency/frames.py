"""All that frame_saliency.py computes for one clip: maps of each explained class, the decision, and tests of the maps.

    found = explain_frames(model, seen, pictures, names, Plan(["gradient"]))
    write_frames(folder, look=FrameLook("gradient"), **found)           # saliency/results/clip_files.py
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from torch import nn
from tqdm import tqdm

from model.prediction import Prediction, with_known_features
from runtime.names import readable
from saliency import deletion, robustness
from saliency.explain import Explanation, baseline_maps, explain
from saliency.results.clip import ClipResult, facts_of, title_of
from saliency.results.run import DECISION
from saliency.scores import margin
from saliency.when import Decision, decide


@dataclass(frozen=True)
class Plan:
    """The methods, tests and settings of a run. They are the same for all its clips.

    methods, score, smooth, seed, options: arguments of saliency.explain.explain. when: keyword arguments of
    saliency.when.decide, None to leave the decision out. deletion: compute deletion curves. signed: those of the
    evidence. noisy: noisy clips that are explained to test robustness, 0 for none. patch: side in pixels of the patches
    of both tests.
    """

    methods: list[str]
    score: str = "logit"
    smooth: float = 0.0
    seed: int = 0
    options: dict[str, dict] = field(default_factory=dict)
    when: dict[str, Any] | None = None
    deletion: bool = False
    signed: bool = False
    noisy: int = 0
    patch: int = 10

    def explain(self, model: nn.Module, clip: Any, target: int) -> Explanation:
        """Explain class `target` of a normalised clip (T, C, H, W) with the methods of this plan."""
        return explain(model, clip, target, self.methods, self.score, self.smooth, self.options, seed=self.seed)


class Names(NamedTuple):
    """The names that results have: of the clip, of its true class if it is known, and of the classes of the scores.

    times: facts about a clip of a video: its frames_per_second, and video_frame, the index of its first frame.
    """

    clip: str
    label: str | None
    classes: Sequence[str]
    times: Mapping[str, float] = MappingProxyType({})


def explain_frames(model: nn.Module, seen: Prediction, pictures: np.ndarray, names: Names,
                   plan: Plan) -> dict[str, Any]:
    """Return the result, titles, rows, tests and decision of a clip, arguments of saliency.results.clip_files.

    pictures (T, H, W) uint8: the grey frames. The prediction `seen` says which classes are explained.
    """
    began = time.monotonic()
    (result, found), *others = [_explain_class(model, seen, pictures, names, plan, target) for target in seen.targets]
    seconds = (time.monotonic() - began) / len(seen.targets)
    result.others = [other for other, _ in others]
    decision, rows = None, {}
    if plan.when is not None:
        decision, rows = _explain_decision(model, seen, result, names, plan)
    return {"result": result, "rows": rows, "decision": decision,
            "titles": [title_of(each.facts, seen.probabilities.max()) for each in (result, *result.others)],
            "tests": _put_to_test(model, seen, result, found, plan, seconds)}


def _explain_class(model: nn.Module, seen: Prediction, pictures: np.ndarray, names: Names, plan: Plan,
                   target: int) -> tuple[ClipResult, Explanation]:
    """Return the result of one explained class, whose index is `target`, and its Explanation."""
    found = plan.explain(model, seen.tensor, target)
    facts = facts_of(names.clip, names.label, seen.predicted, names.classes[target],
                     float(seen.probabilities[target]), plan.score, margin(seen.probabilities))
    return ClipResult(found.facts | facts | dict(names.times), frames=pictures, maps=found.maps, arrays=found.arrays,
                      evidence=found.evidence), found


def _explain_decision(model: nn.Module, seen: Prediction, result: ClipResult, names: Names,
                      plan: Plan) -> tuple[Decision, dict[str, dict[str, float]]]:
    """Return which frames caused the decision, and its row for metrics.json; add the decision to the result."""
    decision = decide(with_known_features(model, seen), seen.tensor, seen.target, plan.score, **plan.when)
    result.facts |= decision.facts()
    result.arrays |= decision.arrays(list(map(readable, names.classes)), result.facts["label"])
    profiles = {name: values.sum((1, 2)) for name, values in result.maps.items() if name != "shapley_frame"}
    if result.time_contribution is not None:
        profiles["tsr"] = result.time_contribution
    return decision, {DECISION: decision.metrics(profiles)}


def _put_to_test(model: nn.Module, seen: Prediction, result: ClipResult, found: Explanation, plan: Plan,
                 seconds: float) -> list[dict[str, dict[str, float]]]:
    """Return what deletion and noise say of the maps, {method: metrics} each; seconds: what `explain` took."""
    if not (plan.deletion or plan.noisy):
        return []
    baselines = baseline_maps(result.frames, smooth=plan.smooth, seed=plan.seed)
    difference = {"frame_difference": baselines["frame_difference"]}
    tests, explained = [], (model, seen.tensor, seen.target)
    if plan.deletion:
        positive = {name: np.maximum(values, 0) for name, values in found.evidence.items()} if plan.signed else {}
        ordered = found.maps | positive | difference
        tests.append(deletion.deletion_metrics(*explained, ordered, plan.patch, seed=plan.seed))
    if plan.noisy:
        tqdm.write(f"--robustness explains the clip {plan.noisy} more times: about {plan.noisy * seconds:.0f} seconds")

        def again(clip):
            return plan.explain(model, clip, seen.target).maps

        tests.append(robustness.robustness_metrics(
            *explained, found.maps | difference | {"random": baselines["random"]}, found.evidence, again, plan.score,
            plan.patch, plan.noisy, plan.seed))
    return tests
