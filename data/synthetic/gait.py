"""A walking or running body seen from the side: joint angles over the gait cycle, path of the hips, body parts.

Lengths are in body heights and angles in radians; x points forward and y up. The phase of a leg runs from 0 (its foot
strikes the ground) to 1 (the same foot strikes again). The other leg is half a cycle away. The angle curves are rounded
from laboratory tables (walking: Winter, Biomechanics and Motor Control of Human Movement; running: Novacheck, The
biomechanics of running, 1998). They are given in degrees at every twentieth of the cycle; a Fourier series joins them.

    gait = prepare_gait("walking", person, speed=0.6)
    distance, height = hip_path(gait, cycles)
    parts = body_parts(person, gait, cycles)
"""

from typing import Any

import numpy as np

# thigh: angle from the vertical, forward positive; knee: flexion; ankle: dorsiflexion. stance: share of the cycle in
# which the foot is on the ground. arm: mean and amplitude of the angle of the upper arm. elbow: mean flexion, and the
# amplitude with which it follows the arm. lean: angle of the trunk. All angles are in degrees. reference_speed: the
# speed at which the tables were measured, in body heights per second.
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
GRID = 200  # number of phases in a step (half a cycle) at which the path of the hips is computed
GRAVITY = 9.81 / 1.75  # body heights per second squared

Hull = tuple[np.ndarray, np.ndarray]  # the convex hull of k circles: centres (N, k, 2) and radii (k,)


def periodic_curve(samples: list[float] | np.ndarray, phase: np.ndarray, harmonics: int = 6) -> np.ndarray:
    """Return the values (N,) at `phase` (N,) of the Fourier series through `samples`, equally spaced over the cycle."""
    coefficients = np.fft.rfft(samples)[: harmonics + 1] / len(samples)
    turns = np.exp(2j * np.pi * np.outer(phase, np.arange(1, harmonics + 1)))
    return coefficients[0].real + 2 * (turns @ coefficients[1:]).real


def limb_vector(angle: np.ndarray, length: float) -> np.ndarray:
    """Return the vector (N, 2) of a limb that hangs at `angle` (N,) from the vertical, forward positive."""
    return length * np.stack([np.sin(angle), -np.cos(angle)], axis=-1)


def leg(gait: dict[str, Any], phase: np.ndarray) -> np.ndarray:
    """Return hip, knee, ankle, heel, ball and tip of the foot (N, 6, 2), relative to the hip, at `phase` (N,)."""
    person, reach = gait["person"], gait["reach"]
    thigh = np.radians(periodic_curve(gait["thigh"], phase) * reach)
    shank = thigh - np.radians(np.maximum(periodic_curve(gait["knee"], phase) * (0.65 + 0.35 * reach), 2))
    foot = shank + np.radians(periodic_curve(gait["ankle"], phase))
    knee = limb_vector(thigh, person["thigh"])
    ankle = knee + limb_vector(shank, person["shank"])
    sole = ankle + limb_vector(foot, FOOT["sole"])
    ball = sole + limb_vector(foot + np.pi / 2, FOOT["ball"])
    toe_angle = np.where(foot < 0, 0.15 * foot, foot)  # the toes bend when the heel rises
    toe = ball + limb_vector(toe_angle + np.pi / 2, FOOT["toe"])
    return np.stack([0 * knee, knee, ankle, sole - limb_vector(foot + np.pi / 2, FOOT["heel"]), ball, toe], axis=1)


def arm(gait: dict[str, Any], phase: np.ndarray) -> np.ndarray:
    """Return shoulder, elbow, wrist and finger tips (N, 4, 2), relative to the shoulder.

    phase (N,): the phase of the leg on the same side of the body.
    """
    forward = -np.cos(2 * np.pi * (phase - 0.04))  # the arm swings against the leg of its side
    (mean, swing), (flexion, gain) = gait["arm"], gait["elbow"]
    upper = np.radians(mean + swing * gait["person"]["arm_swing"] * gait["reach"] * forward)
    lower = upper + np.radians(flexion + gain * forward)
    elbow = limb_vector(upper, gait["person"]["upper_arm"])
    wrist = elbow + limb_vector(lower, gait["person"]["forearm"])
    return np.stack([0 * elbow, elbow, wrist, wrist + limb_vector(lower + 0.2, 0.07)], axis=1)


def prepare_gait(action: str, person: dict[str, Any], speed: float) -> dict[str, Any]:
    """Return the gait of a person at `speed` (body heights per second). Strides and cadence grow with the speed.

    `person` holds thigh, shank, upper_arm, forearm (lengths) and arm_swing (a factor). Adds to the entry of GAITS
    - reach: the factor by which the limbs swing more widely than in the tables,
    - stride: the length of a cycle; cadence: cycles per second (stride x cadence = speed),
    - height (GRID,): the height of the hips over one step; lead (GRID,): how far they are ahead of a steady advance.
    The point of the feet that bears the weight stays in place. While no foot is on the ground, the hips fall freely.
    """
    gait = dict(GAITS[action], person=person)
    gait["reach"] = float(np.clip(np.sqrt(speed / gait["reference_speed"]), 0.6, 1.25))
    phase, rows = np.arange(GRID + 1) / GRID / 2, np.arange(GRID)
    soles = np.concatenate([leg(gait, phase + side)[:, 3:] for side in (0, 0.5)], axis=1)  # (GRID + 1, 6 points, 2)
    bearing = soles[:-1, :, 1].argmin(1)  # (GRID,) the lowest point of both feet
    height = -soles[rows, bearing, 1]
    advance = soles[rows, bearing, 0] - soles[rows + 1, bearing, 0]
    flying = phase[:-1] >= gait["stance"]
    advance[flying] = advance[~flying].mean()
    gait["stride"] = 2 * advance.sum()
    gait["cadence"] = speed / gait["stride"]
    share = np.linspace(0, 1, flying.sum())  # of the flight that is over; empty for a walker
    take_off, seconds = height[~flying][-1], (0.5 - gait["stance"]) / gait["cadence"]
    height[flying] = take_off + (height[0] - take_off) * share + GRAVITY / 2 * seconds**2 * share * (1 - share)
    gait["height"], gait["lead"] = height, np.cumsum(advance - advance.mean())
    return gait


def hip_path(gait: dict[str, Any], cycles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance covered by the hips and their height above ground, each (N,), after `cycles` (N,) cycles."""
    distance = gait["stride"] * cycles + periodic_curve(gait["lead"], 2 * cycles, 4)
    return distance, periodic_curve(gait["height"], 2 * cycles, 4)


def body_parts(person: dict[str, Any], gait: dict[str, Any], cycles: np.ndarray) -> list[tuple[float, list[Hull]]]:
    """Return the parts of the body from back to front, [(grey level, [hull, ...]), ...], after `cycles` (N,) cycles.

    The centres of the hulls are relative to the point on the ground below the hips.
    """
    greys, girth = person["greys"], person["girth"]
    hips = np.stack([0 * cycles, hip_path(gait, cycles)[1] + SOLE_RADIUS], axis=1)  # (N, 2)
    lean = np.radians(person["lean"] + gait["lean"] + 1.2 * np.cos(4 * np.pi * cycles))
    up = limb_vector(lean, 1) * [1, -1]  # unit vector along the trunk
    front = up[:, ::-1] * [1, -1]  # unit vector at a right angle to it
    neck = hips + person["trunk"] * up
    head = neck + 0.105 * up + 0.01 * front
    twist = np.stack([np.cos(2 * np.pi * cycles), 0 * cycles], axis=1)  # hips and shoulders turn against each other

    def limbs(side: int, brightness: float) -> tuple[list, list, np.ndarray]:
        """Return the parts of arm and leg, and the vector from hip to knee, of the near (0) or the far side (1)."""
        turned = (0.5 - side) * twist
        a = arm(gait, cycles + side / 2) + (neck - 0.03 * up - 0.05 * turned)[:, None]
        b = leg(gait, cycles + side / 2) + (hips + 0.024 * turned + [0, 0.012 * side])[:, None]
        hand = (greys["skin"] * brightness, chain(a[:, 2:], 0.021, 0.017))
        sleeve = (greys["trunk"] * brightness, chain(a[:, :3], 0.038 * girth, 0.032 * girth, 0.025 * girth))
        shoe = (greys["shoes"] * brightness, [(b[:, 3:], np.array([SOLE_RADIUS, SOLE_RADIUS, 0.014])),
                                              *chain(np.stack([b[:, 2], b[:, 3:5].mean(1)], 1), 0.028, 0.022)])
        trousers = (greys["legs"] * brightness, chain(b[:, :3], 0.076 * girth, 0.05 * girth, 0.034 * girth))
        return [hand, sleeve], [shoe, trousers], b[:, 1] - b[:, 0]

    far_arm, far_leg, far_knee = limbs(1, 0.85)
    near_arm, near_leg, near_knee = limbs(0, 1.0)
    trunk = [hull((hips + 0.015 * up, 0.077 * girth), (hips + 0.1 * up + 0.012 * front, 0.07 * girth),
                  (hips + 0.2 * up, 0.078 * girth), (neck, 0.038))]
    if person["coat"]:
        hem = [(hips + person["coat"] * knee, 0.07) for knee in (far_knee, near_knee)]
        trunk.append(hull((hips, 0.08 * girth), *hem))
    parts = [*far_arm, *far_leg, *near_leg]
    if person["bag"]:
        bag = neck - 0.1 * girth * front
        parts.append((person["bag"], [hull((bag - 0.05 * up, 0.045), (bag - 0.18 * up, 0.06))]))
    return [
        *parts,
        (0.9 * greys["skin"], [hull((neck, 0.036), (head, 0.03))]),
        (greys["trunk"], trunk),
        (greys["skin"], [hull((head + 0.01 * up, 0.05), (head - 0.034 * up + 0.018 * front, 0.03),
                              (head - 0.008 * up + 0.05 * front, 0.009))]),
        (greys["hair"], [hull((head + 0.026 * up - 0.02 * front, 0.047),
                              (head - person["hair"] * up - 0.034 * front, 0.034))]),
        *near_arm,
    ]


def hull(*circles: tuple[np.ndarray, float]) -> Hull:
    """Return the convex hull of circles, each (centre (N, 2), radius)."""
    centres, radii = zip(*circles, strict=True)
    return np.stack(centres, axis=1), np.array(radii)


def chain(joints: np.ndarray, *radii: float) -> list[Hull]:
    """Return the hulls of successive pairs of `joints` (N, k, 2), with one radius per joint."""
    return [(joints[:, k : k + 2], np.array(radii[k : k + 2])) for k in range(len(radii) - 1)]
