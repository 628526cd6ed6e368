"""saliency/results/findings.py: what a run found, in sentences that say no more than their intervals."""

import pytest

from saliency.results.averages import summarise
from saliency.results.findings import findings

NAN = float("nan")
METRIC = "auc_flow_frame"
FEW = {"low": NAN, "high": None}  # NaN is written as null


def cell(mean, low=NAN, high=NAN, n=6, **more):
    return {"mean": mean, "low": low, "high": high, "n": n, "n_nan": 0, "groups": n} | more


def content(own=(0.8,) * 6, other=(0.9,) * 6, **more):
    """Return the content of a run of clips with these AUCs of the gradient and of the frame difference."""
    clips = {f"clip{number}": {"gradient": {METRIC: a}, "frame_difference": {METRIC: b}, "random": {METRIC: 0.5}}
             for number, (a, b) in enumerate(zip(own, other, strict=True))}
    return {"clips": clips, "summary": {"gradient": more}}


def said(what, section=None, place=0):
    """Return the text of a finding, the one at `place` among those of a section."""
    found = findings(what, "gradient")
    return [each["text"] for each in found if section in (None, each["section"])][place]


def one(what):
    """Return the only finding beside that about the random head."""
    text, last = [each["text"] for each in findings(what, "gradient")]
    assert last.startswith("Whether the map depends")
    return text


@pytest.mark.parametrize(("own", "words"), [
    ((0.95, 0.96, 0.97, 0.95, 0.96, 0.97), "The map of gradient beats the best baseline in agreement"),
    ((0.8, 0.7, 0.75, 0.8, 0.7, 0.75), "The map of gradient does not beat the best baseline in agreement"),
    ((0.91, 0.88, 0.93, 0.9, 0.86, 0.91), "The map of gradient is not distinguishable from the best baseline"),
    ((0.99,), "1 clip is too few to compare the map of gradient with the best baseline in agreement"),
])
def test_a_map_beats_the_baseline_only_if_the_interval_of_the_difference_says_so(own, words):
    text = said(content(own, (0.9,) * len(own)))
    assert text.startswith(words) and "for frame difference, which knows no model" in text
    margin = summarise([{"": each - 0.9} for each in own])[""]
    assert f"the difference is {margin['mean']:.3f}" in text and ("[" in text) is (len(own) > 1)


def test_the_difference_is_that_of_the_same_clips():
    """The baseline is best in clips that the map has no value for."""
    text = said(content((0.7, 0.72, 0.74, 0.72, 0.72, None, None), (0.6, 0.62, 0.64, 0.62, 0.62, 0.99, 0.99)))
    assert "AUC 0.720" in text and "0.620" in text and "the difference is 0.100 [0.100, 0.100]" in text
    assert one(content((None, NAN), (0.5, 0.5)) | {"summary": {"gradient": {"peak_frame_moves": cell(1)}}})


@pytest.mark.parametrize(("share", "words"), [
    (cell(0.4, 0.3, 0.5), "holds 40% [30%, 50%] of the saliency of gradient, more than the 25%"),
    (cell(0.2, 0.15, 0.24), "less than the 25%"), (cell(0.3, 0.2, 0.4), "not distinguishable from the 25%"),
    (cell(0.3, n=2, values=[0.25, 0.35]), "The last quarter of the clips holds 25% and 35% of the saliency of "
     "gradient, compared with the 25%"),
    (cell(0.3, n=1), "The last quarter of the clip holds 30% of")])
def test_the_last_quarter(share, words):
    assert words in one({"summary": {"gradient": {"last_quarter_share": share}}})


@pytest.mark.parametrize(("moves", "words"), [
    (cell(2 / 3, n=3), "shows motion in 2 of 3 clips."), (cell(0, n=1), "shows no motion in 1 of 1 clip."),
    (cell(0.0), "shows no motion in 6 of 6 clips."), (cell(1, n=1), "shows motion in 1 of 1 clip.")])
def test_the_peak(moves, words):
    text = one({"summary": {"gradient": {"peak_frame_moves": moves}}})
    assert text == f"The frame with the most saliency of gradient {words}"


def of_when(**cells):
    return one({"when": {"summary": cells}})


NEVER, ALWAYS, SOME = cell(0, 0, 0), cell(1, 1, 1), cell(0.5, 0.1, 0.9)


@pytest.mark.parametrize(("flips", "part", "lost", "verdict"), [
    (NEVER, NEVER, cell(0.0, 0, 0), "The order of the frames hardly matters: running backwards keeps the prediction "
     "in 6 of 6 clips and loses 0% [loses 0%, loses 0%] of the difference"),
    (ALWAYS, ALWAYS, cell(1.4, 1.1, 1.7), "The order of the frames matters: running backwards changes the prediction "
     "in 6 of 6 clips and loses 140% ["),
    (NEVER, NEVER, cell(0.21, -0.33, 0.53), "The clips do not settle"),
    (NEVER, NEVER, cell(-0.5, -0.6, -0.4), "The order of the frames matters: running backwards keeps the prediction "
     "in 6 of 6 clips and gains 50% [gains 60%, gains 40%]"),
    (NEVER, ALWAYS, cell(0.05, 0, 0.1), "The order of the frames matters"),  # although the whole clip can be reversed
    (NEVER, SOME, cell(0.05, 0, 0.1), "The clips do not settle what the order of the frames does"),
    (cell(0, n=3), cell(1, n=3), cell(0.9, n=3), "3 clips are too few to tell what the order of the frames does: "
     "running backwards keeps the prediction in 3 of 3 clips and loses 90% of the difference from the background; "
     "reversing some part of the clip changes the prediction or takes 90% in 3 of 3 clips."),
    (cell(0, n=1), cell(0, n=1), cell(0.03, n=1), "1 clip is too few to tell"),
    (cell(0) | FEW, cell(0, groups=2) | FEW, cell(0.03) | FEW, "6 clips of 2 groups are too few to tell"),
])
def test_the_order_of_the_frames(flips, part, lost, verdict):
    text = of_when(order_flips=flips, order_part=part, order_effect=lost)
    assert text.startswith(verdict), text


@pytest.mark.parametrize(("gain", "words"), [
    (cell(0.1, 0.05, 0.15), "The probability falls faster if"), (cell(-0.1, -0.2, -0.05), "falls more slowly if"),
    (cell(0.0047, -0.006, 0.015), "falls neither distinguishably faster nor more slowly if the frames are deleted"),
    (cell(0.3, n=2, values=[0.2, 0.4]), "2 clips are too few to tell how fast the probability falls if the frames are "
     "deleted in the order of gradient than in random order (gain 0.200 and 0.400).")])
def test_deletion(gain, words):
    own = {"deletion_frame_gain": gain, "deletion_frame_gain_error": cell(0.0)}
    assert words in one({"summary": {"gradient": own}})


def test_a_gain_within_the_error_of_the_random_orders_is_no_verdict():
    gain, error = cell(0.02, 0.01, 0.03), cell(0.015)
    text = one({"summary": {"gradient": {"deletion_frame_gain": gain, "deletion_frame_gain_error": error}}})
    assert "neither distinguishably faster nor more slowly" in text


@pytest.mark.parametrize(("difference", "words"), [
    (cell(0.05, 0.02, 0.08), "Only the difference of 0.050 [0.020, 0.080] is evidence about the classifier."),
    (cell(0.01, -0.02, 0.04), "The difference of 0.010 [-0.020, 0.040] is not distinguishable from 0."),
    (cell(-0.05, -0.08, -0.02), "The random head agrees more"),
    (cell(0.05, n=3, values=[0.04, 0.06]), "3 clips are too few to tell the difference, 0.040 and 0.060, from 0.")])
def test_a_random_head(difference, words):
    head = {"trained": cell(0.8), "random_head": cell(0.75), "difference": difference}
    text = said({"random_head": {"gradient": head}})
    assert text.startswith("With a random head on the same backbone, the AUC of gradient is 0.750 instead of 0.800. ")
    assert words in text and (difference.get("low") == 0.02 or "evidence" not in text)


def test_what_was_not_measured_is_left_out():
    nothing = {"gradient": {METRIC: cell(NAN, n=0), "last_quarter_share": cell(None, n=0)}}
    for empty in ({}, {"summary": nothing}, {"summary": {}, "when": {"summary": {"order_effect": cell(NAN)}}},
                  {"clips": {"a": {"freeze": {"last_quarter_share": 0.3}}}, "summary": nothing}):
        assert len(findings(empty, "gradient")) == 1
