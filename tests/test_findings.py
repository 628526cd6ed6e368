"""saliency/findings.py: what a run found, in sentences."""

import pytest

from saliency.findings import findings

NAN = float("nan")


def cell(mean, n=4):
    return {"mean": mean, "low": NAN, "high": NAN, "n": n, "n_nan": 0}


def content(**more):
    own = {"auc_flow_frame": cell(0.8), "last_quarter_share": cell(0.4), "peak_frame_moves": cell(0.75)}
    baselines = {"random": cell(0.5), "centre": cell(0.7), "frame_difference": cell(0.9)}
    return {"summary": {"gradient": own | more, **{name: {"auc_flow_frame": each} for name, each in baselines.items()}}}


def texts(found):
    return [finding["text"] for finding in found]


def test_a_map_that_does_not_beat_the_frame_difference():
    found = findings(content(), "gradient")
    assert texts(found) == [
        "The map of gradient does not beat the best baseline in agreement with the optical flow: AUC 0.800, and 0.900 "
        "for frame difference, which knows no model.",
        "The last quarter of the clips holds 40% of the saliency of gradient; 25% would be even over time.",
        "In 1 of 4 clips, nothing moves in the frame with the most saliency of gradient.",
        "Whether the map depends on the classifier was not tested; --sanity does this."]
    assert [finding["section"] for finding in found] == ["comparison", "comparison", "clips", "sanity"]


def test_a_map_that_beats_all_baselines():
    better = content(auc_flow_frame=cell(0.95), peak_frame_moves=cell(1.0, 1))
    assert "beats the best baseline" in texts(findings(better, "gradient"))[0]
    assert "In 0 of 1 clip, nothing" in texts(findings(better, "gradient"))[2]


@pytest.mark.parametrize(("effect", "words"), [
    (0.55, "The order of the frames matters: a clip that runs backwards loses 55% of the score."),
    (0.1, "The order of the frames hardly matters"), (-0.5, "The order of the frames matters"),
])
def test_decisions(effect, words):
    when = {"summary": {"sufficient_frames": cell(2.5), "freeze_frames": cell(14.0, 3), "order_effect": cell(effect)}}
    found = " ".join(texts(findings(content() | {"when": when}, "gradient")))
    assert words in found
    assert "On average, 2.5 frames in a row suffice for 90% of the score" in found
    assert "standing still for 14.0 frames destroys the decision in 3 clips." in found


def test_deletion_and_sanity():
    head = {name: cell(value) for name, value in (("trained", 0.8), ("random_head", 0.75), ("difference", 0.05))}
    found = texts(findings(content(deletion_frame_gain=cell(0.1)) | {"random_head": {"gradient": head}}, "gradient"))
    assert "The probability falls faster if the frames are deleted" in found[3]
    assert found[4] == ("With a random head on the same backbone, the AUC of gradient is 0.750 instead of 0.800. Only "
                        "the difference of 0.050 is evidence about the classifier.")
    slow = texts(findings(content(deletion_frame_gain=cell(-0.1)), "gradient"))
    assert "no faster" in slow[3]


def test_what_was_not_measured_is_left_out():
    nothing = {"gradient": {"auc_flow_frame": cell(NAN, 0), "last_quarter_share": cell(None, 0)}}
    for empty in ({}, {"summary": nothing}, {"summary": {}, "when": {"summary": {"order_effect": cell(NAN)}}}):
        assert len(findings(empty, "gradient")) == 1
