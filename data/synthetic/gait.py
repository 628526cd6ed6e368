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
GRID = 200  # phases of a step, half a cycle, at which the path of the hips is worked out
GRAVITY = 9.81 / 1.75  # body heights per second squared


def curve(samples, phase, harmonics=6):
    """The periodic curve through `samples`, equally spaced over the cycle, at any `phase` (N,): a Fourier series."""
    coefficients = np.fft.rfft(samples)[: harmonics + 1] / len(samples)
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
    return np.stack([0 * knee, knee, ankle, sole - along(foot + np.pi / 2, FOOT["heel"]), ball, toe], axis=1)


def arm(gait, phase):
    """Shoulder, elbow, wrist and finger tips relative to the shoulder (N, 4, 2), for the arm on the side of `phase`."""
    forward = -np.cos(2 * np.pi * (phase - 0.04))  # against the leg of its own side
    (mean, swing), (flexion, gain) = gait["arm"], gait["elbow"]
    upper = np.radians(mean + swing * gait["person"]["arm_swing"] * gait["reach"] * forward)
    lower = upper + np.radians(flexion + gain * forward)
    elbow = along(upper, gait["person"]["upper_arm"])
    wrist = elbow + along(lower, gait["person"]["forearm"])
    return np.stack([0 * elbow, elbow, wrist, wrist + along(lower + 0.2, 0.07)], axis=1)


def prepare_gait(action, person, speed):
    """The gait of a person at `speed` (body heights per second): strides widen with speed and cadence does the rest.

    `person` holds thigh, shank, upper_arm, forearm (lengths) and arm_swing (a factor). Adds to the curves of GAITS
    `stride` (length of a cycle), `cadence` (cycles per second; stride x cadence = speed) and the hips' path over one
    step: the point of the feet that bears the weight stays where it is, and in flight the hips fall freely.
    """
    gait = dict(GAITS[action], person=person)
    gait["reach"] = float(np.clip(np.sqrt(speed / gait["reference_speed"]), 0.6, 1.25))
    phase, rows = np.arange(GRID + 1) / GRID / 2, np.arange(GRID)
    soles = np.concatenate([leg(gait, phase + side)[:, 3:] for side in (0, 0.5)], axis=1)  # (GRID + 1, 6 points, 2)
    bearing = soles[:-1, :, 1].argmin(1)
    height = -soles[rows, bearing, 1]
    advance = soles[rows, bearing, 0] - soles[rows + 1, bearing, 0]
    flying = phase[:-1] >= gait["stance"]
    advance[flying] = advance[~flying].mean()
    gait["stride"] = 2 * advance.sum()
    gait["cadence"] = speed / gait["stride"]
    share = np.linspace(0, 1, flying.sum())  # of the flight; nothing for a walker, who has none
    take_off, seconds = height[~flying][-1], (0.5 - gait["stance"]) / gait["cadence"]
    height[flying] = take_off + (height[0] - take_off) * share + GRAVITY / 2 * seconds**2 * share * (1 - share)
    gait["height"], gait["lag"] = height, np.cumsum(advance - advance.mean())
    return gait


def hip_path(gait, phase):
    """Distance covered and height above ground of the hips, each (N,), at a running count of cycles `phase` (N,)."""
    return gait["stride"] * phase + curve(gait["lag"], 2 * phase, 4), curve(gait["height"], 2 * phase, 4)


def body_parts(person, gait, cycles):
    """The parts of the body from back to front: [(grey level, [(centres (N, k, 2), radii (k,)), ...]), ...].

    A part is one or more convex hulls of k circles; centres are relative to the ground below the hips.
    """
    greys, girth = person["greys"], person["girth"]
    hips = np.stack([0 * cycles, hip_path(gait, cycles)[1] + SOLE_RADIUS], axis=1)  # (N, 2)
    lean = np.radians(person["lean"] + gait["lean"] + 1.2 * np.cos(4 * np.pi * cycles))
    up = along(lean, 1) * [1, -1]
    front = up[:, ::-1] * [1, -1]
    neck = hips + person["trunk"] * up
    head = neck + 0.105 * up + 0.01 * front
    twist = np.stack([np.cos(2 * np.pi * cycles), 0 * cycles], axis=1)  # the side of `cycles` forward at 0

    def limbs(side, shade):
        """The arm and the leg of the near side (0) or the far side (1), and the knee's way from the hip."""
        turned = (0.5 - side) * twist
        a = arm(gait, cycles + side / 2) + (neck - 0.03 * up - 0.05 * turned)[:, None]
        b = leg(gait, cycles + side / 2) + (hips + 0.024 * turned + [0, 0.012 * side])[:, None]
        return [
            (greys["skin"] * shade, chain(a[:, 2:], 0.021, 0.017)),
            (greys["trunk"] * shade, chain(a[:, :3], 0.038 * girth, 0.032 * girth, 0.025 * girth)),
        ], [
            (greys["shoes"] * shade, [(b[:, 3:], np.array([SOLE_RADIUS, SOLE_RADIUS, 0.014])),
                                      *chain(np.stack([b[:, 2], b[:, 3:5].mean(1)], 1), 0.028, 0.022)]),
            (greys["legs"] * shade, chain(b[:, :3], 0.076 * girth, 0.05 * girth, 0.034 * girth)),
        ], b[:, 1] - b[:, 0]

    (far_arm, far_leg, far_knee), (near_arm, near_leg, near_knee) = limbs(1, 0.85), limbs(0, 1.0)
    trunk = [hull((hips + 0.015 * up, 0.077 * girth), (hips + 0.1 * up + 0.012 * front, 0.07 * girth),
                  (hips + 0.2 * up, 0.078 * girth), (neck, 0.038))]
    if person["coat"]:
        hem = [(hips + person["coat"] * knee, 0.07) for knee in (far_knee, near_knee)]
        trunk.append(hull((hips, 0.08 * girth), *hem))
    bag = neck - 0.1 * girth * front
    return [
        *far_arm, *far_leg, *near_leg,
        *([(person["bag"], [hull((bag - 0.05 * up, 0.045), (bag - 0.18 * up, 0.06))])] if person["bag"] else []),
        (0.9 * greys["skin"], [hull((neck, 0.036), (head, 0.03))]),
        (greys["trunk"], trunk),
        (greys["skin"], [hull((head + 0.01 * up, 0.05), (head - 0.034 * up + 0.018 * front, 0.03),
                              (head - 0.008 * up + 0.05 * front, 0.009))]),
        (greys["hair"], [hull((head + 0.026 * up - 0.02 * front, 0.047),
                              (head - person["hair"] * up - 0.034 * front, 0.034))]),
        *near_arm,
    ]


def hull(*circles):
    """The convex hull of circles (centre (N, 2), radius)."""
    centres, radii = zip(*circles, strict=True)
    return np.stack(centres, axis=1), np.array(radii)


def chain(joints, *radii):
    """Hulls between joints (N, k, 2) that follow each other."""
    return [(joints[:, k : k + 2], np.array(radii[k : k + 2])) for k in range(len(radii) - 1)]
