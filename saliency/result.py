"""The result of one clip. Only this module writes and reads saliency.npz; it also writes figures.

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

Files that earlier versions wrote have no key `maps`; their maps are recognised by shape and type.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from runtime.arrays import read_npz
from runtime.errors import UserError
from runtime.files import whole_file
from runtime.names import readable
from saliency.figures import encode_figure
from saliency.scores import hardly_decides

MAPS, EVIDENCE, CONTRIBUTION = "maps", "evidence_", "time_contribution"
WHEN = "when_"  # prefix of the arrays and facts of saliency.when
CLASS = "class{}_"  # prefix of all that belongs to the second explained class, the third, and so on
ARRAYS = ("time_delta", CONTRIBUTION, "patch_delta", "shapley", "shapley_error")
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
    def read(cls, path: Path) -> "ClipResult":
        """Read saliency.npz. ValueError, with the reason, if the file is damaged or holds something else."""
        try:
            content = read_npz(path)
        except UserError as error:
            raise UserError(f"{path} cannot be read ({error}); compute it again") from error
        inputs = {name: content.pop(name, None) for name in INPUTS}
        shape, others = _input_shape(path, inputs["frames"], inputs["features"]), []
        while further := [name for name in content if name.startswith(CLASS.format(len(others) + 2))]:
            prefix = CLASS.format(len(others) + 2)
            others.append({name.removeprefix(prefix): values for name, values in _take(content, further).items()})
        return cls(**inputs, **_parts(content, shape), others=[cls(**inputs, **_parts(own, shape)) for own in others])


def _parts(content: dict[str, np.ndarray], shape: tuple[int, ...]) -> dict[str, dict]:
    """Return the parts of a ClipResult for one explained class: its facts, maps, evidence and arrays.

    content: what saliency.npz holds, without the inputs. shape: of the explained input, which maps have too.
    """
    facts = _take(content, [name for name, values in content.items() if values.ndim == 0])
    evidence = _take(content, [name for name in content if name.startswith(EVIDENCE)])
    arrays = _take(content, [name for name in content if name in ARRAYS or name.startswith(WHEN)])
    methods = content.pop(MAPS).tolist() if MAPS in content else list(content)
    maps = {name: content[name] for name in methods if name in content and _is_map(content[name], shape)}
    if CONTRIBUTION in arrays and arrays[CONTRIBUTION].shape != shape[:1]:
        del arrays[CONTRIBUTION]
    if not _is_decision(arrays, shape[0]):
        arrays = {name: values for name, values in arrays.items() if not name.startswith(WHEN)}
    return {
        "facts": {name: float(value) if value.dtype.kind in "fiu" else str(value) for name, value in facts.items()},
        "maps": maps, "arrays": arrays,
        "evidence": {name.removeprefix(EVIDENCE): values for name, values in evidence.items()
                     if _is_map(values, shape)},
    }


def _is_map(values: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Return whether an array can be a map of an input of this shape."""
    return values.shape == shape and np.issubdtype(values.dtype, np.floating)


def flow_of_same_frames(path: Path, frames: np.ndarray) -> np.ndarray | None:
    """Return the optical flow (T-1, H, W) in a saliency.npz if it holds exactly these frames (T, H, W), else None."""
    try:
        arrays = read_npz(path, ["frames", "flow"])
    except UserError:
        return None
    flow = arrays["flow"]
    same = flow.shape == (len(frames) - 1, *frames.shape[1:]) and flow.dtype == np.float32
    return flow if same and np.array_equal(arrays["frames"], frames) else None


def _is_decision(arrays: dict[str, np.ndarray], length: int) -> bool:
    """Return whether the arrays that saliency.when makes are there, and have the shapes that the docstring lists."""
    names = "shapley", "shapley_error", "prefix_padded", "prefix_shorter", "prefix_empty", "sentences"
    try:
        values, errors, padded, shorter, empty, sentences = (arrays[WHEN + name] for name in names)
    except KeyError:
        return False
    numbers = (values, errors, padded, shorter, empty)
    return (all(np.issubdtype(each.dtype, np.floating) for each in numbers)
            and values.ndim == 1 and 1 <= len(values) <= length and errors.shape == values.shape
            and empty.ndim == 1 and empty.size > 0 and padded.shape == shorter.shape == (length, len(empty))
            and sentences.ndim == 1 and sentences.dtype.kind == "U")


def _take(content: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
    """Remove the named arrays from `content` and return them."""
    return {name: content.pop(name) for name in names}


def _input_shape(path: Path, frames: np.ndarray | None, features: np.ndarray | None) -> tuple[int, ...]:
    """Return the shape of the explained input, (T, H, W) or (T, D). ValueError if it cannot be one."""
    if frames is not None:
        if frames.ndim != 3 or frames.dtype != np.uint8 or not frames.size:
            raise UserError(f"{path}: its frames are {frames.dtype} {frames.shape}, not uint8 (T, H, W); compute it "
                            "again")
        return frames.shape
    if features is None or features.ndim != 2 or not features.size:
        raise UserError(f"{path} holds neither frames (T, H, W) nor features (T, D); compute it again")
    return features.shape


def facts_of(clip: str, label: str | None, predicted: str, target: str, probability: float, score: str,
             margin: float | None = None) -> dict[str, str | float]:
    """Return the facts that every result has: the names of clip and classes, the explained score and the probability.

    probability: of the explained class `target`, whatever `score` is explained. margin: saliency.scores.margin of all
    probabilities.
    """
    names = {"clip": clip, "label": label or "", "predicted": predicted, "target": target}
    facts = {name: readable(text) for name, text in names.items()} | {"probability": probability, "score": score}
    return facts if margin is None else facts | {"margin": margin}


def title_of(facts: dict[str, str | float], highest: float) -> str:
    """Return the title of a clip's figures. highest: probability of the predicted class.

    The title names the true, the predicted and the explained class, and says if the model is wrong or hardly decides.
    """
    label, predicted, target = facts["label"], facts["predicted"], facts["target"]
    doubt = f"; the model hardly decides ({highest:.2f})" if hardly_decides((facts.get("margin", 1.0), 0.0)) else ""
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


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as .png, .pdf or .svg, by the suffix of the path. A failure leaves an earlier file unchanged."""
    content = encode_figure(figure, Path(path).suffix)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def save_figures(figures: dict[str, Figure], folder: Path, kind: str) -> None:
    """Write each of {name: figure} into a folder, as files of a kind such as "png"."""
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.{kind}")
