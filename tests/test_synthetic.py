import json
import multiprocessing
import os
import signal

import numpy as np
import pytest

from data.datasets.kth import read_sequences
from data.synthetic.gait import hip_path, leg, prepare_gait
from data.synthetic.people import ACTIONS, EVIDENCE, SCENARIOS, WIDTH, course, make_person, make_scene, synthesize
from data.video import masks_path, read_masks, read_video, write_video
from utils import synthesize_kth
from utils.batch import Record


def feet(action, speed):
    """Where heel, ball and tip of both feet are (200 phases, 2 feet, 3 points, 2), above ground and along the way."""
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


@pytest.mark.parametrize(("action", "speed"), [("walking", 0.6), ("running", 1.6)])
def test_knees_bend_forward(action, speed):
    gait = prepare_gait(action, make_person(1, 11), speed)
    hip, knee, ankle = leg(gait, np.arange(100) / 100)[:, :3].transpose(1, 0, 2)
    thigh, shank = knee - hip, ankle - knee
    turn = thigh[:, 0] * shank[:, 1] - thigh[:, 1] * shank[:, 0]
    assert (turn < 0).all(), "the shank is turned backwards from the thigh"


@pytest.fixture(scope="module")
def walk():
    return synthesize(1, 11, 1, "walking", passes=2)


def test_ranges_cover_the_passes(walk):
    frames, masks, ranges = walk
    assert frames.shape == masks.shape == (len(frames), 120, 160)
    assert (frames.dtype, masks.dtype, len(ranges)) == (np.uint8, bool, 2)
    listed = np.zeros(len(frames), bool)
    for first, last in ranges:
        listed[first - 1 : last] = True
    np.testing.assert_array_equal(listed, masks.any((1, 2)))
    centre = [[np.nonzero(masks[i])[1].mean() for i in (first + 9, last - 10)] for first, last in ranges]
    assert (centre[0][0] < WIDTH / 2) == (centre[0][1] > WIDTH / 2), "from one side to the other"
    assert (centre[0][0] < WIDTH / 2) == (centre[1][1] < WIDTH / 2), "and back"


@pytest.mark.parametrize(("number", "scenario", "action"), [(11, 1, "walking"), (14, 3, "running"), (16, 4, "running")])
def test_masks_are_where_the_picture_differs(number, scenario, action):
    frames, masks, _ = synthesize(2, number, scenario, action, passes=1)
    empty = np.median(frames[~masks.any((1, 2))], axis=0)
    middle = np.flatnonzero(masks.sum((1, 2)) > 600)
    assert len(middle) > 10
    difference = np.abs(frames[middle].astype(float) - empty)
    shown = masks[middle]
    assert (difference[shown] > 15).mean() > 0.8
    assert (difference[~shown] > 40).mean() < 0.01, "a shadow is fainter than the person"
    assert 0.02 < shown.mean() < 0.15


def test_the_seed_decides():
    first, again, other = (synthesize(seed, 12, 3, "running", passes=1) for seed in (1, 1, 2))
    for before, now in zip(first, again, strict=True):
        np.testing.assert_array_equal(before, now)
    assert not np.array_equal(first[0][:20], other[0][:20])


def test_background_does_not_tell_the_action(walk):
    frames, masks, _ = synthesize(1, 11, 1, "running", passes=1)
    empty = [f[~m.any((1, 2))].mean(0) for f, m in ((frames, masks), walk[:2])]
    assert np.abs(empty[0] - empty[1]).mean() < 1.5
    elsewhere = make_scene(1, 11, 2)["background"]
    assert np.abs(empty[0] - elsewhere).mean() > 3


def test_same_body_in_all_videos():
    body = [{part: make_scene(1, 12, scenario)["person"][part] for part in ("height", "thigh", "arm_swing", "speed")}
            for scenario in (1, 2, 3, 4)]
    assert body[0] == body[1] == body[2] == body[3]
    assert body[0] != {part: make_person(1, 13)[part] for part in body[0]}


def test_speeds_are_those_of_kth():
    speeds = {action: [] for action in ACTIONS}
    frames = {action: [] for action in ACTIONS}
    for number in synthesize_kth.PERSONS:
        for scenario in SCENARIOS:
            scene = make_scene(1, number, scenario)
            for action in ACTIONS:
                x = course(scene, action, np.random.default_rng(number), 0)["x"]
                speeds[action].append(np.abs(np.diff(x)).mean())
                frames[action].append((np.abs(x - WIDTH / 2) < WIDTH / 2).sum())
    assert np.median(speeds["walking"]) == pytest.approx(1.9, abs=0.3)
    assert np.median(speeds["running"]) == pytest.approx(5.4, abs=0.5)
    assert min(speeds["running"]) < 1.25 * max(speeds["walking"])
    assert min(frames["running"]) >= 25 and max(frames["walking"]) < 180


def test_scale_changes_along_the_pass_in_d2():
    _, masks, ranges = synthesize(1, 12, 2, "running", passes=2)
    for first, last in ranges:
        height = [masks[i].any(1).sum() for i in (first + 9, last - 10)]
        assert max(height) > 1.1 * min(height)


@pytest.mark.parametrize("n_frames", [30, 20])
@pytest.mark.parametrize("evidence", EVIDENCE)
def test_evidence_is_in_its_third_only(evidence, n_frames):
    _, masks, ranges = synthesize(1, 13, 1, "running", passes=2, n_frames=n_frames, evidence=evidence)
    third = EVIDENCE[evidence]
    expected = np.zeros(len(masks), bool)
    for first, last in ranges:
        assert last - first + 1 == n_frames
        expected[first - 1 + n_frames * third // 3 : first - 1 + n_frames * (third + 1) // 3] = True
    np.testing.assert_array_equal(masks.any((1, 2)), expected)
    assert not masks[:, :, [0, -1]].any(), "inside the picture"
    seen = np.flatnonzero(expected)[:6]
    centres = [np.nonzero(masks[i])[1].mean() for i in seen]
    assert abs(centres[-1] - centres[0]) > 10, "and moving"


def run(tmp_path, *options):
    return synthesize_kth.main(["--output", str(tmp_path), "--passes", "1", "--workers", "1", *options])


def refusal(capsys, tmp_path, *options):
    with pytest.raises(SystemExit) as end:
        run(tmp_path, *options)
    assert end.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


FEW = ("--persons", "2", "11", "--scenarios", "1", "--actions", "running")


def test_command_makes_videos_and_goes_on(tmp_path, capsys):
    run(tmp_path, *FEW)
    assert "running: 2 videos drawn, 0 kept" in capsys.readouterr().out
    first, second = sorted((tmp_path / "running").glob("*.avi"))
    frames, fps = read_video(first)
    masks = read_masks(masks_path(first))
    drawn = synthesize(1, 2, 1, "running", passes=1)
    assert (first.name, fps) == ("person02_running_d1_uncomp.avi", 25)
    assert np.abs(frames[..., 0].astype(int) - drawn[0]).mean() < 2
    np.testing.assert_array_equal(masks, drawn[1])
    assert read_sequences(tmp_path / "00sequences.txt")["person02_running_d1"] == drawn[2]

    kept, second_bytes = first.stat().st_mtime_ns, second.read_bytes()
    second.write_bytes(second_bytes[:5000])
    run(tmp_path, "--persons", "2", "11", "--scenarios", "1", "--workers", "2")
    out = capsys.readouterr().out
    assert "running: 1 videos drawn, 1 kept" in out and "walking: 2 videos drawn, 0 kept" in out
    assert first.stat().st_mtime_ns == kept
    assert second.read_bytes() == second_bytes, "whoever makes it, and whatever else is made"
    assert len(read_sequences(tmp_path / "00sequences.txt")) == 4


def test_command_refuses_other_options_and_starts_again(tmp_path, capsys):
    run(tmp_path, "--persons", "3", "--scenarios", "1", "--actions", "running")
    assert "made with seed 1, now it is 5" in refusal(capsys, tmp_path, *FEW, "--seed", "5")
    assert "evidence None, now it is late" in refusal(capsys, tmp_path, *FEW, "--evidence", "late")
    run(tmp_path, "--persons", "4", "--scenarios", "1", "--actions", "running", "--evidence", "late", "--overwrite")
    assert [path.name[:8] for path in tmp_path.glob("*/*.avi")] == ["person04"]
    ranges = read_sequences(tmp_path / "00sequences.txt")
    assert [last - first + 1 for first, last in ranges["person04_running_d1"]] == [30]


@pytest.mark.parametrize(("end", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_command_goes_on_after_a_kill(tmp_path, capsys, monkeypatch, end, status):
    """Ended when a video is there and not yet in the record."""
    update = Record.update

    def end_before_writing(record, entries):
        if any(entries.values()):
            assert all((tmp_path / key).is_file() for key in entries)
            os.kill(os.getpid(), end)
        update(record, entries)

    monkeypatch.setattr(Record, "update", end_before_writing)
    process = multiprocessing.get_context("fork").Process(target=run, args=(tmp_path, *FEW))
    process.start()
    process.join()
    assert process.exitcode == status
    assert list(tmp_path.glob("*/*.avi"))
    monkeypatch.undo()
    run(tmp_path, *FEW)
    assert "2 videos drawn, 0 kept" in capsys.readouterr().out


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_command_leaves_videos_of_others_alone(tmp_path, capsys, options):
    real = tmp_path / "walking" / "person01_walking_d1_uncomp.avi"
    write_video(real, np.zeros((2, 120, 160), np.uint8))
    assert f"holds walking/{real.name}, which" in refusal(capsys, tmp_path, *options)
    assert {path.name for path in tmp_path.iterdir()} == {"walking", ".lock"} and real.is_file()
    real.unlink()
    (tmp_path / "00sequences.txt").write_text("person01_walking_d1 frames 1-20\n")
    assert "holds 00sequences.txt, which" in refusal(capsys, tmp_path, *options)


@pytest.mark.parametrize(("options", "complaint"), [
    (("--persons", "0", "3"), "persons 1 to 99"),
    (("--persons", "100"), "persons 1 to 99"),
    (("--seed", "-1"), "not a whole number"),
    (("--evidence", "early", "--n_frames", "90"), "choose from 9 to 60"),
    (("--scenarios", "5"), "invalid choice"),
    (("--actions", "boxing"), "invalid choice"),
    (("--passes", "0"), "not a whole number"),
    (("--workers", "-1"), "-1 worker processes"),
    (("--time_limit", "-1"), "-1 is negative"),
])
def test_command_names_bad_input(tmp_path, capsys, options, complaint):
    assert complaint in refusal(capsys, tmp_path, *options)
    assert not list(tmp_path.glob("*/*"))


def test_command_names_a_broken_record(tmp_path, capsys):
    for content in ("{", json.dumps([]), json.dumps({"options": {}})):
        (tmp_path / "synthetic.json").write_text(content)
        assert "synthetic.json" in refusal(capsys, tmp_path)
