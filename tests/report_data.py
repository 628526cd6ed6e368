"""Results of a run as the saliency scripts leave them, made without a network."""

import cv2
import numpy as np

from runtime.files import write_json
from saliency.baselines import centre_map, frame_difference, random_map
from saliency.flow import optical_flow
from saliency.metrics import map_metrics
from saliency.report import write_report
from saliency.results.averages import summarise
from saliency.results.clip import ClipResult, facts_of
from saliency.results.run import summarise_run
from saliency.sanity import COLUMNS

EVIL = "<script>alert(1)</script>"
OPTIONS = {"model": "cnnlstm", "resume_path": "snapshots/kth/best.pth", "dataset": "kth", "subset": "testing",
           "annotation_path": "data/kth/annotation/kth1.json", "video": None, "target": "predicted", "score": "logit",
           "method": "gradient", "tsr": True, "tsr_patch": 10, "tsr_quantile": 0.55, "tsr_fill": "background"}
RECIPE = {"options": OPTIONS, "versions": {"python": "3.11.2", "torch": "2.14.0", "opencv": "5.0.0"},
          "commit": "0111967aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "inputs": {"resume_path": "8f3b", "annotation_path": "11c2"}}


def walk(seed=0, length=8, size=32):
    """Return frames (T, H, W) uint8 of a bright block that walks over noise."""
    frames = np.random.default_rng(seed).normal(110, 4, (length, size, size))
    for t in range(length):
        left = (3 * t + seed) % (size - 8)
        frames[t, size // 4 : 3 * size // 4, left : left + 6] += 90
    return frames.clip(0, 255).astype(np.uint8)


def stand_in_maps(frames, seed=0):
    """Return what frame_saliency.py leaves of a clip, from blurred frame differences instead of a network."""
    random = np.random.default_rng(seed)
    _, height, width = frames.shape
    blurred = np.stack([cv2.GaussianBlur(each, (0, 0), 2) for each in frame_difference(frames)])
    patches = np.stack([cv2.resize(each, (12, 12), interpolation=cv2.INTER_AREA) for each in blurred])
    delta = blurred.sum((1, 2))
    contribution = (delta - delta.min()) / np.ptp(delta)
    tsr = np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_NEAREST) for each in patches])
    return {
        "frames": frames, "flow": optical_flow(frames),
        "gradient": (blurred + 1) * random.gamma(1, 1e-4, frames.shape).astype(np.float32),
        "time_delta": delta, "time_contribution": contribution, "patch_delta": patches,
        "tsr": (tsr / tsr.max() * contribution[:, None, None]).astype(np.float32),
    }


def save_clip(folder, name, arrays, label="walking", predicted="walking", number=0):
    """Write <class>/<clip>/saliency.npz; the folders are named otherwise, as not every name can be one."""
    place = folder / "class" / f"clip{number:03}"
    place.mkdir(parents=True)
    facts = facts_of(name, label, predicted, predicted, 0.5 + 0.5 / (number + 1.5), "logit")
    if "tsr" in arrays:
        facts |= {"tsr_error_bound": 2e-4, "tsr_base": "occlusion_block"}
    parts = {part: {key: arrays[key] for key in keys if key in arrays} for part, keys in (
        ("maps", ("gradient", "tsr")), ("arrays", ("time_delta", "time_contribution", "patch_delta")))}
    ClipResult(facts, frames=arrays["frames"], flow=arrays["flow"], **parts).write(place / "saliency.npz")
    return place / "saliency.npz"


def save_features(path, length, features=500, seed=0):
    """Write saliency.npz of features."""
    path.parent.mkdir(parents=True)
    random = np.random.default_rng(seed)
    gradient = random.normal(size=(length, features)) * random.gamma(0.5, 1, features)
    maps = {"gradient": gradient, "tsr": np.abs(gradient) / np.abs(gradient).max()}
    ClipResult(facts_of("a walk", None, "walking", "walking", 0.9, "logit"), features=gradient, maps=maps,
               arrays={"time_contribution": np.linspace(0, 1, length)}).write(path)


def save_metrics(folder, clips):
    """Write metrics.json of {clip: arrays}, baselines included, and opts.json."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {}
    for number, (name, arrays) in enumerate(clips.items()):
        shape = arrays["frames"].shape
        maps = {"gradient": arrays["gradient"], "tsr": arrays["tsr"], "random": random_map(shape, number),
                "centre": centre_map(shape), "frame_difference": frame_difference(arrays["frames"])}
        rows[name] = {method: map_metrics(values, arrays["flow"]) for method, values in maps.items()}
    head = {name: summarise([{name: 0.5}, {name: 0.7}])[name] for name in COLUMNS}
    content = summarise_run(rows, "gradient", {}, {"random_head": {"gradient": head}, "sentences": [EVIL]})
    write_json(folder / "metrics.json", content)
    write_json(folder / "opts.json", RECIPE)


def make_run(root):
    """Write a page of four clips. Return its path and {clip: arrays}.

    They are plain, wrongly predicted under a name of markup, without TSR, without label.
    """
    folder = root / "frame"
    clips = {name: stand_in_maps(walk(seed), seed) for seed, name in enumerate(["a walk", EVIL, "no tsr", "video"])}
    clips["a walk"]["time_contribution"][1] = np.nan
    save_metrics(folder, clips)
    for name in ("time_delta", "time_contribution", "patch_delta", "tsr"):
        del clips["no tsr"][name]
    labels = [("walking", "walking"), ("running", EVIL), ("running", "running"), ("", "walking")]
    for number, ((name, arrays), (label, predicted)) in enumerate(zip(clips.items(), labels, strict=True)):
        save_clip(folder, name, arrays, label, predicted, number)
    save_features(folder.parent / "features/class/clip000/saliency.npz", 8)
    save_features(folder.parent / "features/class/clip009/saliency.npz", 8)
    rows = [{"time_spearman_flow": 0.4321, "last_quarter_share": 0.5}]
    write_json(folder.parent / "features/metrics.json", {"clips": {"a walk": rows[0]}, "summary": summarise(rows * 2)})
    write_json(folder.parent / "features/opts.json", {"inputs": RECIPE["inputs"]})
    return write_report(folder, folder.parent / "features"), clips
