"""How drawn people walk and run."""

import numpy as np
import pytest

from data.synthetic.gait import hip_path, leg, prepare_gait
from data.synthetic.people import make_person


def feet(action, speed):
    """Return the gait, and where heel, ball and tip of both feet are: (200 phases, 2 feet, 3 points, 2)."""
    gait = prepare_gait(action, make_person(1, 11), speed)
    phase = np.arange(200) / 200
    hips = np.stack(hip_path(gait, phase), axis=-1)[:, None]
    return gait, np.stack([leg(gait, phase + side)[:, 3:] + hips for side in (0, 0.5)], axis=1)


@pytest.mark.parametrize(
    ("action", "speed"), [("walking", 0.45), ("walking", 0.75), ("running", 1.3), ("running", 2.1)]
)
def test_gait_obeys_ground_and_speed(action, speed):
    gait, points = feet(action, speed)
    lowest = points[..., 1].min(2)  # (phases, feet)
    assert gait["stride"] * gait["cadence"] == pytest.approx(speed)
    assert points[..., 1].min() > -0.004, "no foot sinks into the ground"
    airborne = (lowest.min(1) > 0.012).mean()
    if action == "walking":
        assert airborne == 0, "a walker always has a foot on the ground"
        assert lowest.max(1).min() < 0.003, "and at times both of them"
        assert lowest.max(1).max() > 0.03, "but lifts the one that swings"
    else:
        assert 0.1 < airborne < 0.4, "a runner flies"


@pytest.mark.parametrize(("action", "speed"), [("walking", 0.6), ("running", 1.6)])
def test_bearing_foot_stays_in_place(action, speed):
    gait, points = feet(action, speed)
    flat = points[:, 0, 1]  # ball of one foot
    bearing = flat[:, 1] < 0.006
    step = np.abs(np.diff(flat[:, 0]))[bearing[1:] & bearing[:-1]]
    assert bearing.sum() > 30
    assert np.median(step) < 0.15 * gait["stride"] / 200, "against what the body covers between two phases"
