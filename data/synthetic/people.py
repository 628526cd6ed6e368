"""KTH-like videos of drawn people who walk and run, with the exact mask of the person in every frame.

A person (body, usual clothes, habits) depends on the seed and the person's number; a scene (background, light, camera,
clothes of d3) on these and the scenario, so that both actions are seen before the same background; a video on all
that and the action. Nothing depends on what else is made.

    frames, masks, ranges = synthesize(seed=1, number=11, scenario=1, action="walking")
"""

import cv2
import numpy as np

from data.synthetic.gait import GAITS, body_parts, hip_path, prepare_gait
from data.video import KTH_FPS

HEIGHT, WIDTH = 120, 160
ACTIONS = tuple(GAITS)
SCENARIOS = {1: "outdoors", 2: "outdoors, scale changes", 3: "outdoors, other clothes", 4: "indoors, cast shadows"}
EVIDENCE = {"early": 0, "middle": 1, "late": 2}
ZOOM = 4  # the person is drawn this much larger, then averaged down
MARGIN = 40  # pixels drawn on either side of the picture
TOP_SPEED = 6.1  # pixels per frame, so that a run through the picture takes 30 frames at least
CIRCLE = np.stack([np.cos(np.arange(14) * np.pi / 7), np.sin(np.arange(14) * np.pi / 7)], axis=-1)  # (14, 2)
BRIGHTNESS = (0.82, 0.95, 1.05)  # of the layers of a limb, each smaller than the one before and closer to the light
LAYERS = np.stack([CIRCLE, 0.75 * CIRCLE - [0, 0.08], 0.45 * CIRCLE - [0, 0.16]])[:, None]  # (3, 1, 14, 2)


def make_person(seed, number):
    """Body (lengths in body heights), usual clothes (grey levels) and habits of person `number`."""
    rng = np.random.default_rng([seed, 1, number])
    legs = rng.uniform(0.97, 1.03)
    pace = (np.random.default_rng([seed, 0]).random(2) + np.array([0.755, 0.57]) * number) % 1  # spread over persons
    return {
        "height": rng.uniform(0.91, 1.07), "girth": rng.uniform(0.92, 1.22), "trunk": 0.288 - 0.49 * (legs - 1),
        "thigh": 0.245 * legs, "shank": 0.246 * legs, "upper_arm": rng.uniform(0.165, 0.185),
        "forearm": rng.uniform(0.135, 0.15), "arm_swing": rng.uniform(0.65, 1.25), "lean": rng.uniform(-2, 3),
        "speed": {"walking": 0.45 * 1.61 ** pace[0], "running": 1.22 * 1.85 ** pace[1]},
        "hair": rng.choice([0, 0.02, 0.09]), "coat": 0.0, "bag": 0,
        "greys": {"trunk": rng.uniform(28, 75), "legs": rng.uniform(28, 78), "skin": rng.uniform(130, 180),
                  "hair": rng.uniform(25, 95), "shoes": rng.choice([30, 45, 60, 190])},
    }


def make_scene(seed, number, scenario):
    """The person as dressed, the background (120, 160) and how light falls and the camera stands, in one scenario."""
    person, rng = make_person(seed, number), np.random.default_rng([seed, 2, number, scenario])
    indoors = scenario == 4
    height = (96 if indoors else 86) * person["height"]
    ground = max(rng.uniform(101, 109), height + 5)
    floor = ground - rng.uniform(12, 16)
    background = room(rng, floor) if indoors else field(rng)
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


def smooth_noise(rng, grain):
    """Noise (120, 160) of mean 0 and deviation 1 whose grains measure about `grain` (rows, columns) pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)), (0, 0), sigmaX=grain[1] / 2.5, sigmaY=grain[0] / 2.5)
    return (noise - noise.mean()) / noise.std()


def field(rng):
    """Grass, gravel or snow that fills the picture, finer in the distance."""
    nearness = np.linspace(0, 1, HEIGHT)[:, None]
    texture = (1 - nearness) * smooth_noise(rng, (1.2, 3)) + nearness * smooth_noise(rng, (2.5, 5))
    worn = np.clip(smooth_noise(rng, (5, 30)) - rng.uniform(0.8, 1.6), 0, 2) * rng.uniform(4, 10)
    return rng.choice([125, 140, 205]) + 3 * texture + rng.uniform(1, 3.5) * smooth_noise(rng, (14, 90)) + worn


def room(rng, floor):
    """A lit wall with a skirting board along the row `floor`, and a darker floor below it."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot((columns - rng.uniform(50, 110)) / 100, (rows - rng.uniform(25, 60)) / 110)
    light = rng.uniform(115, 160) * (1.05 - rng.uniform(0.25, 0.5) * distance**1.6)
    board = rng.uniform(8, 25) * np.exp(-(((rows - floor + 1.5) / 1.2) ** 2))
    wall = light + board + 1.2 * smooth_noise(rng, (12, 20))
    carpet = light * rng.uniform(0.55, 0.7) + 2.5 * smooth_noise(rng, (1.5, 3))
    return np.where(rows < floor, wall, carpet)


def course(scene, action, rng, index):
    """One pass (the `index`th) from beyond one side of the picture to beyond the other, N frames.

    Per frame x and ground (N,), the point on the ground below the hips, and scale (N,), the body height, in pixels;
    the direction, and the parts of the body.
    """
    person, height = scene["person"], scene["height"] * rng.uniform(0.98, 1.02)
    far = 0.65 if scene["scenario"] == 2 else 1.0  # d2: towards the camera, and away from it
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


def draw(walk, frame):
    """The person of one frame: grey level times coverage, and coverage (0..1), each (120, 160 + 2 MARGIN)."""
    canvas = np.zeros((HEIGHT * ZOOM, (WIDTH + 2 * MARGIN) * ZOOM, 2), np.uint8)
    scale, foot = walk["scale"][frame], (walk["x"][frame] + MARGIN, walk["ground"][frame])
    for grey, hulls in walk["parts"]:
        rims = []
        for centres, radii in hulls:
            spots = foot + scale * centres[frame] * [walk["direction"], -1]  # (k, 2)
            rims.append(spots[:, None] + scale * radii[:, None, None] * LAYERS)  # (3, k, 14, 2)
        for layer, brightness in enumerate(BRIGHTNESS):
            for rim in rims:
                outline = cv2.convexHull(np.round(rim[layer].reshape(-1, 2) * ZOOM * 16).astype(np.int32))
                cv2.fillConvexPoly(canvas, outline, (min(grey * brightness, 255), 255), cv2.LINE_8, 4)
    small = cv2.resize(canvas, (WIDTH + 2 * MARGIN, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    grey, coverage = cv2.split(cv2.GaussianBlur(small, (3, 3), 0.5))
    return grey, coverage / 255


def cast(coverage, ground, shear, flatten, blur, shift=0.0):
    """The shadow of a silhouette: sheared and flattened about the row `ground`, shifted sideways, blurred."""
    matrix = np.float32([[1, -shear, shear * ground + shift - MARGIN], [0, flatten, (1 - flatten) * ground]])
    return cv2.GaussianBlur(cv2.warpAffine(coverage, matrix, (WIDTH, HEIGHT)), (0, 0), blur)


def shade(scene, coverage, x, ground):
    """What the person's shadows leave of the light, (120, 160)."""
    if scene["scenario"] != 4:  # the sun is far: the same for the whole field
        return 1 - scene["shadow"] * cast(coverage, ground, scene["lamp"] / WIDTH * 4 - 2, 0.2, 0.8)
    away = (x - scene["lamp"]) / WIDTH  # shadows fall away from the lamp
    wall = cast(coverage, ground, 0, 0.97, 5, 35 * away)
    wall[int(scene["floor"]) :] *= 0.3
    return (1 - scene["shadow"] * wall) * (1 - 0.5 * scene["shadow"] * cast(coverage, ground, 0.6 * away, 0.12, 1.5))


def render(scene, shots, rng):
    """Frames (N, 120, 160) uint8 and masks (N, 120, 160) bool of `shots`: None, or (walk, frame of the walk)."""
    frames = scene["background"] + rng.normal(0, scene["noise"], (len(shots), HEIGHT, WIDTH))
    masks = np.zeros(frames.shape, bool)
    for i, (walk, frame) in ((i, shot) for i, shot in enumerate(shots) if shot):
        x, (grey, coverage) = walk["x"][frame], draw(walk, frame)
        light = shade(scene, coverage, x, walk["ground"][frame])
        grey, coverage = grey[:, MARGIN:-MARGIN], coverage[:, MARGIN:-MARGIN]
        cloth = grey + coverage * np.roll(scene["folds"], round(x), axis=1)
        frames[i] = (1 - coverage) * light * frames[i] + cloth
        masks[i] = coverage >= 0.5
    return np.clip(np.round(frames), 0, 255).astype(np.uint8), masks


def evidence_span(n_frames, evidence):
    """Which of `n_frames` show the person: the first, and the one after the last, counted from 0.

    ValueError where a third of them is too short to see a step or too long for a runner to stay in the picture.
    """
    if not 9 <= n_frames <= 60:
        raise ValueError(f"{n_frames} frames with the person visible in a third of them: choose from 9 to 60 frames")
    return [n_frames * (EVIDENCE[evidence] + i) // 3 for i in (0, 1)]


def evidence_frames(walk, length, rng):
    """`length` frames in a row of a pass, with the person inside the picture wherever that is possible."""
    inside = np.flatnonzero(np.abs(walk["x"] - WIDTH / 2) < WIDTH / 2 - 0.3 * walk["scale"])
    spare = len(inside) - length
    first = inside[rng.integers(spare + 1)] if spare >= 0 else (len(walk["x"]) - length) // 2
    return range(first, first + length)


def synthesize(seed, number, scenario, action, passes=4, n_frames=30, evidence=None):
    """One video of person `number`: `passes` walks or runs through the picture, with empty frames between them.

    Returns frames (N, 120, 160) uint8, masks (N, 120, 160) bool (the person, not the shadow) and ranges, a list of
    (first, last) frames of each pass, from 1, last included, as in 00sequences.txt: those in which the person is
    visible. With `evidence` (early, middle, late) every range is `n_frames` long and the person visible only in that
    third of it (`evidence_span`).
    """
    rng = np.random.default_rng([seed, 3, number, scenario, ACTIONS.index(action)])
    scene = make_scene(seed, number, scenario)
    shots, spans = [None] * rng.integers(3, 12), []
    for index in range(passes):
        walk, before = course(scene, action, rng, index), len(shots)
        if evidence:
            first, last = evidence_span(n_frames, evidence)
            seen = [(walk, frame) for frame in evidence_frames(walk, last - first, rng)]
            shots += [None] * first + seen + [None] * (n_frames - last)
        else:
            shots += [(walk, frame) for frame in range(len(walk["x"]))]
        spans.append((before, len(shots)))
        shots += [None] * rng.integers(12, 40)
    frames, masks = render(scene, shots, rng)
    if not evidence:
        visible = masks.any((1, 2))
        spans = [(a + visible[a:b].argmax(), b - visible[a:b][::-1].argmax()) for a, b in spans]
    return frames, masks, [(int(a) + 1, int(b)) for a, b in spans]
