"""Profiles and features over clips against slow explicit computations."""

import numpy as np
import pytest

from saliency.over_clips import BINS, EXAMPLES, SHOWN, TOP, OverClips, relative_profile
from saliency.report.overview import SIDE, thumbnail
from saliency.result import ClipResult


def frames_result(values, label="walking", predicted="walking", name="gradient"):
    """Return a result with one map (T, H, W)."""
    frames = np.zeros(values.shape, np.uint8)
    return ClipResult({"label": label, "predicted": predicted}, frames=frames, maps={name: values})


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


def test_clips_of_few_people_have_a_profile_without_an_interval():
    seen = OverClips(groups={f"clip {number}": f"person {number % 2}" for number in range(6)})
    for number in range(6):
        result = frames_result(np.random.default_rng(number).random((3, 2, 2)))
        result.facts["clip"] = f"clip {number}"
        seen.add_frames(result)
    found = seen.profiles()
    assert found["units"] == "people" and found["groups"][0]["n"] == 6 and np.isnan(found["groups"][0]["low"]).all()


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


@pytest.mark.parametrize(("length", "bins"), [(1, 4), (3, 20), (7, 5), (6, 6)])
def test_relative_time_divides_frames_by_their_overlap(length, bins):
    shares = np.random.default_rng(length).random(length)
    slow = [sum(share * max(0, min((b + 1) / bins, (t + 1) / length) - max(b / bins, t / length)) * length
                for t, share in enumerate(shares)) for b in range(bins)]
    np.testing.assert_allclose(relative_profile(shares, bins), slow, atol=1e-12)


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
    count, clips = 40, {}
    for number in range(6):
        scale = np.linspace(1, 3, count)[None]
        clips[f"walking/{number}"] = random.normal(size=(5, count)), random.normal(size=(5, count)) * scale
    seen = OverClips(None, "occlusion")
    for name, (features, relevance) in clips.items():
        seen.add_features(name, features_result(features, relevance, "occlusion"))
    found = seen.features()
    uses, share, highest = [0] * count, [0.0] * count, [[] for _ in range(count)]
    for name, (features, relevance) in clips.items():
        totals = [sum(abs(relevance[t, place]) for t in range(5)) for place in range(count)]
        for place in sorted(range(count), key=lambda place: -totals[place])[:TOP]:
            uses[place] += 1
        for place in range(count):
            share[place] += totals[place] / sum(totals) / len(clips)
            best = max(range(5), key=lambda t: features[t, place])
            highest[place].append((features[best, place], name, best + 1))
    order = sorted(range(count), key=lambda place: (-uses[place], -share[place]))[:SHOWN]
    assert found["method"] == "occlusion" and found["clips"] == 6 and found["count"] == count
    assert [each["feature"] for each in found["features"]] == order
    for each in found["features"]:
        place = each["feature"]
        assert each["clips"] == uses[place] and each["share"] == pytest.approx(share[place])
        assert [(one["value"], one["clip"], one["frame"]) for one in each["examples"]] == sorted(
            highest[place], reverse=True)[:EXAMPLES]


def test_features_without_relevance_or_finite_values_are_not_shown():
    features, relevance = np.ones((3, 4)), np.zeros((3, 4))
    features[:, 1], relevance[:, 1], relevance[:, 2] = np.nan, 2, 1
    seen = OverClips()
    assert seen.features() is None
    seen.add_features("a", features_result(features, relevance))
    seen.add_features("b", features_result(np.ones((3, 5)), np.ones((3, 5))))  # another number of features
    first, second = seen.features()["features"]
    assert seen.features()["clips"] == 1
    assert (first["feature"], first["share"], first["examples"]) == (1, pytest.approx(2 / 3), [])
    assert (second["feature"], second["examples"]) == (2, [{"clip": "a", "frame": 1, "value": 1.0}])


def test_thumbnails_are_small():
    noise = np.random.default_rng(0).integers(0, 256, (480, 640), dtype=np.uint8)
    assert SIDE == 60 and len(thumbnail(noise)) < 5000
