"""Worlds whose truth is known by construction: a network, clips, a command line, and what must and must not be said.

The networks are those of tests/world_nets.py. In the clips, a bright block moves to the right over still ground.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

SIDE, BLOCK = 32, 7  # pixels: of a frame, and the width of the block
CLASSES = ("running", "walking")
TERMINAL, METRICS, PAGE, FIGURES = "terminal", "metrics.json", "report.html", "titles of figures"
SCRIPTS = "scripts of report.html"
EVERYWHERE = (TERMINAL, METRICS, PAGE)
FEW = r"too few|no interval|values"  # how a run of few clips speaks of them
Frames = np.ndarray  # (T, SIDE, SIDE, 3) uint8


def walk(length=6, seed=0, levels: Sequence[int] | int = 230, rows=(8, 24), still=False) -> Frames:
    """Return a clip of a block that moves to the right once. levels: its brightness in each frame, 0 where absent."""
    ground = np.random.default_rng(seed).integers(60, 100, (SIDE, SIDE)).astype(np.uint8)
    frames = np.stack([ground] * length)
    levels = [levels] * length if isinstance(levels, int) else levels
    for t, level in enumerate(levels):
        left = 0 if still else round((SIDE - BLOCK) * t / max(length - 1, 1))
        if level:
            frames[t, rows[0]:rows[1], left:left + BLOCK] = level
    return frames[..., None].repeat(3, 3)


def people(count, label="walking", persons=99, **options):
    """Return {clip: (label, frames)} of `count` clips of as many persons, or of `persons` in turn."""
    return {f"person{2 + i % persons:02d}_{label}_d1_{1 + i // persons}": (label, walk(seed=i, **options))
            for i in range(count)}


def equal_pair():
    return {f"person{i:02d}_walking_d1_1": ("walking", walk()) for i in (2, 3)}


def one_undecidable():
    """Six clips; in the last one all frames have one brightness, so the score differs by little from that of none."""
    clips = people(5, levels=[250, 120] * 3)
    return clips | {"person09_walking_d1_1": ("walking", walk(seed=9))}


def brightest(frame, length=6, **options):
    return people(levels=[250 if t + 1 == frame else 180 for t in range(length)], length=length, **options)


@dataclass(frozen=True)
class Said:
    """A regular expression that some text of each of these places must match, or no text may match."""

    pattern: str
    places: tuple[str, ...] = EVERYWHERE


def page(pattern):
    return Said(pattern, (PAGE,))


def terminal(pattern):
    return Said(pattern, (TERMINAL,))


@dataclass(frozen=True)
class World:
    """A network and clips whose truth is known, and the sentences that must and must not appear.

    network: name of a function in tests/world_nets.py. clips: {name: (label, frames)}. arguments: those of
    frame_saliency.py. must, must_not: see Said. most_percent: the largest share that can be true here. scores: that the
    network has. frames: those that a sentence may name as important, all by default.
    """

    name: str
    network: str
    clips: Callable[[], dict] = field(repr=False)
    arguments: tuple = ()
    must: tuple[Said, ...] = ()
    must_not: tuple[Said, ...] = ()
    classes: tuple[str, ...] = CLASSES
    most_percent: int = 100
    scores: int = 2
    frames: range | None = None


ORDER_MATTERS = r"order\b[^.]*(?<!hardly )(?<!not )\bmatters"
BEATS, FIRST = r"\bbeats\b", r"\bcomes? first\b"
AVERAGE, PASSES = r"[Oo]n average", r"\bpass(es|ed)? (\d|a test|no test|none)|\b\d+ of \d+ tests"
INTERVAL = r"\[-?\d+\.\d+, -?\d+\.\d+\]"
NOTHING = r"decides? nothing|(no frame|none of the frames) (can have|has) decided"
TIME_ONLY = ("freeze", "interval", "occlusion_frame", "shapley_frame")

WORLDS = [
    World("random head", "random_head", lambda: people(6), ("--sanity", "--sanity_clips", 6),
          must=(Said(r"not distinguishable|cannot be (distinguished|told)"),),
          must_not=(Said(r"is evidence about the classifier"), Said(r"is due to the classifier", (SCRIPTS,)))),
    World("heads that give one map", "one_feature", lambda: people(6), ("--sanity", "--sanity_clips", 6),
          must=(Said(r"not distinguishable|cannot be (distinguished|told)"),),
          must_not=(Said(r"is evidence about the classifier"),)),
    World("random head, three clips", "random_head", lambda: people(3), ("--sanity",),
          must=(Said(r"too few"),), must_not=(Said(r"is evidence about the classifier"),)),
    World("mean over frames", "blind_to_order", lambda: people(6),
          must=(Said(r"backwards[^.]*\b0 ?%|\b0 ?%[^.]*backwards"), Said(r"6 of (the )?6|all 6")),
          must_not=(Said(ORDER_MATTERS),)),
    World("sum of steps", "only_order", lambda: people(6),
          must=(Said(ORDER_MATTERS), Said(r"6 of (the )?6|all 6")), most_percent=200,
          must_not=(Said(r"hardly matters|does not matter|too few"),)),
    World("amount of motion", "amount_of_motion", lambda: people(6), most_percent=200,
          must_not=(Said(ORDER_MATTERS), Said(r"destroys"))),
    World("first frames", "first_frames", lambda: brightest(3, 30, count=2), frames=range(1, 6),
          must=(page(r"owes most to frame 3\b"), page(r"frames 1 to 5 keep"))),
    World("last frames", "last_frames", lambda: brightest(28, 30, count=2), frames=range(26, 31),
          must=(page(r"owes most to frame 28\b"), Said(r"last quarter[^.]*100 ?%|100 ?%[^.]*last quarter")),
          must_not=(Said(r"frames up to ([1-9]|1\d|2[0-5]) are enough"),)),
    World("a quarter where nothing moves", "quarter", lambda: people(6, rows=(16, 32)),
          must=(Said(r"does not beat|is not (above|better)|is (below|worse)"), page(NOTHING)),
          must_not=(Said(BEATS), Said(FIRST))),
    World("constant model", "constant", lambda: people(6), ("--compare", "smoothgrad", "occlusion_block", "--deletion"),
          must=(page(NOTHING),),
          must_not=(Said(r"(?<!95)(?<!95 )%"), Said(FIRST), Said(BEATS), Said(r"falls faster"))),
    World("sure of the background too", "sure_of_the_background", lambda: people(2),
          must_not=(Said(r"at least as much as"), Said(r"frames up to \d+ are enough"), Said(r"destroys"))),
    World("scores that move together", "equal_scores", lambda: people(2),
          must=(Said(r"hardly decides", (TERMINAL, PAGE, FIGURES)),),
          must_not=(Said(r"destroys"), Said(r"frames up to \d+ are enough"))),
    World("one score", "one_score", lambda: people(2), scores=1, must_not=(Said(r"\(1\.00\)"),)),
    World("one sigmoid", "own_sigmoid", lambda: people(2), scores=1, must=(terminal(r"warning: .*sigmoid"),)),
    World("a hundred classes", "hundred_classes", lambda: people(2), must=(terminal(r"walking \(0\.45\)"),),
          must_not=(Said(r"hardly decides"),), classes=(*CLASSES, *(f"class{i}" for i in range(2, 100)))),
    World("probability 0.53", "undecided", lambda: people(2),
          must=(Said(r"hardly decides.*0\.53|0\.53.*hardly decides", (TERMINAL, FIGURES)), page(r"hardly decides"))),
    World("one clip", "blind_to_order", lambda: people(1), ("--compare", "occlusion_block", "freeze"),
          must=(terminal(FEW),), must_not=(Said(FIRST), Said(BEATS))),
    World("two equal clips", "blind_to_order", equal_pair, ("--compare", "occlusion_block"),
          must=(terminal(FEW),), must_not=(Said(FIRST), Said(BEATS))),
    World("six clips of two persons", "blind_to_order", lambda: people(6, persons=2), ("--compare", "occlusion_block"),
          must=(Said(r"too few|2 (groups|persons)"),), must_not=(Said(ORDER_MATTERS), Said(FIRST), Said(BEATS))),
    World("a still clip", "blind_to_order", lambda: people(2, still=True),
          must=(page(r"[Ee]very frame equals (the|its) background"),),
          must_not=(Said(r"AUC \d"), Said(r"\d ?% of (this|the) difference"))),
    World("wrong prediction", "blind_to_order", lambda: people(2, "running"),
          must=(Said(r"labelled running|running[^.]*label|label[^.]*running", (TERMINAL, FIGURES)),
                Said(r"(predicted|called)[^.]*walking", (TERMINAL, FIGURES)))),
    World("the other class", "blind_to_order", lambda: brightest(4, count=2), ("--target", "running"),
          must=(page(r"\bframe 4\b"), page(r"lower"), terminal(r"explained:? running")),
          must_not=(Said(r"owes most"), Said(r"destroys?"))),
    World("81 frames", "two_frames", lambda: people(1, length=81),
          must=(page(r"frames 46 to 66|within 2 frames"),)),
    World("Grad-CAM of 0", "nothing_for", lambda: people(2), ("--method", "grad_cam"),
          must=(terminal(r"warning: .*(grad_cam|Grad-CAM).*\b(0|zero|empty|constant)\b"),),
          must_not=(Said(r"grad_cam beats"), Said(r"hold[^.]*saliency of grad_cam"))),
    World("three clips, all methods", "one_feature", lambda: people(3), ("--compare", "all"),
          must=(Said(r"too few"),), must_not=(Said(FIRST), Said(BEATS))),
    World("methods that know only time", "random_head", lambda: people(6), ("--compare", *TIME_ONLY),
          must=(terminal(r"when: not measurable|no masks"),)),
    World("a clip that hardly differs from its background", "cancelling", one_undecidable, most_percent=200,
          must=(Said(r"hardly differs?|(background|close|near)[^.]*left out|left out[^.]*(background|close|near)"),)),
]
