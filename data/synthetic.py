"""KTH-like videos of drawn people who walk and run, with the exact mask of the person in every frame.

A person (body, usual clothes, habits) depends on the seed and the person's number; a scene (background, light, camera,
clothes of d3) on these and the scenario, so that both actions are seen before the same background; a video on all
that and the action. Nothing depends on what else is made.

    frames, masks, ranges = synthesize(seed=1, number=11, scenario=1, action="walking")
"""

from itertools import pairwise

import numpy as np

from data.gait import GAITS, body_parts, hip_path, prepare_gait
from data.video import KTH_FPS, cv2

HEIGHT, WIDTH = 120, 160
ACTIONS = tuple(GAITS)
SCENARIOS = {1: "outdoors", 2: "outdoors, scale changes", 3: "outdoors, other clothes", 4: "indoors, cast shadows"}
EVIDENCE = {"early": 0, "middle": 1, "late": 2}
ZOOM = 4  # the person is drawn this much larger, then averaged down
MARGIN = 56  # pixels drawn on either side of the hips
TOP_SPEED = 6.1  # pixels per frame, so that a run through the picture takes 30 frames at least
CIRCLE = np.stack([np.cos(np.arange(14) * np.pi / 7), np.sin(np.arange(14) * np.pi / 7)], axis=-1)  # (14, 2)
SHADING = ((1.0, 0.82, 0.0), (0.75, 0.95, 0.08), (0.45, 1.05, 0.16))  # of a limb: size, brightness, shift to the light


def make_person(seed, number):
    """Body (lengths in body heights), usual clothes (grey levels) and habits of person `number`."""
    rng = np.random.default_rng([seed, 1, number])
    legs = rng.uniform(0.97, 1.03)
    pace = (np.random.default_rng([seed, 0]).random(2) + np.array([0.755, 0.57]) * number) % 1  # spread over persons
    return {
        "height": rng.uniform(0.91, 1.07), "girth": rng.uniform(0.92, 1.22), "trunk": 0.288 - 0.49 * (legs - 1),
        "thigh": 0.245 * legs, "shank": 0.246 * legs, "upper_arm": rng.uniform(0.165, 0.185),
        "forearm": rng.uniform(0.135, 0.15), "arm_swing": rng.uniform(0.65, 1.25), "lean": rng.uniform(-2, 3),
        "speed": {"walking": 0.45 * 1.61 ** pace[0], "running": 1.32 * 1.65 ** pace[1]},
        "hair": rng.choice(["short", "cap", "long", "tail"]), "stripe": rng.random() < 0.25, "coat": 0.0, "bag": 0,
        "greys": {"trunk": rng.uniform(28, 75), "legs": rng.uniform(28, 78), "skin": rng.uniform(130, 180),
                  "hair": rng.uniform(25, 95), "shoes": rng.choice([30, 45, 60, 190])},
        "in_snow": rng.random() < 0.15,
    }


def make_scene(seed, number, scenario):
    """The person as dressed, the background (120, 160) and how light falls and the camera stands, in one scenario."""
    person, rng = make_person(seed, number), np.random.default_rng([seed, 2, number, scenario])
    indoors, greys = scenario == 4, person["greys"]
    if scenario == 3:
        greys["trunk"] = rng.uniform(180, 225) if rng.random() < 0.5 and not person["in_snow"] else rng.uniform(22, 48)
        greys["hair"] = rng.choice([25, 60, 205])
        person.update(coat=rng.uniform(0.25, 0.75), bag=rng.choice([0, 35, 70]), stripe=False)
        person.update(hair=rng.choice(["cap", person["hair"]]), girth=1.1 * person["girth"])
    if indoors:
        greys.update({part: 0.75 * grey for part, grey in greys.items()})
    height = (96 if indoors else 86) * person["height"] * rng.uniform(0.97, 1.03)
    ground = rng.uniform(106, 111) if indoors else max(rng.uniform(99, 108), height + 7)
    floor = ground - rng.uniform(12, 16)
    sunny = indoors or rng.random() < 0.3
    return {
        "person": person, "scenario": scenario, "height": min(height, ground - 5), "ground": ground, "floor": floor,
        "background": room(rng, floor) if indoors else field(rng, person["in_snow"]), "noise": rng.uniform(0.9, 1.7),
        "shadow": rng.uniform(0.25, 0.45) if sunny else rng.uniform(0.05, 0.2), "sunny": sunny,
        "lamp": rng.uniform(20, 140), "pace": np.exp(0.05 * rng.standard_normal()), "first": rng.choice([-1, 1]),
        "folds": 4 * smooth_noise(rng, (HEIGHT, WIDTH), (5, 3)),
    }


def smooth_noise(rng, shape, grain):
    """Noise (height, width) of mean 0 and deviation 1 whose grains measure about `grain` (rows, columns) pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), sigmaX=grain[1] / 2.5, sigmaY=grain[0] / 2.5)
    return (noise - noise.mean()) / noise.std()


def field(rng, snow):
    """Grass, gravel or snow that fills the picture, finer in the distance; now and then trees along the top."""
    shape, picture = (2 * HEIGHT, 3 * WIDTH), (HEIGHT, WIDTH)
    flat = 2.6 * smooth_noise(rng, shape, (1.2, 1.5)) + 2 * smooth_noise(rng, shape, (3, 8))
    worn = smooth_noise(rng, shape, (7, 40)) + 0.5 * smooth_noise(rng, shape, (4, 12))
    flat += np.clip(worn - rng.uniform(1, 1.8), 0, 2) * rng.uniform(3, 9) * np.abs(smooth_noise(rng, shape, (2, 4)))
    nearness = np.linspace(rng.uniform(0.45, 0.7), 1.1, HEIGHT)[:, None]
    rows = np.cumsum(1 / nearness)[:, None] * np.ones(WIDTH)
    columns = 1.5 * WIDTH + (np.arange(WIDTH) - WIDTH / 2) / nearness
    ground = cv2.remap(flat, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR)
    ground += rng.uniform(1, 3.5) * smooth_noise(rng, picture, (14, 90)) + 1.6 * rng.standard_normal(picture)
    ground += rng.uniform(122, 142) + 80 * snow
    if rng.random() < 0.25:
        edge = rng.uniform(6, 14) + 1.5 * smooth_noise(rng, (1, WIDTH), (1, 12))
        trees = rng.uniform(75, 105) + 9 * smooth_noise(rng, picture, (4, 4))
        beyond = 1 / (1 + np.exp((np.arange(HEIGHT)[:, None] - edge) / 0.7))
        ground += beyond * (trees - ground)
    return ground


def room(rng, floor):
    """A lit wall with a skirting board along the row `floor`, and a darker floor below it."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot((columns - rng.uniform(50, 110)) / 100, (rows - rng.uniform(25, 60)) / 110)
    light = rng.uniform(115, 160) * (1.05 - rng.uniform(0.25, 0.5) * distance**1.6)
    edge = floor + rng.uniform(-0.02, 0.02) * (columns - WIDTH / 2)
    board = rng.uniform(8, 25) * np.exp(-(((rows - edge + 1.5) / 1.2) ** 2))
    wall = light + board + 1.2 * smooth_noise(rng, (HEIGHT, WIDTH), (12, 20))
    carpet = light * rng.uniform(0.48, 0.65) + 2.5 * smooth_noise(rng, (HEIGHT, WIDTH), (1.5, 3))
    return wall + (carpet - wall) / (1 + np.exp((edge - rows) / 0.4))


def course(scene, action, rng, index):
    """One pass (the `index`th) from beyond one side of the picture to beyond the other, N frames.

    Per frame x and ground (N,), the point on the ground below the hips, and scale (N,), the body height, in pixels;
    direction, turn (foreshortening) and slope (y per x) of the path; and the outline of the body (see `outline`).
    """
    person, diagonal = scene["person"], scene["scenario"] == 2
    height, turn = scene["height"] * rng.uniform(0.98, 1.02), 0.86 if diagonal else 1.0
    start, end = height * np.array([(1, 1), (0.68, 0.95), (0.95, 0.68)][diagonal * (1 + index % 2)])
    speed = person["speed"][action] * scene["pace"] * np.exp(0.04 * rng.standard_normal())
    speed = min(speed, TOP_SPEED * KTH_FPS / height)
    gait = prepare_gait(action, person, speed)
    n_frames = int((WIDTH + 80) / (speed / KTH_FPS * turn * (start + end) / 2))
    cycles = rng.random() + np.arange(n_frames) * gait["cadence"] / KTH_FPS
    scale = np.linspace(start, end, n_frames)
    covered = turn * np.cumsum(np.gradient(hip_path(gait, cycles)[0]) * scale)
    direction = scene["first"] * (-1) ** index
    x = WIDTH / 2 + direction * (covered - covered[-1] / 2)
    ground = scene["ground"] + rng.uniform(-2, 2) + diagonal * (6 - 1.5 * (0.95 * height - scale))
    return {"x": x, "ground": ground, "scale": scale, "direction": direction, "turn": turn,
            "slope": (ground[-1] - ground[0]) / (x[-1] - x[0]),
            "outline": outline(body_parts(person, gait, cycles))}


def outline(parts):
    """All circles of `parts`, centres (N, K, 2) and radii (K,), and the strokes: (circles, shading, grey) in order."""
    centres, radii, strokes, first = [], [], [], 0
    for grey, hulls in parts:
        edges = first + np.cumsum([0] + [len(hull_radii) for _, hull_radii in hulls])
        strokes += [(slice(a, b), level, (float(min(grey * SHADING[level][1], 255)), 255.0))
                    for level in range(len(SHADING)) for a, b in pairwise(edges)]
        centres += [hull_centres for hull_centres, _ in hulls]
        radii += [hull_radii for _, hull_radii in hulls]
        first = edges[-1]
    return np.concatenate(centres, axis=1), np.concatenate(radii), strokes


def draw(walk, frame):
    """The person of one frame: grey level times coverage, and coverage (0..1), each (120, 160 + 4 MARGIN)."""
    centres, radii, strokes = walk["outline"]
    x, ground, scale = walk["x"][frame], walk["ground"][frame], walk["scale"][frame]
    left = int(np.floor(x)) - MARGIN
    forward = centres[frame, :, 0] * scale * walk["direction"] * walk["turn"]
    spots = np.stack([x - left + forward, ground - centres[frame, :, 1] * scale + walk["slope"] * forward], axis=-1)
    size, _, lift = np.array(SHADING).T[..., None] * radii * scale  # (levels, K)
    rims = spots[:, None] + size[..., None, None] * CIRCLE - lift[..., None, None] * [0, 1]  # (levels, K, 14, 2)
    rims = np.round(rims * ZOOM * 16).astype(np.int32)
    canvas = np.zeros((HEIGHT * ZOOM, 2 * MARGIN * ZOOM, 2), np.uint8)
    for circles, level, colour in strokes:
        cv2.fillConvexPoly(canvas, cv2.convexHull(rims[level, circles].reshape(-1, 2)), colour, cv2.LINE_8, 4)
    small = cv2.resize(canvas, (2 * MARGIN, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    wide = np.zeros((HEIGHT, WIDTH + 4 * MARGIN, 2), np.float32)
    wide[:, left + 2 * MARGIN : left + 4 * MARGIN] = cv2.GaussianBlur(small, (3, 3), 0.5)
    return wide[..., 0], wide[..., 1] / 255


def cast(coverage, ground, shear, flatten, blur, shift=0.0):
    """The shadow of a silhouette: sheared and flattened about the row `ground`, shifted sideways, blurred."""
    matrix = np.float32([[1, -shear, shear * ground + shift], [0, flatten, (1 - flatten) * ground]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(coverage, matrix, coverage.shape[::-1]), (0, 0), blur)
    return shadow[:, 2 * MARGIN : 2 * MARGIN + WIDTH]


def shade(scene, coverage, x, ground):
    """What the person's shadows leave of the light, (120, 160)."""
    away = (x - scene["lamp"]) / WIDTH  # shadows fall away from the lamp
    if scene["scenario"] == 4:
        wall = cast(coverage, ground, 0, 0.97, 5, 35 * away)
        wall[int(scene["floor"]) :] *= 0.3
        floor = cast(coverage, ground, 0.6 * away, 0.12, 1.5)
        return (1 - scene["shadow"] * wall) * (1 - 0.5 * scene["shadow"] * floor)
    slant = scene["lamp"] / WIDTH * 4 - 2  # the sun is far: the same for the whole field
    shape = (slant, 0.2, 0.8) if scene["sunny"] else (0.2 * slant, 0.1, 1.5)
    return 1 - scene["shadow"] * cast(coverage, ground, *shape)


def wobble(rng, n_frames, size, memory):
    """A random walk (n_frames,) drawn back to 0, with deviation `size`."""
    steps = rng.standard_normal(n_frames) * size * np.sqrt(1 - memory**2)
    for i in range(1, n_frames):
        steps[i] += memory * steps[i - 1]
    return steps


def render(scene, shots, rng):
    """Frames (N, 120, 160) uint8 and masks (N, 120, 160) bool of `shots`: None, or (walk, frame of the walk)."""
    n, inside = len(shots), slice(2 * MARGIN, 2 * MARGIN + WIDTH)
    right, down, gain = wobble(rng, n, 0.12, 0.9), wobble(rng, n, 0.08, 0.9), 1 + wobble(rng, n, 0.005, 0.7)
    frames = rng.standard_normal((n, HEIGHT, WIDTH), np.float32) * scene["noise"]
    masks = np.zeros((n, HEIGHT, WIDTH), bool)
    background = scene["background"].astype(np.float32)
    for i, shot in enumerate(shots):
        shift = np.float32([[1, 0, right[i]], [0, 1, down[i]]])
        picture = cv2.warpAffine(background, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        if shot:
            walk, frame = shot
            x, ground = walk["x"][frame], walk["ground"][frame]
            grey, coverage = draw(walk, frame)
            picture *= shade(scene, coverage, x, ground)
            grey, coverage = grey[:, inside], coverage[:, inside]
            picture = (1 - coverage) * picture + grey + coverage * np.roll(scene["folds"], round(x), axis=1)
            masks[i] = coverage >= 0.5
        frames[i] += gain[i] * picture
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
