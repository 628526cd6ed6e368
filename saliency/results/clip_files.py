"""Write all files of one clip, from what a model's process has computed. No model is needed any more.

    finish = partial(write_frames, result=result, titles=[title], look=FrameLook("gradient"))
    finish(folder)                              # in this process, or in another one that got `finish` by pickle

What needs no model is computed here too: the optical flow and the metrics.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from runtime.files import write_json
from saliency.drawing import FrameLook, VideoWriter, draw_features, draw_frames
from saliency.explain import measure
from saliency.flow import optical_flow
from saliency.metrics import profile_metrics
from saliency.results.clip import ClipResult
from saliency.when.decision import Decision


def write_frames(folder: Path, *, result: ClipResult, titles: Sequence[str] = (), look: FrameLook | None = None,
                 reference: Mapping | None = None, rows: Mapping[str, Mapping] | None = None,
                 tests: Sequence[Mapping[str, Mapping]] = (), decision: Decision | None = None,
                 attention: np.ndarray | None = None, write_video: VideoWriter | None = None) -> None:
    """Write saliency.npz, metrics.json and the pictures of saliency of frames into an empty folder.

    result: without its optical flow. titles: one for each explained class. look: of the pictures; None for no pictures.
    reference: further keyword arguments of saliency.explain.measure. rows: {name: metrics} beside those of the methods.
    tests: further metrics of the methods, {method: metrics} each. The other arguments are those of
    saliency.drawing.draw_frames.
    """
    flow = optical_flow(result.frames)
    for each in (result, *result.others):
        each.flow = flow
    measured = measure(result.maps, result.frames, flow, facts=result.facts, **(reference or {})) | (rows or {})
    for test in tests:
        measured = {name: row | test.get(name, {}) for name, row in measured.items()}
    result.write(folder / "saliency.npz")
    write_json(folder / "metrics.json", measured)
    if look:
        draw_frames(result, titles[0], folder, look, decision, attention, write_video, titles[1:])


def write_features(folder: Path, *, result: ClipResult, title: str, method: str, kind: str, frames: np.ndarray) -> None:
    """Write saliency.npz, metrics.json and the pictures of saliency of features into an empty folder.

    method: whose map is measured and drawn. kind: format of the pictures. frames (T, H, W) uint8: of the clip.
    """
    flow_total = optical_flow(frames).sum((1, 2))  # (T - 1,)
    result.write(folder / "saliency.npz")
    totals = np.abs(result.maps[method]).sum(1)  # (T,)
    write_json(folder / "metrics.json", profile_metrics(totals, flow_total))
    draw_features(result, title, folder, method, kind, flow_total)
