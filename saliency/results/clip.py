"""The result of one clip. Only this module writes and reads saliency.npz.

    ClipResult(facts, frames=frames, flow=flow, maps=maps).write(folder / "saliency.npz")
    result = ClipResult.read(folder / "saliency.npz")

Keys of the file:

    frames (T, H, W) uint8, features (T, D)   the explained input: the file has one of them
    flow (T-1, H, W)                          optical flow in pixels per frame
    METHOD                                    the map of a method; the key `maps` lists the methods
    evidence_METHOD                           its signed map, positive where the input raises the score
    time_delta (T,), time_contribution (T,), patch_delta (T, rows, columns)       results of TSR
    tsr_base                                  text: the method that TSR rescales, if it is not the gradient
    shapley, shapley_error (D,)               Shapley values of features over the clip, and standard errors
    clip, label, predicted, target, score, probability, margin, METHOD_FACT       one value each

With several names for --target, for the second, third ... explained class:

    class2_KEY, class3_KEY ...                the maps, signed maps, results of TSR and facts of this class, as above

With --when (saliency/when), for T frames in P groups:

    when_shapley, when_shapley_error (P,)     Shapley values of the groups, in units of the score, and standard errors
    when_kept (P, P)                          share of S(clip) - S(background) that the groups a..b alone keep
    when_lost_CHANGE (P, P)                   share that is lost if groups a..b are changed: background, freeze, reverse
    when_prefix_padded, when_prefix_shorter (T, classes), when_prefix_empty (classes,)      class probabilities
    when_sentences (n,)                       text: what was found, in words
    when_FACT                                 one value each: frames, 1-based, of intervals and decisions
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runtime.arrays import read_npz
from runtime.errors import UserError
from runtime.names import readable
from saliency.scores import hardly_decides

MAPS, EVIDENCE, CONTRIBUTION = "maps", "evidence_", "time_contribution"
WHEN = "when_"  # prefix of the arrays and facts of saliency.when
CLASS = "class{}_"  # prefix of all that belongs to the second explained class, the third, and so on
INPUTS = ("frames", "features", "flow")


@dataclass
class ClipResult:
    """The results for one explained clip. Either `frames` or `features` is None, the other is the explained input.

    facts: {name: text or number}. maps: {method: array}. evidence: {method: signed array}. arrays: {name: array}. The
    docstring of this module lists names and shapes. others: the results for further explained classes of the same clip,
    with the same frames and flow and without others of their own.
    """

    facts: dict[str, str | float]
    frames: np.ndarray | None = None
    features: np.ndarray | None = None
    flow: np.ndarray | None = None
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    evidence: dict[str, np.ndarray] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    others: list["ClipResult"] = field(default_factory=list)

    @property
    def time_contribution(self) -> np.ndarray | None:
        """TSR's time contribution (T,) in 0..1, or None without TSR."""
        return self.arrays.get(CONTRIBUTION)

    def write(self, path: Path) -> None:
        """Write saliency.npz, uncompressed: maps of floating point numbers compress little, and that takes long."""
        content = {name: getattr(self, name) for name in INPUTS if getattr(self, name) is not None} | self._content()
        for number, other in enumerate(self.others, 2):
            content |= {CLASS.format(number) + name: values for name, values in other._content().items()}
        np.savez(path, **content)

    def _content(self) -> dict[str, Any]:
        """Return what saliency.npz holds of the explained class: all but the inputs."""
        evidence = {EVIDENCE + name: values for name, values in self.evidence.items()}
        return self.maps | evidence | self.arrays | self.facts | {MAPS: np.array(list(self.maps), dtype=str)}

    @classmethod
    def read(cls, path: Path, kind: str | None = None) -> "ClipResult":
        """Read saliency.npz. kind: "frames" or "features", the input that the file must have; by default either.

        UserError, with the reason, if the file is damaged or holds something else.
        """
        try:
            content = read_npz(path)
            inputs = {name: content.pop(name, None) for name in INPUTS}
            if MAPS not in content or (kind and inputs[kind] is None):
                raise UserError(f"it holds no maps of {kind or 'a clip'}")
            others = []
            while (prefix := CLASS.format(len(others) + 2)) + MAPS in content:
                own = [name for name in content if name.startswith(prefix)]
                others.append(_parts({name.removeprefix(prefix): content.pop(name) for name in own}))
            parts = _parts(content)
        except (UserError, KeyError) as error:
            raise UserError(f"{path} cannot be read ({error}); compute it again") from error
        return cls(**inputs, **parts, others=[cls(**inputs, **own) for own in others])


def _parts(content: dict[str, np.ndarray]) -> dict[str, dict]:
    """Return the parts of a ClipResult for one explained class; content: what saliency.npz holds of it."""
    maps = {name: content.pop(name) for name in content.pop(MAPS).tolist()}
    evidence = {name.removeprefix(EVIDENCE): content.pop(name) for name in list(content) if name.startswith(EVIDENCE)}
    facts = {name: value.item() for name, value in content.items() if value.ndim == 0}
    return {
        "facts": {name: value if isinstance(value, str) else float(value) for name, value in facts.items()},
        "maps": maps, "evidence": evidence, "arrays": {name: each for name, each in content.items() if each.ndim},
    }


def facts_of(clip: str, label: str | None, predicted: str, target: str, probability: float, score: str,
             margin: float = 1.0) -> dict[str, str | float]:
    """Return the facts that every result has: the names of clip and classes, the explained score and the probability.

    probability: of the explained class `target`, whatever `score` is explained. margin: saliency.scores.margin of all
    probabilities.
    """
    names = {"clip": clip, "label": label or "", "predicted": predicted, "target": target}
    facts = {name: readable(text) for name, text in names.items()}
    return facts | {"probability": probability, "score": score, "margin": margin}


def title_of(facts: dict[str, str | float], highest: float) -> str:
    """Return the title of a clip's figures. highest: probability of the predicted class.

    The title names the true, the predicted and the explained class, and says if the model is wrong or hardly decides.
    """
    label, predicted, target = facts["label"], facts["predicted"], facts["target"]
    doubt = f"; the model hardly decides ({highest:.2f})" if hardly_decides((facts["margin"], 0.0)) else ""
    called = predicted if doubt else f"{predicted} ({highest:.2f})"
    explained = f"explained: {target}" + (f" ({facts['probability']:.2f})" if target != predicted else "")
    text = f"{label or 'no label'}, predicted {called}, {explained}"
    if label not in ("", predicted):
        text = f"labelled {label}, called {called}, {explained}"
    elif target == predicted:
        text = f"{label or 'no label'}, predicted and explained: {called}"
    return f"{facts['clip']}: {text}{doubt}"


def rescaled_name(base: str | None) -> str:
    """Return the name of a map of TSR: "TSR" over the gradient, or "TSR of BASE"."""
    return f"TSR of {base.replace('_', ' ')}" if base else "TSR"
