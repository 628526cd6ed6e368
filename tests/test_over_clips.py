"""Profiles and features over clips against slow explicit computations."""

from itertools import count

import numpy as np
import pytest

from saliency.results.clip import ClipResult
from saliency.results.over_clips import BINS, EXAMPLES, SHOWN, TOP, OverClips

NUMBERS = count()


def frames_result(values, label="walking", predicted="walking", name="gradient"):
    """Return a result with one map (T, H, W)."""
    frames = np.zeros(values.shape, np.uint8)
    facts = {"label": label, "predicted": predicted, "clip": str(next(NUMBERS))}  # each clip is a group of its own
    return ClipResult(facts, frames=frames, maps={name: values})


def features_result(features, relevance, name="gradient"):
    return ClipResult({}, features=features, maps={name: relevance})


def test_profiles_are_means_of_shares_per_class_and_verdict():
    random = np.random.default_rng(0)
    seen, slow = OverClips("occlusion"), {}
    for label, predicted, verdict in [("walking", "walking", "right")] * 6 + [("walking", "running", "wrong")] * 2 + [
            ("running", "running", "right"), ("", "walking", "")]:
        values = random.normal(size=(5, 3, 4))
        seen.add_frames(frames_result(values, label, predicted, "occlusion"))
        shares = [sum(abs(value) for value in values[t].flat) for t in range(5)]
        slow.setdefault((label, verdict), []).append([share / sum(shares) for share in shares])
    found = seen.profiles()
    assert found["method"] == "occlusion" and not found["relative"] and found["left_out"] == 0
    groups = {(group["label"], group["verdict"]): group for group in found["groups"]}
    assert groups.keys() == slow.keys()
    for key, rows in slow.items():
        group = groups[key]
        assert group["n"] == len(rows) and group["predicted"] == ("" if key[0] else "walking")
        assert group["mean"] == pytest.approx([sum(row[t] for row in rows) / len(rows) for t in range(5)])
        assert sum(group["mean"]) == pytest.approx(1)
        if len(rows) < 5:
            assert np.isnan(group["low"]).all() and np.isnan(group["high"]).all()
        else:
            assert np.all(np.array(group["low"]) < group["mean"]) and np.all(np.array(group["mean"]) < group["high"])


def test_clips_of_different_lengths_share_relative_time():
    seen = OverClips()
    for length in (3, 7):
        values = np.zeros((length, 2, 2))
        values[-1] = 1  # all in the last frame: 1/3 and 1/7 of the clip
        seen.add_frames(frames_result(values))
    found = seen.profiles()
    (group,) = found["groups"]
    assert found["relative"] and len(group["mean"]) == BINS and sum(group["mean"]) == pytest.approx(1)
    assert group["mean"][-1] == pytest.approx((3 + 7) / 2 / BINS) and group["mean"][0] == 0


def test_clips_without_the_map_or_with_an_empty_map_are_counted():
    seen = OverClips("gradient")
    seen.add_frames(frames_result(np.ones((4, 2, 2))))
    seen.add_frames(frames_result(np.ones((4, 2, 2)), name="other"))
    seen.add_frames(frames_result(np.zeros((4, 2, 2))))
    values = np.ones((4, 2, 2))
    values[1, 0, 0], values[2, 0, 0] = np.nan, np.inf
    seen.add_frames(frames_result(values))
    found = seen.profiles()
    assert found["left_out"] == 2 and found["groups"][0]["n"] == 2
    assert found["groups"][0]["mean"] == pytest.approx([(1 / 4 + 4 / 14) / 2, *[(1 / 4 + 3 / 14) / 2] * 2,
                                                        (1 / 4 + 4 / 14) / 2])


def test_features_used_most_often_and_their_highest_frames():
    random = np.random.default_rng(3)
    size, clips = 40, {}
    for number in range(6):
        scale = np.linspace(1, 3, size)[None]
        clips[f"walking/{number}"] = random.normal(size=(5, size)), random.normal(size=(5, size)) * scale
    seen = OverClips(None, "occlusion")
    for name, (features, relevance) in clips.items():
        seen.add_features(name, features_result(features, relevance, "occlusion"))
    found = seen.features()
    uses, share, highest = [0] * size, [0.0] * size, [[] for _ in range(size)]
    for name, (features, relevance) in clips.items():
        totals = [sum(abs(relevance[t, place]) for t in range(5)) for place in range(size)]
        for place in sorted(range(size), key=lambda place: -totals[place])[:TOP]:
            uses[place] += 1
        for place in range(size):
            share[place] += totals[place] / sum(totals) / len(clips)
            best = max(range(5), key=lambda t: features[t, place])
            highest[place].append((features[best, place], name, best + 1))
    order = sorted(range(size), key=lambda place: (-uses[place], -share[place]))[:SHOWN]
    assert found["method"] == "occlusion" and found["clips"] == 6 and found["count"] == size
    assert [each["feature"] for each in found["features"]] == order
    for each in found["features"]:
        place = each["feature"]
        assert each["clips"] == uses[place] and each["share"] == pytest.approx(share[place])
        assert [(one["value"], one["clip"], one["frame"]) for one in each["examples"]] == sorted(
            highest[place], reverse=True)[:EXAMPLES]
