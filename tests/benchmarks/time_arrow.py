"""A known answer for *when*: only some frames run in the direction of time, and everything moves at the same speed.

    python3 -m tests.benchmarks.time_arrow --videos VIDEOS --backbone_weights PATH

The classes are passages of KTH that run forwards and backwards, so no single frame tells them apart. In a test window
the frames a..b run in the direction of the class. Before a and after b the clip rocks back and forth over four frames,
with as many steps forwards as backwards. Each window is used in both directions and both mirror images; people are left
out of training in turn. Training also sees windows that only rock, and windows in which a jump from one place of
rocking to another replaces a..b; for both, either direction is equally probable.

Printed: accuracy on whole clips; controls; and for each profile over time the AUROC of its frames against a..b, in the
first, middle and last position, beside a random head's. The worst position is the figure that matters. `docs/when.md`
has the definition, the results and the pitfalls. What is complete in the work folder is kept.
"""

import argparse
import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from data.video import read_video
from model.backbones import build_backbone
from model.cnn_lstm import build_model
from model.fast.folding import folded
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, normalise
from model.training import target_probabilities
from model.training_windows import UNDECIDED
from runtime.files import write_json
from saliency.gradient import head_gradient
from saliency.metrics import auc
from saliency.results.averages import finite_mean, format_table
from saliency.sanity import randomise
from saliency.when import frame_values, intervals
from saliency.when.intervals import CHANGES, mean_effect
from tests.benchmarks.encoded_features import EncodedFeatures
from tests.benchmarks.kth_videos import KTH, add_video_options, ranges_beside

DURATION, SIZE = 30, 120  # frames of a window, pixels of a side
EVIDENCE = 10  # frames a..b of a test window
POSITIONS = {"first": 0, "middle": 10, "last": 20}  # a, from 0
ROCK = (1, 1, 1, -1, -1, -1)  # steps of a decoy
BATCH, LEARNING_RATE, WEIGHT_DECAY = 32, 1e-3, 1e-3
CONFIDENT = 0.8  # least probability of the true class in windows that count as confident
HEADS = {  # {name: arguments of build_model}
    "lstm": {"head": "lstm"}, "lstm on features": {"head": "lstm", "reads": "features", "pooling": "last"},
    "bilstm": {"head": "bilstm"}, "gru": {"head": "gru"}, "transformer": {"head": "transformer"},
    "tcn": {"head": "tcn"}, "mean": {"head": "mean"},
}


class Passage(NamedTuple):
    """The vectors of a passage, of which every frame shows the person.

    vectors (2, L, P): of the frames and of their mirror images. empty (2, P): of the background of the whole video.
    """

    person: int
    vectors: torch.Tensor
    empty: torch.Tensor


class Window(NamedTuple):
    """A test window. frames (T,): of the passage, from 0. evidence (T,) bool: a..b. label: 0 forwards, 1 backwards."""

    passage: Passage
    view: int
    frames: np.ndarray
    evidence: np.ndarray
    label: int
    position: str

    def vectors(self, frames: np.ndarray | None = None) -> torch.Tensor:
        return self.passage.vectors[self.view, self.frames if frames is None else frames]


def decoy(steps: int, generator: np.random.Generator) -> np.ndarray:
    """Return the steps (n,) of a decoy: rocking with a random phase, and as many steps forwards as backwards.

    An odd number of steps has one more in either direction, with equal probability.
    """
    runs = [np.resize(np.roll(ROCK, phase), steps) for phase in range(len(ROCK))]
    least = min(abs(run.sum()) for run in runs)
    balanced = [run for run in runs if abs(run.sum()) == least]
    return balanced[generator.integers(len(balanced))]


def path(start: int, length: int, generator: np.random.Generator, speed: float = 1,
         duration: int = DURATION) -> np.ndarray:
    """Return the frames (T,) that a window shows, with frame `start` of the window as 0: rocking, a..b, rocking.

    start: a. length: frames a..b, which run forwards. speed: of the decoys, in frames per step.
    """
    before, after = (np.floor(np.cumsum(decoy(n, generator)) * speed).astype(int) if n else np.zeros(0, int)
                     for n in (start, duration - start - length))
    return np.concatenate([before[::-1], np.arange(length), length - 1 + after])


def placed(walk: np.ndarray, frames: int, generator: np.random.Generator) -> np.ndarray | None:
    """Return a path, moved to a random place in a passage of so many frames; None if the passage is too short."""
    room = frames - (walk.max() - walk.min()) - 1
    return None if room < 0 else walk - walk.min() + generator.integers(room + 1)


def backwards(walk: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Return the path with every step turned round, so that a..b show the same frames in the other order."""
    return walk[evidence].min() + walk[evidence].max() - walk


def test_windows(passages: list[Passage], most: int, seed: int = 0, length: int = EVIDENCE,
                 speed: float = 1) -> Iterator[Window]:
    """Yield the test windows of a person: at most `most` in each position, in both directions and mirror images."""
    for position, start in POSITIONS.items():
        generator, count = np.random.default_rng(seed), 0
        start = round(start * (DURATION - length) / (DURATION - EVIDENCE))
        evidence = (np.arange(DURATION) >= start) & (np.arange(DURATION) < start + length)
        for passage in passages:
            margin = round(3 * max(speed, 1))  # frames on either side for the way back, and for controls
            walk = placed(path(start, length, generator, speed), passage.vectors.shape[1] - 2 * margin, generator)
            if walk is None or count >= most:
                continue
            walk, count = walk + margin, count + 4
            for view in (0, 1):
                yield Window(passage, view, walk, evidence, 0, position)
                yield Window(passage, view, backwards(walk, evidence), evidence, 1, position)


def training_window(passage: Passage, generator: np.random.Generator) -> tuple[torch.Tensor, int]:
    """Return a window (T, P) for training and its label: half have a direction; a quarter rock, and a quarter jump."""
    kind, most = generator.integers(4), passage.vectors.shape[1]
    length = int(generator.integers(5, DURATION + 1)) if generator.integers(2) else DURATION
    length = max(2, min(length, most - 6))
    start = int(generator.integers(DURATION - length + 1))
    walk = path(start, length, generator)
    if kind == 2:  # only rocking
        walk = np.concatenate([[0], np.cumsum(decoy(DURATION - 1, generator))])
    elif kind == 3:  # a jump from the first place of rocking to the second, somewhere in a..b
        cut = int(generator.integers(start, start + length))
        rocking = np.cumsum(decoy(DURATION, generator))
        walk = np.where(np.arange(DURATION) < cut, rocking - rocking[start], rocking - rocking[start] + length - 1)
    walk = placed(walk, most, generator)
    if walk is None:
        return training_window(passage, generator)
    label = int(generator.integers(2))
    walk = walk.max() + walk.min() - walk if label else walk
    return passage.vectors[generator.integers(2), walk], label if kind < 2 else UNDECIDED


def read_passages(args: argparse.Namespace) -> list[Passage]:
    """Return all passages with the vectors of their frames, which are kept in the work folder."""
    kept = args.workdir / "passages.pt"
    if kept.is_file():
        return [Passage(*each) for each in torch.load(kept, weights_only=True)]
    backbone = build_backbone("mobilenet_v2", args.backbone_weights)[0].eval()
    ranges, passages = ranges_beside(args.videos, args.sequences), []
    for video in tqdm(sorted(args.videos.glob("*/person*.avi")), "features", unit="video", disable=None):
        frames, _ = read_video(video, size=(SIZE, SIZE))
        clips = [frames[first - 1:last] for first, last in ranges[KTH.sequence_name(video.stem)]]
        scene = np.median(frames[::max(1, len(frames) // 200)], axis=0)[None].astype(np.uint8)
        empty = describe(backbone, scene)[:, 0]
        passages += [Passage(KTH.person_of(video.stem), describe(backbone, clip), empty) for clip in clips
                     if len(clip) >= EVIDENCE + 12]
    args.workdir.mkdir(parents=True, exist_ok=True)
    torch.save([tuple(passage) for passage in passages], kept)
    return passages


@torch.no_grad()
def describe(backbone: torch.nn.Module, frames: np.ndarray) -> torch.Tensor:
    """Return the vectors of frames (L, H, W, 3) and of their mirror images, (2, L, P)."""
    clip = normalise(frames, IMAGENET_MEAN, IMAGENET_STD)
    return torch.stack([torch.cat([backbone(part) for part in view.split(16)]) for view in (clip, clip.flip(-1))])


def train(head: str, passages: list[Passage], seed: int, steps: int, name: str) -> torch.nn.Module:
    """Return a model of which everything after the backbone is trained on passages, the last step's."""
    torch.manual_seed(seed)
    model = build_model("cnnlstm", 2, "mobilenet_v2", vector_dropout=0.35, **HEADS[head])
    weights = [weight for key, weight in model.named_parameters() if not key.startswith("backbone.")]
    optimizer = torch.optim.Adam(weights, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = np.random.default_rng(seed)
    for _ in tqdm(range(steps), name, unit="step", disable=None, leave=False):
        chosen = [passages[i] for i in generator.integers(len(passages), size=BATCH)]
        inputs, labels = zip(*(training_window(passage, generator) for passage in chosen), strict=True)
        scores = model.classify(model.project(torch.stack(inputs)))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(scores, target_probabilities(torch.tensor(labels), 2)).backward()
        torch.nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def probability(model: torch.nn.Module, vectors: list[torch.Tensor], labels: list[int]) -> np.ndarray:
    """Return the probability of the label of each window (T, P): (N,)."""
    parts = [model.classify(model.project(torch.stack(vectors[i:i + 64]))) for i in range(0, len(vectors), 64)]
    return torch.cat(parts).softmax(1)[torch.arange(len(labels)), labels].numpy()


def whole_clips(passages: list[Passage]) -> tuple[list[torch.Tensor], list[int]]:
    """Return the middle window of each passage that is long enough, forwards and backwards, in both views."""
    vectors, labels = [], []
    for passage in passages:
        start = (passage.vectors.shape[1] - DURATION) // 2
        for view in (0, 1) if start >= 0 else ():
            clip = passage.vectors[view, start:start + DURATION]
            vectors, labels = [*vectors, clip, clip.flip(0)], [*labels, 0, 1]
    return vectors, labels


def control_paths(window: Window, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the frames of a window after each change of the controls."""
    walk, evidence = window.frames, window.evidence
    turned = walk[evidence].min() + walk[evidence].max() - walk
    start = int(np.flatnonzero(evidence)[0])
    inside = np.concatenate([[0], np.cumsum(decoy(int(evidence.sum()) - 1, generator))])
    rocking = np.where(evidence, 0, walk)
    rocking[evidence] = walk[start] + inside
    beyond = np.arange(len(walk)) > np.flatnonzero(evidence)[-1]
    rocking[beyond] += rocking[evidence][-1] - walk[evidence][-1]
    return {"a..b rocks": rocking, "a..b reversed": np.where(evidence, turned, walk),
            "decoys reversed": np.where(evidence, walk, np.where(beyond, 2 * walk[evidence][-1] - walk,
                                                                 2 * walk[start] - walk))}


def profiles(model: torch.nn.Module, window: Window, pairs: int) -> dict[str, np.ndarray]:
    """Return every profile (T,) of a model for a window, from its features, in the direction of the true class."""
    with torch.no_grad():
        features = model.project(window.vectors()[None])[0]  # (T, D)
        empty = model.project(window.passage.empty[window.view][None, None])[0, 0]  # (D,)
    encoded = EncodedFeatures(model, features, empty, window.label)
    found, drops = {}, intervals(encoded).drop
    for change in CHANGES:
        for kind, effects in (("", drops[change]), (", magnitude", drops[change].abs())):
            found[f"interval, {change}{kind}"] = mean_effect(effects, 1, DURATION).numpy()
    found["gradient norm of features"] = head_gradient(model, features[None], window.label)[0].norm(dim=1).numpy()
    if pairs:
        found["Shapley value"] = frame_values(encoded, pairs=pairs).per_frame(DURATION).numpy()
    return found


def known_without_model(window: Window) -> dict[str, np.ndarray]:
    """Return profiles (T,) that know no model and should be at chance."""
    vectors, walk, times = window.vectors(), window.frames, np.arange(DURATION)
    change = (vectors[1:] - vectors[:-1]).norm(dim=1).numpy()
    turns = times[1:-1][np.diff(walk)[1:] != np.diff(walk)[:-1]]
    return {"frame difference": np.append(change, change[-1:]),
            "seldom shown": -np.array([(walk == frame).sum() for frame in walk], float),
            "far from a turn": np.abs(times[:, None] - turns).min(1, initial=DURATION).astype(float),
            "position": times.astype(float)}


def measure(model: torch.nn.Module, passages: list[Passage], args: argparse.Namespace, seed: int,
            explain: bool) -> dict:
    """Return all figures of one model on the passages of the person left out."""
    vectors, labels = whole_clips(passages)
    row = {"whole": (probability(model, vectors, labels) > 0.5).tolist()}
    generator, rows = np.random.default_rng(seed), []
    windows = list(test_windows(passages, args.windows, length=args.evidence, speed=args.speed))
    labels = [window.label for window in windows]
    seen = probability(model, [window.vectors() for window in windows], labels)
    changed = [control_paths(window, generator) for window in windows]
    row["controls"] = {name: probability(model, [window.vectors(paths[name]) for window, paths in
                                                 zip(windows, changed, strict=True)], labels).tolist()
                       for name in changed[0]}
    random = copy.deepcopy(model)
    randomise([part for _, part in random.head_modules()], 500 + seed)
    for window, sure in zip(tqdm(windows, "windows", disable=None, leave=False), seen, strict=True):
        line = {"position": window.position, "sure": float(sure)}
        if explain:
            for key, found in (("auroc", profiles(model, window, args.pairs) | known_without_model(window)),
                               ("random_head", profiles(random.eval(), window, args.pairs))):
                line[key] = {name: auc(values, window.evidence) for name, values in found.items()}
        rows.append(line)
    return row | {"windows": rows}


def print_results(head: str, rows: list[dict]) -> None:
    """Print accuracy, controls and the AUROC of every profile over all persons and seeds."""
    windows = [window for row in rows for window in row["windows"]]
    sure = np.array([window["sure"] for window in windows])
    whole = [np.mean(row["whole"]) for row in rows]
    print(f"\n{head}: accuracy on whole clips {np.mean(whole):.3f}; {len(windows)} windows, right in "
          f"{(sure > 0.5).mean():.3f}, confident in {(sure >= CONFIDENT).mean():.3f}")
    for name in rows[0]["controls"]:
        values = np.concatenate([row["controls"][name] for row in rows])
        print(f"  {name}: P(class) {values.mean():.3f}, right in {(values > 0.5).mean():.3f}")
    table = []
    for name in windows[0].get("auroc", {}):
        line = {"profile": name}
        for kind, key, least in (("confident", "auroc", CONFIDENT), ("all", "auroc", 0),
                                 ("random head", "random_head", 0)):
            found = {position: finite_mean([each[key][name] for each in windows if each["position"] == position
                                            and each["sure"] >= least and name in each[key]])
                     for position in POSITIONS}
            line |= {f"{kind}, worst": min(found.values())} if key == "auroc" else {
                f"{kind}, {edge.__name__}": edge(found.values()) for edge in (min, max)}
        table.append(line)
    if table:
        print(format_table(table, list(table[0])))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_video_options(parser)
    parser.add_argument("--backbone_weights", default="imagenet")
    parser.add_argument("--workdir", type=Path, default=Path("results/time_arrow"))
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=["lstm", "mean"], metavar="HEAD")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=700, help="training steps")
    parser.add_argument("--windows", type=int, default=24, help="test windows of each person and position")
    parser.add_argument("--evidence", type=int, default=EVIDENCE, help="frames that run in the direction of the class")
    parser.add_argument("--speed", type=float, default=1, help="of the decoys, in frames per step: 0.5, 1 or 2")
    parser.add_argument("--pairs", type=int, default=10, help="pairs of orders for Shapley values; 0 for none")
    return parser


def main(argv=None):
    args = build_parser().parse_args(argv)
    passages = read_passages(args)
    persons = sorted({passage.person for passage in passages})
    for head in args.heads:
        rows = []
        for seed in args.seeds:
            for person in persons:
                name = f"{head.replace(' ', '_')}_{seed}_{person:02d}"
                kept = args.workdir / f"{name}_{args.evidence}_{args.speed:g}.json"
                weights = args.workdir / f"{name}_{args.steps}.pt"
                if not kept.is_file():
                    others = [passage for passage in passages if passage.person != person]
                    own = [passage for passage in passages if passage.person == person]
                    write_json(kept, measure(trained(head, others, seed, args.steps, weights), own, args, seed,
                                             explain=head == "lstm"))
                rows.append(json.loads(kept.read_text()))
        print_results(head, rows)
    return 0


def trained(head: str, passages: list[Passage], seed: int, steps: int, kept: Path) -> torch.nn.Module:
    """Return `train`, or the weights that an earlier run has kept."""
    if not kept.is_file():
        torch.save(train(head, passages, seed, steps, kept.stem).state_dict(), kept)
    model = build_model("cnnlstm", 2, "mobilenet_v2", **HEADS[head])
    model.load_state_dict(torch.load(kept, weights_only=True))
    return folded(model.eval())


if __name__ == "__main__":
    sys.exit(main())
