"""KTH-like videos of drawn people who walk and run, with the exact mask of the person in every frame.

A person (body, usual clothes, habits) depends only on the seed and the person's number. A scene (background, light,
camera, the clothes of d3) also depends on the scenario, but not on the action: both actions have the same background. A
video also depends on the action. Nothing depends on which other videos are made.

    frames, masks, ranges = synthesize(seed=1, number=11, scenario=1, action="walking")
"""

from typing import Any

import cv2
import numpy as np

from data.synthetic.gait import GAITS, body_parts, hip_path, prepare_gait
from data.video import KTH_FPS
from runtime.errors import UserError

HEIGHT, WIDTH = 120, 160
ACTIONS = tuple(GAITS)
SCENARIOS = {1: "outdoors", 2: "outdoors, scale changes", 3: "outdoors, other clothes", 4: "indoors, cast shadows"}
EVIDENCE = {"early": 0, "middle": 1, "late": 2}  # name: index of the third of a range that shows the person
ZOOM = 4  # the person is drawn this much larger and then averaged down
MARGIN = 40  # pixels drawn on either side of the picture
TOP_SPEED = 6.1  # pixels per frame, so that a run through the picture takes at least 30 frames
CIRCLE = np.stack([np.cos(np.arange(14) * np.pi / 7), np.sin(np.arange(14) * np.pi / 7)], axis=-1)  # (14, 2)
# A part of the body is drawn in three layers. Each is smaller than the layer below it, brighter, and shifted upwards.
BRIGHTNESS = (0.82, 0.95, 1.05)
LAYERS = np.stack([CIRCLE, 0.75 * CIRCLE - [0, 0.08], 0.45 * CIRCLE - [0, 0.16]])[:, None]  # (3, 1, 14, 2)


def make_person(seed: int, number: int) -> dict[str, Any]:
    """Return body (lengths in body heights), usual clothes (grey levels) and habits of person `number`."""
    rng = np.random.default_rng([seed, 1, number])
    legs = rng.uniform(0.97, 1.03)
    # A two-dimensional Kronecker sequence: it spreads the persons evenly over the walking and running speeds.
    pace = (np.random.default_rng([seed, 0]).random(2) + np.array([0.755, 0.57]) * number) % 1
    return {
        "height": rng.uniform(0.91, 1.07), "girth": rng.uniform(0.92, 1.22), "trunk": 0.288 - 0.49 * (legs - 1),
        "thigh": 0.245 * legs, "shank": 0.246 * legs, "upper_arm": rng.uniform(0.165, 0.185),
        "forearm": rng.uniform(0.135, 0.15), "arm_swing": rng.uniform(0.65, 1.25), "lean": rng.uniform(-2, 3),
        "speed": {"walking": 0.45 * 1.61 ** pace[0], "running": 1.22 * 1.85 ** pace[1]},
        "hair": rng.choice([0, 0.02, 0.09]), "coat": 0.0, "bag": 0,
        "greys": {"trunk": rng.uniform(28, 75), "legs": rng.uniform(28, 78), "skin": rng.uniform(130, 180),
                  "hair": rng.uniform(25, 95), "shoes": rng.choice([30, 45, 60, 190])},
    }


def make_scene(seed: int, number: int, scenario: int) -> dict[str, Any]:
    """Return the dressed person, the background (120, 160), the light and the camera position in one scenario."""
    person, rng = make_person(seed, number), np.random.default_rng([seed, 2, number, scenario])
    indoors = scenario == 4
    height = (96 if indoors else 86) * person["height"]
    ground = max(rng.uniform(101, 109), height + 5)
    floor = ground - rng.uniform(12, 16)
    background = indoor_background(rng, floor) if indoors else outdoor_background(rng)
    if indoors:
        person["greys"] = {part: 0.75 * grey for part, grey in person["greys"].items()}
    if scenario == 3:
        bright = background.mean() < 180 and rng.random() < 0.5
        person["greys"]["trunk"] = rng.uniform(180, 225) if bright else rng.uniform(22, 48)
        person.update(coat=rng.uniform(0.25, 0.75), bag=rng.choice([0, 35, 70]), girth=1.1 * person["girth"])
    return {
        "person": person, "scenario": scenario, "height": height, "ground": ground, "floor": floor,
        "background": background, "noise": rng.uniform(0.9, 1.7),
        "shadow": rng.uniform(0.1, 0.4), "lamp": rng.uniform(20, 140),
        "pace": np.exp(0.05 * rng.standard_normal()), "first": rng.choice([-1, 1]),
        "folds": 4 * smooth_noise(rng, (5, 3)),
    }


def smooth_noise(rng: np.random.Generator, grain: tuple[float, float]) -> np.ndarray:
    """Return noise (120, 160) of mean 0 and deviation 1 with grains of about `grain` (rows, columns) pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)), (0, 0), sigmaX=grain[1] / 2.5, sigmaY=grain[0] / 2.5)
    return (noise - noise.mean()) / noise.std()


def outdoor_background(rng: np.random.Generator) -> np.ndarray:
    """Return a picture (120, 160) of grass, gravel or snow, with a finer texture in the distance."""
    nearness = np.linspace(0, 1, HEIGHT)[:, None]
    texture = (1 - nearness) * smooth_noise(rng, (1.2, 3)) + nearness * smooth_noise(rng, (2.5, 5))
    worn = np.clip(smooth_noise(rng, (5, 30)) - rng.uniform(0.8, 1.6), 0, 2) * rng.uniform(4, 10)
    return rng.choice([125, 140, 205]) + 3 * texture + rng.uniform(1, 3.5) * smooth_noise(rng, (14, 90)) + worn


def indoor_background(rng: np.random.Generator, floor: float) -> np.ndarray:
    """Return a picture (120, 160) of a lit wall, a skirting board along the row `floor` and a darker floor below."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot((columns - rng.uniform(50, 110)) / 100, (rows - rng.uniform(25, 60)) / 110)
    light = rng.uniform(115, 160) * (1.05 - rng.uniform(0.25, 0.5) * distance**1.6)
    board = rng.uniform(8, 25) * np.exp(-(((rows - floor + 1.5) / 1.2) ** 2))
    wall = light + board + 1.2 * smooth_noise(rng, (12, 20))
    carpet = light * rng.uniform(0.55, 0.7) + 2.5 * smooth_noise(rng, (1.5, 3))
    return np.where(rows < floor, wall, carpet)


def make_passage(scene: dict[str, Any], action: str, rng: np.random.Generator, index: int) -> dict[str, Any]:
    """Return passage number `index`, of N frames: the person crosses the picture from beyond one side to the other.

    Keys: x and ground (N,), the point on the ground below the hips in pixels; scale (N,), the body height in pixels;
    direction, 1 (to the right) or -1; parts, see `body_parts`.
    """
    person, height = scene["person"], scene["height"] * rng.uniform(0.98, 1.02)
    far = 0.65 if scene["scenario"] == 2 else 1.0  # in d2 the person comes towards the camera or goes away from it
    start, end = height * np.array([1, far] if index % 2 else [far, 1])
    speed = person["speed"][action] * scene["pace"] * np.exp(0.04 * rng.standard_normal())
    speed = min(speed, TOP_SPEED * KTH_FPS / height)
    gait = prepare_gait(action, person, speed)
    n_frames = int((WIDTH + 80) / (speed / KTH_FPS * (start + end) / 2))
    cycles = rng.random() + np.arange(n_frames) * gait["cadence"] / KTH_FPS
    scale = np.linspace(start, end, n_frames)
    covered = np.cumsum(np.gradient(hip_path(gait, cycles)[0]) * scale)
    direction = scene["first"] * (-1) ** index
    return {"x": WIDTH / 2 + direction * (covered - covered[-1] / 2), "scale": scale, "direction": direction,
            "ground": scene["ground"] + rng.uniform(-2, 2) + 1.2 * (scale - height),
            "parts": body_parts(person, gait, cycles)}


def draw_person(passage: dict[str, Any], frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the person in one frame: grey level times coverage, and coverage (0..1), each (120, 160 + 2 MARGIN)."""
    canvas = np.zeros((HEIGHT * ZOOM, (WIDTH + 2 * MARGIN) * ZOOM, 2), np.uint8)
    scale, foot = passage["scale"][frame], (passage["x"][frame] + MARGIN, passage["ground"][frame])
    for grey, hulls in passage["parts"]:
        rims = []
        for centres, radii in hulls:
            spots = foot + scale * centres[frame] * [passage["direction"], -1]  # (k, 2)
            rims.append(spots[:, None] + scale * radii[:, None, None] * LAYERS)  # (3, k, 14, 2)
        for layer, brightness in enumerate(BRIGHTNESS):
            for rim in rims:
                # The coordinates are in sixteenths of a pixel, which is the last argument of fillConvexPoly (4 bits).
                outline = cv2.convexHull(np.round(rim[layer].reshape(-1, 2) * ZOOM * 16).astype(np.int32))
                cv2.fillConvexPoly(canvas, outline, (min(grey * brightness, 255), 255), cv2.LINE_8, 4)
    small = cv2.resize(canvas, (WIDTH + 2 * MARGIN, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    grey, coverage = cv2.split(cv2.GaussianBlur(small, (3, 3), 0.5))
    return grey, coverage / 255


def cast_shadow(coverage: np.ndarray, ground: float, shear: float, flatten: float, blur: float,
                shift: float = 0.0) -> np.ndarray:
    """Return the shadow (120, 160) of a silhouette: sheared and flattened about row `ground`, shifted and blurred."""
    matrix = np.float32([[1, -shear, shear * ground + shift - MARGIN], [0, flatten, (1 - flatten) * ground]])
    return cv2.GaussianBlur(cv2.warpAffine(coverage, matrix, (WIDTH, HEIGHT)), (0, 0), blur)


def light_left(scene: dict[str, Any], coverage: np.ndarray, x: float, ground: float) -> np.ndarray:
    """Return the share of the light (120, 160) that the person's shadows leave, with the hips above (x, ground)."""
    if scene["scenario"] != 4:  # outdoors: the sun is far away, so the shadow has the same form everywhere
        return 1 - scene["shadow"] * cast_shadow(coverage, ground, scene["lamp"] / WIDTH * 4 - 2, 0.2, 0.8)
    away = (x - scene["lamp"]) / WIDTH  # indoors: shadows fall away from the lamp, on the wall and on the floor
    wall = cast_shadow(coverage, ground, 0, 0.97, 5, 35 * away)
    wall[int(scene["floor"]):] *= 0.3
    floor = cast_shadow(coverage, ground, 0.6 * away, 0.12, 1.5)
    return (1 - scene["shadow"] * wall) * (1 - 0.5 * scene["shadow"] * floor)


def render(scene: dict[str, Any], shots: list[tuple[dict[str, Any], int] | None],
           rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return frames (N, 120, 160) uint8 and person masks (N, 120, 160) bool.

    shots: per frame (passage, index of its frame), or None for an empty frame.
    """
    frames = scene["background"] + rng.normal(0, scene["noise"], (len(shots), HEIGHT, WIDTH))
    masks = np.zeros(frames.shape, bool)
    for i, shot in enumerate(shots):
        if shot is None:
            continue
        passage, frame = shot
        x, (grey, coverage) = passage["x"][frame], draw_person(passage, frame)
        light = light_left(scene, coverage, x, passage["ground"][frame])
        grey, coverage = grey[:, MARGIN:-MARGIN], coverage[:, MARGIN:-MARGIN]
        cloth = grey + coverage * np.roll(scene["folds"], round(x), axis=1)
        frames[i] = (1 - coverage) * light * frames[i] + cloth
        masks[i] = coverage >= 0.5
    return np.clip(np.round(frames), 0, 255).astype(np.uint8), masks


def evidence_span(n_frames: int, evidence: str) -> tuple[int, int]:
    """Return which of `n_frames` frames show the person: the first, counted from 0, and the one after the last.

    Raises ValueError if a third of the frames is too short to show a step or so long that a runner leaves the picture.
    """
    if not 9 <= n_frames <= 60:
        raise UserError(f"{n_frames} frames per range were asked for: choose from 9 to 60, so that the third that "
                        "shows the person holds a step and a runner stays in the picture")
    third = EVIDENCE[evidence]
    return n_frames * third // 3, n_frames * (third + 1) // 3


def evidence_frames(passage: dict[str, Any], length: int, rng: np.random.Generator) -> range:
    """Return the indices of `length` successive frames of a passage, with the person inside the picture if possible."""
    inside = np.flatnonzero(np.abs(passage["x"] - WIDTH / 2) < WIDTH / 2 - 0.3 * passage["scale"])
    spare = len(inside) - length
    first = inside[rng.integers(spare + 1)] if spare >= 0 else (len(passage["x"]) - length) // 2
    return range(first, first + length)


def synthesize(seed: int, number: int, scenario: int, action: str, passes: int = 4, n_frames: int = 30,
               evidence: str | None = None) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Return (frames, masks, ranges) of one video, in which person `number` crosses the picture `passes` times.

    frames (N, 120, 160) uint8; between the passages they are empty. masks (N, 120, 160) bool: the person without the
    shadow. ranges: [(first, last)] of the frames of each passage in which the person is visible, 1-based and inclusive
    as in 00sequences.txt. With `evidence` (early, middle or late), every range has `n_frames` frames and the person is
    visible only in that third of it.
    """
    rng = np.random.default_rng([seed, 3, number, scenario, ACTIONS.index(action)])
    scene = make_scene(seed, number, scenario)
    shots, spans = [None] * rng.integers(3, 12), []
    for index in range(passes):
        passage, start = make_passage(scene, action, rng, index), len(shots)
        if evidence:
            first, stop = evidence_span(n_frames, evidence)
            visible_part = [(passage, frame) for frame in evidence_frames(passage, stop - first, rng)]
            shots += [None] * first + visible_part + [None] * (n_frames - stop)
        else:
            shots += [(passage, frame) for frame in range(len(passage["x"]))]
        spans.append((start, len(shots)))
        shots += [None] * rng.integers(12, 40)
    frames, masks = render(scene, shots, rng)
    if not evidence:  # cut the empty frames off both ends; argmax finds the first True
        visible = masks.any((1, 2))
        spans = [(start + visible[start:stop].argmax(), stop - visible[start:stop][::-1].argmax())
                 for start, stop in spans]
    return frames, masks, [(int(start) + 1, int(stop)) for start, stop in spans]
