"""What many clips have in common: when the saliency falls in time, and which features are used most often.

    seen = OverClips("gradient")
    for result in results:                     # one clip in memory at a time
        seen.add_frames(result)
    seen.profiles()                            # a profile in time per true class, right and wrong predictions apart
    seen.features()                            # the features used most often, and where their value is highest
"""

from typing import Any

import numpy as np

from saliency.results.averages import Groups, summarise, units_of
from saliency.results.clip import ClipResult

BINS = 20  # steps of relative time, if the clips have different lengths
TOP = 10  # a clip uses the features with so many of its largest sums
SHOWN = 8  # features
EXAMPLES = 3  # clips per feature


class OverClips:
    """Collects the clips of a run: the share of saliency in each of their frames, and three numbers per feature.

    method, feature_method: names of the maps to read; without a name, the first map of the first clip is read. Clips
    without the map are left out. So are clips where the map of `method` is 0 everywhere; `left_out` counts both kinds
    for `method`. groups: of the clips by their name, see saliency.results.averages.
    """

    def __init__(self, method: str | None = None, feature_method: str | None = None, groups: Groups | None = None):
        self.method, self.feature_method, self.groups = method, feature_method, groups or {}
        self.shares: dict[tuple[str, str, str], list] = {}  # {(label, predicted or "", verdict): [(group, (T,))]}
        self.left_out = 0
        self.names: list[str] = []  # of the clips with features
        self.sums: list[np.ndarray] = []  # of |map| over time, (D,) per clip
        self.highest: list[np.ndarray] = []  # values of the features, (D,) per clip
        self.places: list[np.ndarray] = []  # frames of these values, from 0, (D,) per clip

    def add_frames(self, result: ClipResult) -> None:
        """Add the profile of a clip: the share of the sum of |map| (T, H, W) in each frame."""
        self.method = self.method or next(iter(result.maps), None)
        totals = _totals(result.maps[self.method], (1, 2)) if self.method in result.maps else np.zeros(1)
        if not totals.sum():
            self.left_out += 1
            return
        label, predicted, name = (result.facts[fact] for fact in ("label", "predicted", "clip"))
        verdict = "" if not label else "right" if label == predicted else "wrong"
        key = (label, "" if label else predicted, verdict)
        self.shares.setdefault(key, []).append((self.groups.get(name, name), totals / totals.sum()))

    def add_features(self, name: str, result: ClipResult) -> None:
        """Add the features (T, D) of a clip and their map."""
        self.feature_method = self.feature_method or next(iter(result.maps), None)
        if self.feature_method not in result.maps:
            return
        values = np.where(np.isfinite(result.features), result.features, -np.inf)
        self.names.append(name)
        self.sums.append(_totals(result.maps[self.feature_method], 0))
        self.highest.append(values.max(0))
        self.places.append(values.argmax(0))

    def profiles(self) -> dict[str, Any]:
        """Return the mean profile of the clips of each class, with 95 % intervals (results.averages.summarise).

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
        if not self.names:
            return None
        sums, highest = np.stack(self.sums), np.stack(self.highest)  # (clips, D)
        shares = (sums / np.maximum(sums.sum(1, keepdims=True), np.finfo(float).tiny)).mean(0)  # (D,)
        uses, rows = np.zeros(sums.shape[1], int), np.arange(len(sums))[:, None]
        first = np.argsort(-sums, 1, kind="stable")[:, :TOP]  # (clips, TOP)
        np.add.at(uses, first[sums[rows, first] > 0], 1)
        order = [place for place in np.lexsort((-shares, -uses))[:SHOWN] if uses[place]]
        return {"method": self.feature_method, "clips": len(sums), "count": len(uses), "top": TOP,
                "features": [{"feature": int(place), "clips": int(uses[place]), "share": float(shares[place]),
                              "examples": self._examples(place, highest[:, place])} for place in order]}

    def _examples(self, place: int, values: np.ndarray) -> list[dict[str, Any]]:
        """Return the clips and frames in which a feature has its highest values; values (clips,)."""
        best = np.argsort(-values, kind="stable")[:EXAMPLES]
        return [{"clip": self.names[clip], "frame": int(self.places[clip][place]) + 1, "value": float(values[clip])}
                for clip in best if np.isfinite(values[clip])]


def relative_profile(shares: np.ndarray, bins: int) -> np.ndarray:
    """Return the shares (T,) of the frames as the shares of equal bins of relative time (bins,), with the same sum.

    A frame that lies in several bins is divided in proportion to its overlap with them.
    """
    total = np.concatenate([[0], np.cumsum(shares)])  # up to the beginning of each frame, and to the end
    return np.diff(np.interp(np.linspace(0, 1, bins + 1), np.linspace(0, 1, len(shares) + 1), total))


def _totals(values: np.ndarray, axes: int | tuple[int, ...]) -> np.ndarray:
    """Return the sum of |values| over axes; values that are not finite count as 0."""
    return np.nan_to_num(np.abs(values), posinf=0).sum(axes, dtype=np.float64)
