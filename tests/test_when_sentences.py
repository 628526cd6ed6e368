"""What saliency.when says about one clip, in worlds whose truth is known."""

import math

import numpy as np
import pytest
import torch

from saliency.results.averages import summarise
from saliency.results.findings import findings
from saliency.scores import target_score
from saliency.when import EncodedClip, decide, intervals, of_means

CLASSES = ["running", "walking"]


class Head(torch.nn.Module):
    """Frames are encoded as the mean of their pixels; `decide` maps these features (B, T) to class scores."""

    frames_independent = True

    def __init__(self, decide):
        super().__init__()
        self.decide, self.weight = decide, torch.nn.Parameter(torch.ones(1, dtype=torch.float64))

    def encode(self, clips):
        return clips.mean((2, 3, 4))[..., None] * self.weight  # (B, T, 1)

    def classify(self, features, lengths=None):
        return self.decide(features[..., 0])

    def forward(self, clips):
        return self.classify(self.encode(clips))


def two(walking):
    """Return the scores of running and walking, (B,) -> (B, 2)."""
    return torch.stack([-walking, walking], 1)


def bright(*levels):
    """Return a clip of frames with these levels; most should be 0, the background."""
    return torch.tensor(levels, dtype=torch.float64)[:, None, None, None].expand(-1, 3, 4, 4).clone()


def told(decide_scores, clip, target=1, label=None, **options):
    decision = decide(Head(decide_scores), clip, target, **options)
    return decision, decision.sentences(CLASSES, label)


def forwards(values):
    """The sum of the products of neighbours that rise: it sees nothing but order."""
    return two((values[:, 1:] * values[:, :-1] * values.diff(dim=1)).sum(1))


RAMP = bright(0, 0, 0, 0, 1, 2, 3)
ONE = bright(0, 0, 0, 2, 0, 0, 0)


@pytest.mark.parametrize(("scores", "verdict"), [
    (lambda values: forwards(values) - 0.5, "The order of the frames matters: running backwards changes the prediction "
     "in 6 of 6 clips"),
    (lambda values: two(values.mean(1) - 0.1), "The order of the frames hardly matters: running backwards keeps the "
     "prediction in 6 of 6 clips and loses 0% [loses 0%, loses 0%]"),
    (lambda values: two(values.mean(1) * 0), "The order of the frames hardly matters: running backwards keeps the "
     "prediction in 6 of 6 clips; reversing some part of the clip keeps the prediction in 6 of 6 clips.")])
def test_the_order_over_six_clips(scores, verdict):
    rows = {str(number): told(scores, RAMP * (1 + number / 10))[0].metrics({}) for number in range(6)}
    content = {"when": {"summary": summarise(list(of_means(rows).values()))}}
    assert [each for each in findings(content, "gradient") if each["text"].startswith(verdict)]


def test_frames_that_lower_the_explained_score():
    decision, said = told(lambda values: two((values * torch.arange(1, 8)).sum(1) - 1), bright(0, 0, 2, 0, 1, 0, 0), 0)
    assert decision.difference == pytest.approx(-11)
    assert said[0] == ("The model says walking; running is explained. The score of running is lowered most by frame 3: "
                       "6; compared with the background alone, all frames together lower it by 11.")
    assert said[1] == ("Alone, with the background in all others, frames 3 to 5 lower the score by 100% of this "
                       "difference; no shorter interval reaches 90%.")
    assert not any(word in " ".join(said) for word in ("keep", "falls", "owes"))


def test_a_background_that_is_of_the_class_already():
    _, said = told(lambda values: two(values.sum(1) + 0.2), ONE)
    assert said[-1] == ("The background alone already is walking to the model (0.60), so no frame is needed for the "
                        "class; the frames up to 4 are enough to bring its probability nearer to that of the "
                        "clip (0.99).")
    _, said = told(lambda values: two(values.sum(1) + 0.02), ONE)  # 0.51 for the background decides nothing
    assert "enough for walking if the background follows" in said[-1]
    _, said = told(lambda values: two(values.sum(1) + 9), ONE)
    assert said[-1] == ("The frames do not raise the probability of walking by more than 0.01: it is 1.00 for the clip "
                        "and 1.00 for the background alone.")


@pytest.mark.parametrize(("score", "gain", "hardly"), [
    ("logit", 0.019, True), ("logit", 0.021, False), ("probability", 0.019, True), ("probability", 0.021, False)])
def test_scores_that_hardly_differ_have_no_percentage(score, gain, hardly):
    """The logit of walking changes by twice the gain, and that of running by as much in the other direction."""
    scale = 1 if score == "logit" else 0.5  # so that their difference changes by 0.04 or so
    decision, said = told(lambda values: two(values.sum(1) * gain * scale), ONE, score=score)
    assert decision.differs is not hardly
    assert ("%" in " ".join(said)) is not hardly
    assert math.isnan(decision.metrics({})["order_effect"]) is hardly


def test_a_constant_model_decides_nothing():
    decision, said = told(lambda values: two(values.sum(1) * 0 + 1), ONE)
    assert len(said) == 1 and said[0].startswith("The frames decide nothing") and "%" not in said[0]
    assert decision.spans() == dict.fromkeys(decision.spans())


def test_frames_that_cancel_out_are_not_said_to_decide_nothing():
    """Frames 3 and 5 change the score by 4 and -4, and the prediction flips without frame 3."""
    _, said = told(lambda values: two((values * torch.tensor([1, 1, 1, 1, -1, 1, 1])).sum(1) + 1),
                   bright(0, 0, 4, 0, 4, 0, 0))
    assert said[0].startswith("Together, the frames hardly change the score of walking: it is 1, and 1 for the back")
    assert said[1] == ("If frame 3 is replaced by the background, the model no longer says walking; no shorter "
                       "interval does this.")
    assert "%" not in " ".join(said) and "decide nothing" not in " ".join(said)


def test_a_wrong_prediction_names_both_classes():
    decision, said = told(lambda values: two(values.sum(1) - 1), ONE, label="running")
    assert said[0].startswith("The model says walking, but the clip is labelled running; walking is explained. The ")
    assert decision.sentences(CLASSES, "walking")[0].startswith("The score of walking owes")
    assert "labelled running" in decision.arrays(CLASSES, "running")["when_sentences"][0]


def test_a_model_that_hardly_decides_says_so():
    _, said = told(lambda values: two(values.sum(1) * 0.03), ONE)
    assert said[0].startswith("The model hardly decides: the two most probable classes have 0.53 and 0.47. The score")
    head = Head(lambda values: torch.cat([values.sum(1, keepdim=True) * 2.2, torch.zeros(len(values), 99)], 1).double())
    decision = decide(head, ONE, 0)
    assert float(decision.prefixes.padded[-1, 0]) == pytest.approx(0.45, abs=0.01)
    assert "hardly" not in " ".join(decision.sentences([f"class {number}" for number in range(100)]))


def test_a_share_over_clips_is_a_ratio_of_means():
    rows = {"a": {"order_effect": 0.5, "difference": 8.0}, "b": {"order_effect": 24.4, "difference": 0.1},
            "c": {"order_effect": float("nan"), "difference": float("nan")}, "d": {"order_effect": None}}
    found = [row["order_effect"] for row in of_means(rows).values()]
    ratio = (0.5 * 8 + 24.4 * 0.1) / 8.1
    assert np.mean(found[:2]) == pytest.approx(ratio) and np.isnan(found[2:]).all()
    random = np.random.default_rng(0)
    weights, shares = random.uniform(1, 9, 200), random.normal(0.3, 0.5, 200)
    rows = {str(i): {"order_effect": s, "difference": w} for i, (s, w) in enumerate(zip(shares, weights, strict=True))}
    error = np.std([row["order_effect"] for row in of_means(rows).values()]) / math.sqrt(200)
    draws = random.integers(200, size=(2000, 200))
    resampled = (shares * weights)[draws].sum(1) / weights[draws].sum(1)
    assert error == pytest.approx(resampled.std(), rel=0.06)  # that of the bootstrap of the ratio


def test_the_limit_of_a_logit_is_that_of_a_probability():
    logits = torch.linspace(-6, 6, 241, dtype=torch.float64)
    before, after = (target_score(torch.stack([each, each * 0], 1), 0, "probability")
                     for each in (logits, logits + 0.04))
    assert 0.0099 < (after - before).max() <= 0.01
    encoded = EncodedClip(Head(lambda values: two(values.sum(1) + 1e6)), ONE, 1)
    assert encoded.limit == pytest.approx(1.0, rel=0.01)  # rounding errors of float32 at such scores
    assert intervals(EncodedClip(Head(lambda values: two(values.sum(1))), ONE, 1)).sufficient == (4, 4)
