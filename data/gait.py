"""A walking or running body seen from the side: joint angles over the gait cycle, the path of the hips, the parts.

Lengths are in body heights, angles in radians, x points forward and y up. The phase of a leg runs from 0 (its foot
strikes the ground) to 1 (it strikes again); the other leg is half a cycle away. Angle curves are rounded from the
usual laboratory tables (walking: Winter, Biomechanics and Motor Control of Human Movement; running: Novacheck, The
biomechanics of running, 1998), given in degrees at every twentieth of the cycle and joined by a Fourier series.

    gait = prepare_gait("walking", person, speed=0.6)
    advance, height = hip_path(gait, cycles)
    parts = body_parts(person, gait, cycles)
"""

import numpy as np

# thigh: from the vertical, forward positive; knee: flexion; ankle: dorsiflexion. stance: share of the cycle on the
# ground. arm: mean and swing of the upper arm; elbow: mean flexion and what it gains as the arm comes forward. lean:
# of the trunk. reference_speed: the speed of the tables, in body heights per second.
GAITS = {
    "walking": {
        "thigh": [24, 23, 19, 14, 9, 4, -1, -6, -11, -15, -18, -18, -13, -4, 7, 16, 23, 26, 26, 25],
        "knee": [3, 8, 13, 14, 12, 9, 6, 4, 4, 7, 13, 24, 39, 54, 63, 63, 54, 38, 18, 5],
        "ankle": [-1, -6, -5, 0, 3, 5, 7, 9, 10, 10, 7, -3, -14, -17, -10, -1, 4, 5, 3, 1],
        "stance": 0.61, "arm": (-4, 22), "elbow": (24, 13), "lean": 2.5, "reference_speed": 0.75,
    },
    "running": {
        "thigh": [31, 30, 26, 20, 12, 3, -7, -16, -22, -21, -14, -4, 8, 20, 31, 39, 43, 43, 39, 34],
        "knee": [14, 24, 34, 38, 36, 30, 22, 16, 20, 38, 60, 81, 97, 104, 99, 84, 62, 38, 19, 10],
        "ankle": [2, 8, 16, 21, 20, 13, 0, -16, -25, -22, -12, -5, 0, 2, 3, 4, 4, 4, 3, 2],
        "stance": 0.36, "arm": (-22, 36), "elbow": (88, 16), "lean": 10, "reference_speed": 2.0,
    },
}
FOOT = {"heel": 0.036, "ball": 0.075, "toe": 0.036, "sole": 0.032}
SOLE_RADIUS = 0.019
GRID = 400  # phases at which the path of the hips is worked out
GRAVITY = 9.81 / 1.75  # body heights per second squared


def curve(samples, phase, harmonics=6):
    """The periodic curve through `samples`, equally spaced over the cycle, at any `phase` (N,): a Fourier series."""
    coefficients = np.fft.rfft(np.asarray(samples, float))[: harmonics + 1] / len(samples)
    turns = np.exp(2j * np.pi * np.outer(phase, np.arange(1, harmonics + 1)))
    return coefficients[0].real + 2 * (turns @ coefficients[1:]).real


def along(angle, length):
    """The vector (N, 2) of a limb that hangs at `angle` (N,) from the vertical, forward positive."""
    return length * np.stack([np.sin(angle), -np.cos(angle)], axis=-1)


def leg(gait, phase):
    """Hip, knee, ankle, heel, ball and tip of the foot, relative to the hip, as (N, 6, 2)."""
    person, reach = gait["person"], gait["reach"]
    thigh = np.radians(curve(gait["thigh"], phase) * reach)
    shank = thigh - np.radians(np.maximum(curve(gait["knee"], phase) * (0.65 + 0.35 * reach), 2))
    foot = shank + np.radians(curve(gait["ankle"], phase))
    knee = along(thigh, person["thigh"])
    ankle = knee + along(shank, person["shank"])
    sole = ankle + along(foot, FOOT["sole"])
    ball = sole + along(foot + np.pi / 2, FOOT["ball"])
    toe = ball + along(np.where(foot < 0, 0.15 * foot, foot) + np.pi / 2, FOOT["toe"])  # toes bend as the heel rises
    return np.stack([np.zeros_like(knee), knee, ankle, sole - along(foot + np.pi / 2, FOOT["heel"]), ball, toe], axis=1)


def arm(gait, phase):
    """Shoulder, elbow, wrist and finger tips relative to the shoulder (N, 4, 2), for the arm on the side of `phase`."""
    forward = -np.cos(2 * np.pi * (phase - 0.04))  # against the leg of its own side
    (mean, swing), (flexion, gain) = gait["arm"], gait["elbow"]
    upper = np.radians(mean + swing * gait["person"]["arm_swing"] * gait["reach"] * forward)
    lower = upper + np.radians(flexion + gain * forward)
    elbow = along(upper, gait["person"]["upper_arm"])
    wrist = elbow + along(lower, gait["person"]["forearm"])
    return np.stack([np.zeros_like(elbow), elbow, wrist, wrist + along(lower + 0.2, 0.07)], axis=1)


def prepare_gait(action, person, speed):
    """The gait of a person at `speed` (body heights per second): strides widen with speed and cadence does the rest.

    `person` holds thigh, shank, upper_arm, forearm (lengths) and arm_swing (a factor). Adds to the curves of GAITS
    `stride` (length of a cycle), `cadence` (cycles per second; stride x cadence = speed) and the hips' path over
    GRID phases: the point of the feet that bears the weight stays where it is, and in flight the hips fall freely.
    """
    gait = dict(GAITS[action], person=person)
    gait["reach"] = float(np.clip(np.sqrt(speed / gait["reference_speed"]), 0.6, 1.25))
    phase = np.arange(GRID) / GRID
    soles = np.concatenate([leg(gait, phase)[:, 3:], leg(gait, phase + 0.5)[:, 3:]], axis=1)  # (GRID, 6 points, 2)
    bearing = soles[..., 1].argmin(1)
    rows = np.arange(GRID)
    height = -soles[rows, bearing, 1]
    step = soles[rows, bearing, 0] - np.roll(soles, -1, axis=0)[rows, bearing, 0]
    flying = phase % 0.5 >= gait["stance"]
    step[flying] = step[~flying].mean()
    gait["stride"] = step.sum()
    gait["cadence"] = speed / gait["stride"]
    if flying.any():
        height = _free_fall(height, flying, (0.5 - gait["stance"]) / gait["cadence"])
    lag = np.concatenate([[0], np.cumsum(step - step.mean())[:-1]])
    gait["lag"] = curve(lag, phase, harmonics=8)
    gait["height"] = curve(height, phase, harmonics=8)
    return gait


def _free_fall(height, flying, seconds):
    """The height over the cycle with a parabola from toe-off to foot strike in the place of each flight."""
    first = np.flatnonzero(flying & ~np.roll(flying, 1))[0]
    share = np.linspace(0, 1, flying[: GRID // 2].sum())
    take_off, landing = height[first - 1], height[(first + len(share)) % GRID]
    arc = take_off + (landing - take_off) * share + GRAVITY / 2 * seconds**2 * share * (1 - share)
    height = height.copy()
    height[flying] = np.tile(arc, 2)
    return height


def hip_path(gait, phase):
    """Distance covered and height above ground of the hips, each (N,), at a running count of cycles `phase` (N,)."""
    grid = np.arange(GRID) / GRID
    advance = gait["stride"] * phase + np.interp(phase, grid, gait["lag"], period=1)
    return advance, np.interp(phase, grid, gait["height"], period=1)


def body_parts(person, gait, cycles):
    """The parts of the body from back to front: [(grey level, [(centres (N, k, 2), radii (k,)), ...]), ...].

    A part is one or more convex hulls of k circles; centres are relative to the ground below the hips.
    """
    greys, girth, coat = person["greys"], person["girth"], person["coat"]
    hips = np.stack([0 * cycles, hip_path(gait, cycles)[1] + SOLE_RADIUS], axis=1)  # (N, 2)
    lean = np.radians(person["lean"] + gait["lean"] + 1.2 * np.cos(4 * np.pi * cycles))
    up = along(lean, 1) * [1, -1]
    front = up[:, ::-1] * [1, -1]
    neck = hips + person["trunk"] * up
    twist = np.stack([np.cos(2 * np.pi * cycles), 0 * cycles], axis=1)  # the side of `cycles` forward at 0
    legs = [leg(gait, cycles + side / 2) + (hips + (0.5 - side) * 0.024 * twist + [0, 0.012 * side])[:, None]
            for side in (1, 0)]
    arms = [arm(gait, cycles + side / 2) + (neck - 0.03 * up - (0.5 - side) * 0.05 * twist)[:, None]
            for side in (1, 0)]

    def sleeve(joints, shade):
        puff = girth * (1.15 if coat else 1)
        yield greys["skin"] * shade, [hull(joints[:, 2], joints[:, 3], radii=(0.021, 0.017))]
        upper = hull(joints[:, 0], joints[:, 1], radii=(0.037 * puff, 0.031 * puff))
        yield greys["trunk"] * shade, [upper, hull(joints[:, 1], joints[:, 2], radii=(0.031 * puff, 0.024 * puff))]

    def trousers(joints, shade):
        hip, knee, ankle, heel, ball, toe = joints.transpose(1, 0, 2)
        yield greys["shoes"] * shade, [hull(heel, ball, toe, radii=(SOLE_RADIUS, SOLE_RADIUS, 0.014)),
                                       hull(ankle, (heel + ball) / 2, radii=(0.028, 0.022))]
        yield greys["legs"] * shade, [hull(hip, knee, radii=(0.076 * girth, 0.05 * girth)),
                                      hull(knee, 0.1 * knee + 0.9 * ankle, radii=(0.05 * girth, 0.034 * girth))]

    parts = [*sleeve(arms[0], 0.85), *trousers(legs[0], 0.85), *trousers(legs[1], 1.0)]
    if person["bag"]:
        back = neck - 0.1 * girth * front
        parts.append((person["bag"], [hull(back - 0.05 * up, back - 0.18 * up, radii=(0.045, 0.06))]))
    head = neck + 0.105 * up + 0.01 * front - [0.05 * np.sin(np.radians(gait["lean"])), 0]
    parts.append((0.9 * greys["skin"], [hull(neck, head, radii=(0.036, 0.03))]))
    trunk = [hull(hips + 0.015 * up, hips + 0.1 * up + 0.012 * front, hips + 0.2 * up + 0.006 * front,
                  neck - 0.005 * up, radii=(0.077 * girth, 0.07 * girth, 0.078 * girth, 0.038))]
    if coat:
        hem = [hips + coat * (joints[:, 1] - joints[:, 0]) + side * 0.06 * girth * front
               for joints in legs for side in (-1, 1)]
        trunk.append(hull(hips, *hem, radii=(0.08 * girth, 0.02, 0.02, 0.02, 0.02)))
    parts.append((greys["trunk"], trunk))
    if person["stripe"]:
        chest = hips + 0.19 * up
        parts.append((210, [hull(chest - 0.06 * front, chest + 0.065 * front, radii=(0.013, 0.013))]))
    return [*parts, *head_parts(person, head, up, front), *sleeve(arms[1], 1.0)]


def hull(*centres, radii):
    return np.stack(centres, axis=1), np.array(radii)


def head_parts(person, head, up, front):
    """Face, hair and what else is on the head."""
    crown = hull(head + 0.026 * up - 0.02 * front, head - 0.006 * up - 0.032 * front, radii=(0.047, 0.037))
    tops = {
        "short": [],
        "cap": [hull(head + 0.034 * up + 0.05 * front, head + 0.03 * up, radii=(0.008, 0.046))],
        "long": [hull(head - 0.025 * front, head - 0.08 * up - 0.04 * front, radii=(0.043, 0.027))],
        "tail": [hull(head + 0.01 * up - 0.06 * front, head - 0.075 * up - 0.085 * front, radii=(0.018, 0.018))],
    }
    face = hull(head + 0.01 * up, head - 0.034 * up + 0.018 * front, head - 0.008 * up + 0.05 * front,
                radii=(0.05, 0.03, 0.009))
    return [(person["greys"]["skin"], [face]), (person["greys"]["hair"], [crown, *tops[person["hair"]]])]
