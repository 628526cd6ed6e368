"""The sentences of the page in worlds whose truth is known, and what of a clip is drawn as pixels or over time."""

import numpy as np
import pytest

from saliency.figures import colour_limit
from saliency.report.clip import clip_part
from saliency.report.pictures import QUALITIES, scale_of
from saliency.report.sentences import heading, missing, when_answer
from saliency.results.clip import ClipResult, facts_of

SIDE, LENGTH = 4, 6
FRAMES = np.random.default_rng(0).integers(0, 256, (LENGTH, SIDE, SIDE), dtype=np.uint8)
FRAMES_Q, PIXELS_Q, SIDE_Q = "When?", "Does it agree with the motion?", "For or against?"
TRUST_Q = "How far to trust it?"


def per_frame(*values):
    """Return a map (T, H, W) that has one value in each frame."""
    return np.array(values, dtype=float)[:, None, None].repeat(SIDE, 1).repeat(SIDE, 2)


def clip(maps, evidence=(), content=None, others=(), label="walking", **facts):
    """Return what the gallery and the panel read of a clip that is predicted as walking."""
    facts = facts_of("a", label, "walking", "walking", 0.53, "logit") | facts
    result = ClipResult(facts, frames=FRAMES, maps=maps, evidence=dict(evidence), others=list(others))
    about, line, _ = clip_part(result, 10**6, QUALITIES[0], [content or {}])
    return about, line


def answers(*args, name, **kwargs):
    """Return the answers about a map of such a clip."""
    return {each["name"]: each for each in clip(*args, **kwargs)[1]["maps"]}[name]["answers"]


def test_the_frames_of_a_map():
    strong = answers({"gradient": per_frame(0, 1, 5, 5, 1, 0)}, name="gradient")[FRAMES_Q]
    assert strong == ("The map of gradient is strongest in frames 3 to 4 of 6. At least half of its magnitude lies in "
                      "frames 3 to 4.")
    even = answers({"gradient": per_frame(*[2] * 6)}, name="gradient")[FRAMES_Q]
    assert even == "The map of gradient is equally strong in all 6 frames."
    nothing = answers({"gradient": per_frame(*[0] * 6)}, name="gradient")
    assert nothing[FRAMES_Q] == "The map of gradient is 0 in every frame, so it names none."
    assert nothing[PIXELS_Q] == "The map of gradient is 0 everywhere, so it names no pixel."


def test_a_method_that_tells_only_frames_apart_has_a_value_per_frame_and_no_picture():
    drop = per_frame(0, 2, -1, 0, 0, 0)
    about, line = clip({"freeze": np.abs(drop), "gradient": per_frame(*range(6))}, {"freeze": drop},
                       freeze_time_only=1.0)
    maps = {each["name"]: each for each in line["maps"]}
    assert list(maps) == ["gradient", "freeze"] and "sheet" in maps["gradient"] and "sheet" not in maps["freeze"]
    assert maps["freeze"]["for"] == [0, 2, 0, 0, 0, 0] and maps["freeze"]["against"] == [0, 0, 1, 0, 0, 0]
    found = maps["freeze"]["answers"]
    assert found[PIXELS_Q] == "The evidence of freeze tells frames apart, but not the pixels of a frame."
    assert found[SIDE_Q].endswith("67% is for walking (red) and 33% is against walking (blue).")
    assert about["thumbnail_map"] == "gradient" and "time only" not in about["heading"]
    assert clip({"freeze": np.abs(drop)}, freeze_time_only=1.0)[0]["thumbnail_map"] is None


def test_a_map_without_a_sign_says_which_methods_have_one():
    maps = {"gradient": per_frame(*range(6)), "grad_cam": per_frame(*range(6))}
    found = answers(maps, {"grad_cam": -maps["grad_cam"]}, name="gradient")[SIDE_Q]
    assert found == "The map of gradient has no sign. These methods of the run have one: grad cam."
    assert "0% is for walking" in answers(maps, {"grad_cam": -maps["grad_cam"]}, name="grad_cam")[SIDE_Q]
    without = answers(maps, name="grad_cam")[SIDE_Q]  # as in a file of an earlier version
    assert without == "This result lacks the sign of grad cam, although the method has one; compute it again."


@pytest.mark.parametrize(("gap", "text"), [
    (0.307, "the gap is 31% of that difference."),
    (float("nan"), "the gap is undefined, because the two scores are equal."),
])
def test_the_gap_stands_beside_a_sum_that_should_add_up(gap, text):
    values = per_frame(1, -1, 3, 0, 0, 0) / SIDE**2
    found = answers({"gradient_shap": np.abs(values)}, {"gradient_shap": values}, name="gradient_shap",
                    gradient_shap_completeness_gap=gap)[SIDE_Q]
    assert found == ("Of the magnitude of the evidence, 80% is for walking (red) and 20% is against walking (blue). "
                     f"Together they give 3, for a difference of two scores; {text}")


def test_a_clip_that_the_model_gets_wrong_names_both_classes():
    facts = facts_of("a", "running", "walking", "walking", 0.53, "logit")
    assert heading(facts | {"margin": 0.06}) == (
        "The label is running. The model predicts walking, which is wrong. The model hardly decides (0.53). The maps "
        "explain the logit of walking (probability 0.53), not of the true class running.")
    assert "hardly" not in heading(facts | {"margin": 0.44}) + heading(facts)
    assert heading(facts | {"label": ""}).startswith("The clip has no label. The model predicts walking. The maps")


def test_the_agreement_with_motion():
    maps, row = {"gradient": per_frame(*range(6))}, {"auc_flow_frame": 0.8, "mass_accuracy_flow_frame": 0.36,
                                                    "flow_share_frame": 0.04, "frames_with_reference": 5}
    def found(row):
        return answers(maps, content={"clips": {"a": {"gradient": row}}}, name="gradient")[PIXELS_Q]
    assert found(row) == ("In frames with motion, 4.0% of the pixels move, and they hold 36% of the map of gradient. "
                          "The AUC of this map against the optical flow is 0.800; chance is 0.5.")
    still = {"auc_flow_frame": None, "mass_accuracy_flow_frame": None, "frames_with_reference": 0}
    assert found(still).endswith("cannot be measured, because no frame has both moving and resting pixels.")
    assert found({}) == "The agreement with the optical flow was not measured."


def test_a_difference_from_random_heads_that_may_be_0_says_so():
    def found(difference, **more):
        content = {"random_head": {"gradient": {
            "trained": {"mean": 0.8}, "random_head": {"mean": 0.79}, "difference": difference, **more}}}
        return answers({"gradient": per_frame(*range(6))}, content=content, name="gradient")[TRUST_Q]
    assert found({"mean": 0.01, "low": -0.02, "high": 0.04}).endswith(
        "The difference is 0.010 [-0.020, 0.040], which holds 0.")
    assert "holds 0" not in found({"mean": 0.01, "low": 0.005, "high": 0.04})
    assert found({"mean": 0.01, "low": None, "high": None}).endswith("The difference is 0.010.")
    assert found({"mean": None}) == "The comparison with random weights is undefined for this method."


def test_another_class_says_what_the_metrics_are_about():
    other = ClipResult(facts_of("a", "walking", "walking", "running", 0.47, "logit"), frames=FRAMES,
                       maps={"gradient": per_frame(*[1] * 6)})
    _, line = clip({"gradient": per_frame(*[1] * 6)}, others=[other])
    second, difference = (part["maps"][0] for part in line["others"])
    assert second["answers"][PIXELS_Q] == "The run measured the maps of the first class only."
    assert second["answers"][TRUST_Q] == "The run measured the maps of the first class only."
    assert "answers" not in difference


def test_the_scale_of_a_frame_ends_at_its_own_percentile():
    """It may lie far above the end of the scale of the clip."""
    values = np.random.default_rng(0).random((300, 20, 20)) * np.where(np.arange(300) == 7, 176, 1)[:, None, None]
    scale = scale_of(values)
    assert scale["limit"] < 2 and scale["ends"][7] > 170
    assert scale["ends"][7] == pytest.approx(colour_limit(values[7]), rel=1e-3)
    assert scale["peaks"][7] == pytest.approx(scale["ends"][7], rel=1e-3)


def decided(first, last, score, kept, **facts):
    """Return a result whose decision has this shortest interval that suffices."""
    arrays = {"when_sentences": np.array(["The frames decide nothing."]), "when_kept": np.full((LENGTH, LENGTH), kept)}
    facts |= {"when_segment": 1.0, "when_score_of_clip": score, "when_score_of_background": 0.0}
    facts |= {} if first is None else {"when_sufficient_first": float(first), "when_sufficient_last": float(last)}
    return ClipResult(facts_of("a", None, "walking", "walking", 0.9, "logit") | facts, frames=FRAMES, arrays=arrays)


def test_when_is_answered_by_the_decision_in_the_time_of_the_clip_and_of_its_video():
    assert when_answer(ClipResult({}, frames=FRAMES)) is None
    assert when_answer(decided(None, None, 1.0, 0.9)) == "The frames decide nothing."
    assert when_answer(decided(3, 3, -1.0, 1.6)) == (
        "Frame 3 of 6 is enough to lower the score of walking: alone, it gives 1.6 times its difference from the "
        "background.")
    found = when_answer(decided(2, 4, 1.0, 0.93, frames_per_second=10.0, video_frame=25.0))
    assert found == ("Frames 2 to 4 of 6 (0.1 s to 0.4 s; video 2.6 s to 2.9 s) are enough for the score of walking: "
                     "alone, they give 93% of its difference from the background.")
    assert when_answer(decided(1, LENGTH, 1.0, 1.0)).startswith(
        "It takes the whole clip for the score of walking: no shorter interval gives 90%")


def test_where_names_the_ninth_of_the_picture_that_holds_most():
    values = np.zeros((LENGTH, SIDE, SIDE))
    values[1, -1, 0], values[1, 0, 0], values[4, 0, 0] = 3, 1, 2
    assert answers({"gradient": values}, name="gradient")["Where?"] == (
        "The map of gradient is strongest in frame 2; there, 75% of it lies in the bottom left ninth of the picture.")
    values[4, 0, 0] = 4
    assert answers({"gradient": values}, name="gradient")["Where?"].startswith(
        "The map of gradient is equally strong in 2 frames; in the first of them, frame 2, 75%")
    assert answers({"gradient": np.ones((LENGTH, SIDE, SIDE))}, name="gradient")["Where?"].endswith(
        "it is the same in all pixels.")


def test_what_a_run_did_not_compute_has_one_line_with_its_flag():
    run = {"summary": {"gradient": {"deletion_frame_auc": {}}}, "when": {}, "random_head": {}}
    assert [text.partition("; ")[2] for text in missing(run, True)] == ["--robustness does this."]
    assert len(missing({}, False)) == 5
