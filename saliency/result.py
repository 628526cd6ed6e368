"""The result of one clip: the one module that writes and reads saliency.npz, and writes figures.

    ClipResult(facts, frames=frames, flow=flow, maps=maps).write(folder / "saliency.npz")
    result = ClipResult.read(folder / "saliency.npz")

Keys of the file:

    frames (T, H, W) uint8, features (T, D)   what was explained: pixels or features
    flow (T-1, H, W)                          optical flow in pixels per frame
    NAME                                      a map per method; the key `maps` lists their names
    evidence_NAME                             its signed map, positive where the input raises the score
    time_delta (T,), time_contribution (T,), patch_delta (T, rows, columns)       of TSR
    clip, label, predicted, target, score, probability, METHOD_FACT               one value each

Files without the key `maps` are of earlier versions; their maps are recognised by their shapes.
"""

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from matplotlib.figure import Figure

from runtime.files import whole_file
from saliency.figures import encode_figure

MAPS, EVIDENCE, CONTRIBUTION = "maps", "evidence_", "time_contribution"
ARRAYS = ("time_delta", CONTRIBUTION, "patch_delta")
UNREADABLE = (OSError, ValueError, KeyError, EOFError, AttributeError, BadZipFile, zlib.error)


@dataclass
class ClipResult:
    """All that is known about one explained clip. Exactly one of `frames` and `features` is not None.

    facts: {name: text or number}. maps: {method: array}. evidence: {method: signed array}. arrays: {name: array}, see
    the docstring of this module.
    """

    facts: dict[str, str | float]
    frames: np.ndarray | None = None
    features: np.ndarray | None = None
    flow: np.ndarray | None = None
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    evidence: dict[str, np.ndarray] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def time_contribution(self) -> np.ndarray | None:
        """TSR's contribution of each frame, (T,) in 0..1, or None."""
        return self.arrays.get(CONTRIBUTION)

    def write(self, path: Path) -> None:
        """Write saliency.npz."""
        explained = {name: getattr(self, name) for name in ("frames", "features", "flow")}
        np.savez_compressed(
            path, **{name: values for name, values in explained.items() if values is not None}, **self.maps,
            **{EVIDENCE + name: values for name, values in self.evidence.items()}, **self.arrays, **self.facts,
            **{MAPS: np.array(list(self.maps), dtype=str)},
        )

    @classmethod
    def read(cls, path: Path) -> "ClipResult":
        """Read saliency.npz. ValueError, with the reason, if the file is damaged or holds something else."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                content = {name: archive[name] for name in archive.files}
        except UNREADABLE as error:
            raise ValueError(f"{path} cannot be read ({error}); compute it again") from error
        explained = {name: content.pop(name, None) for name in ("frames", "features", "flow")}
        length = _length(path, **explained)
        facts = {name: content.pop(name) for name in list(content) if content[name].ndim == 0}
        evidence = {name.removeprefix(EVIDENCE): content.pop(name) for name in list(content)
                    if name.startswith(EVIDENCE)}
        arrays = {name: content.pop(name) for name in ARRAYS if name in content}
        names = content.pop(MAPS, np.array(list(content))).tolist()
        shape = explained["features" if explained["frames"] is None else "frames"].shape
        maps = {name: content[name] for name in names if name in content and content[name].shape == shape
                and np.issubdtype(content[name].dtype, np.floating)}
        if CONTRIBUTION in arrays and arrays[CONTRIBUTION].shape != (length,):
            del arrays[CONTRIBUTION]
        values = {name: float(value) if value.dtype.kind in "fiu" else str(value) for name, value in facts.items()}
        return cls(values, **explained, maps=maps, evidence=evidence, arrays=arrays)


def _length(path, frames, features, flow):
    """Return the number of frames. ValueError if the arrays do not have the shapes of a result."""
    if frames is not None:
        if frames.ndim != 3 or frames.dtype != np.uint8 or not frames.size:
            raise ValueError(f"{path}: its frames are {frames.dtype} {frames.shape}, not uint8 (T, H, W); compute it "
                             "again")
        return len(frames)
    if features is None or features.ndim != 2 or not features.size:
        raise ValueError(f"{path} holds neither frames (T, H, W) nor features (T, D); compute it again")
    return len(features)


def facts_of(clip: str, label: str | None, predicted: str, target: str, probability: float,
             score: str) -> dict[str, str | float]:
    """Return the facts that every result states: names of clip and classes, the probability of the explained class."""
    return {"clip": clip, "label": label or "", "predicted": predicted, "target": target, "probability": probability,
            "score": score}


def title_of(facts: dict[str, str | float], highest: float) -> str:
    """Return the title of a clip's figures; `highest` is the probability of the predicted class."""
    return f"{facts['clip']}: {facts['label'] or 'no label'}, predicted {facts['predicted']} ({highest:.2f})"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as .png, .pdf or .svg, chosen by the suffix of the path, whole or not at all."""
    content = encode_figure(figure, Path(path).suffix)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def save_figures(figures: dict[str, Figure], folder: Path, kind: str) -> None:
    """Write each of {name: figure} into a folder, as files of that kind, such as "png"."""
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.{kind}")
