"""What many clips have in common: when the saliency falls in time, and which features are used most often.

    seen = OverClips("gradient")
    for result in results:                     # one clip in memory at a time
        seen.add_frames(result)
    seen.profiles()                            # a profile in time per true class, right and wrong predictions apart
    seen.features()                            # the features used most often, and where their value is highest
"""

from typing import Any

import numpy as np

from saliency.averages import Groups, summarise, units_of
from saliency.result import ClipResult

BINS = 20  # steps of relative time, if the clips have different lengths
TOP = 10  # a clip uses the features with so many of its largest sums
SHOWN = 8  # features
EXAMPLES = 3  # clips per feature


class OverClips:
    """Sums over clips. They hold T numbers and a name per clip, and 3 EXAMPLES + 2 numbers per feature of the run.

    method, feature_method: names of the maps to read. If a name is None, or the first clip has no such map, the first
    map of the first clip is read. Clips without the map are left out. So are clips where the map of `method` is 0
    everywhere; `left_out` counts both kinds for `method`. groups: of the clips by their name, see saliency.averages.
    """

    def __init__(self, method: str | None = None, feature_method: str | None = None, groups: Groups | None = None):
        self.method, self.feature_method, self.groups = method, feature_method, groups or {}
        self.shares: dict[tuple[str, str, str], list] = {}  # {(label, predicted or "", verdict): [(group, (T,))]}
        self.left_out = 0
        self.count = 0  # clips with features
        self.names: list[str] = []  # of the clips with features

    def add_frames(self, result: ClipResult) -> None:
        """Add the profile of a clip: the share of the sum of |map| (T, H, W) in each frame."""
        self.method = self.method if self.method in result.maps or self.shares else next(iter(result.maps), None)
        totals = _totals(result.maps[self.method], (1, 2)) if self.method in result.maps else np.zeros(1)
        if not totals.sum():
            self.left_out += 1
            return
        label, predicted = (str(result.facts.get(name, "")) for name in ("label", "predicted"))
        verdict = "" if not label else "right" if label == predicted else "wrong"
        key = (label, "" if label else predicted, verdict)
        name = str(result.facts.get("clip", f"clip {sum(map(len, self.shares.values()))}"))
        self.shares.setdefault(key, []).append((self.groups.get(name, name), totals / totals.sum()))

    def add_features(self, name: str, result: ClipResult) -> None:
        """Add the features (T, D) of a clip and their map. Clips with another number of features are left out."""
        maps, values = result.maps, result.features
        if not self.count:
            self.feature_method = self.feature_method if self.feature_method in maps else next(iter(maps), None)
        if self.feature_method not in maps or values is None or (self.count and values.shape[1] != len(self.uses)):
            return
        if not self.count:
            self.uses, self.share = np.zeros(values.shape[1], int), np.zeros(values.shape[1])
            self.best = np.full((EXAMPLES, values.shape[1]), -np.inf)  # the highest values, one per clip
            self.where = np.zeros((2, EXAMPLES, values.shape[1]), int)  # their clips and frames
        totals = _totals(maps[self.feature_method], 0)  # (D,)
        if totals.sum():
            self.share += totals / totals.sum()
        first = np.argsort(-totals, kind="stable")[:TOP]
        self.uses[first[totals[first] > 0]] += 1
        self._keep_highest(np.where(np.isfinite(values), values, -np.inf))
        self.names.append(name)
        self.count += 1

    def _keep_highest(self, values: np.ndarray) -> None:
        """Keep the clips where each feature is highest; values (T, D): those of the next clip."""
        frames = values.argmax(0)
        new = np.array([np.full_like(frames, self.count), frames])[:, None]  # (2, 1, D)
        best = np.concatenate([self.best, values.max(0)[None]])  # (EXAMPLES + 1, D)
        where = np.concatenate([self.where, new], 1)
        order = np.argsort(-best, axis=0, kind="stable")[:EXAMPLES]
        self.best = np.take_along_axis(best, order, 0)
        self.where = np.take_along_axis(where, order[None], 1)

    def profiles(self) -> dict[str, Any]:
        """Return the mean profile of the clips of each class, with 95 % intervals (saliency.averages.summarise).

        Returns {"method", "relative": whether time is relative, "left_out": clips, "units": what the intervals take as
        independent, "groups": [{"label", "predicted", "verdict": "right", "wrong" or "" without a label, "n", "mean",
        "low", "high"}]}. The last three have a share of the saliency per frame; if lengths differ, per bin of BINS bins
        from the start of the clip to its end. Intervals of few people or videos are NaN.
        """
        relative = len({len(each) for shares in self.shares.values() for _, each in shares}) > 1
        groups = []
        for (label, predicted, verdict), shares in sorted(self.shares.items()):
            rows = [relative_profile(each, BINS) if relative else each for _, each in shares]
            steps = summarise([dict(enumerate(row)) for row in rows], [group for group, _ in shares]).values()
            groups.append({"label": label, "predicted": predicted, "verdict": verdict, "n": len(rows)}
                          | {key: [step[key] for step in steps] for key in ("mean", "low", "high")})
        return {"method": self.method, "relative": relative, "left_out": self.left_out,
                "units": units_of(self.groups), "groups": groups}

    def features(self) -> dict[str, Any] | None:
        """Return the features used most often, or None without clips that have features.

        Returns {"method", "clips": number of clips, "count": number of features, "top": TOP, "features": [{"feature",
        "clips": number of clips in which it is among the TOP features with the largest sums of |map| over time,
        "share": of the sum over all features, mean over clips, "examples": [{"clip", "frame" from 1, "value"}], the
        highest values, at most one per clip}]}.
        """
        if not self.count:
            return None
        order = np.lexsort((-self.share, -self.uses))[:SHOWN]
        return {"method": self.feature_method, "clips": self.count, "count": len(self.uses), "top": TOP,
                "features": [{"feature": int(place), "clips": int(self.uses[place]),
                              "share": float(self.share[place] / self.count), "examples": self._examples(place)}
                             for place in order if self.uses[place]]}

    def _examples(self, place: int) -> list[dict[str, Any]]:
        """Return the clips and frames in which a feature has its highest values."""
        found = zip(self.best[:, place], *self.where[:, :, place], strict=True)
        return [{"clip": self.names[clip], "frame": int(frame) + 1, "value": float(value)}
                for value, clip, frame in found if np.isfinite(value)]


def relative_profile(shares: np.ndarray, bins: int) -> np.ndarray:
    """Return the shares (T,) of the frames as the shares of equal bins of relative time (bins,), with the same sum.

    A frame that lies in several bins is divided in proportion to its overlap with them.
    """
    total = np.concatenate([[0], np.cumsum(shares)])  # up to the beginning of each frame, and to the end
    return np.diff(np.interp(np.linspace(0, 1, bins + 1), np.linspace(0, 1, len(shares) + 1), total))


def _totals(values: np.ndarray, axes: int | tuple[int, ...]) -> np.ndarray:
    """Return the sum of |values| over axes; values that are not finite count as 0."""
    return np.nan_to_num(np.abs(values), posinf=0).sum(axes, dtype=np.float64)
