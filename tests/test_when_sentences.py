"""What saliency.when says about one clip, in worlds whose truth is known."""

import math

import numpy as np
import pytest
import torch

from saliency.averages import summarise
from saliency.findings import findings
from saliency.methods.shapley import shapley_frame
from saliency.scores import target_score
from saliency.when import EncodedClip, decide, intervals, of_means
from saliency.when.figure import when_figure
from saliency.when.intervals import shortest

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


def test_a_model_that_sees_only_order():
    decision, said = told(lambda values: forwards(values) - 0.5, RAMP)
    assert decision.metrics({})["order_flips"] == decision.metrics({})["order_part"] == 1
    assert any("run backwards, the model no longer says walking" in text for text in said)


def test_a_model_that_is_blind_to_order():
    decision, said = told(lambda values: two(values.mean(1) - 0.1), RAMP)
    numbers = decision.metrics({})
    assert numbers["order_flips"] == numbers["order_part"] == 0 and numbers["order_effect"] == pytest.approx(0)
    assert said[4].startswith("No interval, not even the whole clip, changes") and said[4].endswith("runs backwards.")


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


@pytest.mark.parametrize(("first", "last"), [(0, 5), (25, 30)])
def test_models_that_read_a_few_frames_only(first, last):
    levels = [0.0] * 16 + [1.0] * 14 if first else [1.0] * 14 + [0.0] * 16
    _, said = told(lambda values: two(values[:, first:last].sum(1) - 1.2), bright(*levels))
    numbers = {int(number) for text in (said[0].partition(":")[0], said[1], said[2]) for number in
               text.replace(";", " ").replace(",", " ").split() if number.isdigit()}
    assert numbers and all(first < number <= last for number in numbers)
    enough = {0: "The frames up to 2 are enough", 25: "The frames up to 27 are enough"}[first]
    assert said[-1].startswith(enough)  # 2 - 1.2 is above 0 and above halfway from -1.2 to 3.8 in probability


def test_frames_that_lower_the_explained_score():
    decision, said = told(lambda values: two((values * torch.arange(1, 8)).sum(1) - 1), bright(0, 0, 2, 0, 1, 0, 0), 0)
    assert decision.difference == pytest.approx(-11)
    assert said[0] == ("The model says walking; running is explained. The score of running is lowered most by frame 3: "
                       "6; compared with the background alone, all frames together lower it by 11.")
    assert said[1] == ("Alone, with the background in all others, frames 3 to 5 lower the score by 100% of this "
                       "difference; no shorter interval reaches 90%.")
    assert not any(word in " ".join(said) for word in ("keep", "falls", "owes"))


def test_what_a_change_strengthens_is_not_said_to_destroy():
    """Frame 3 speaks against walking, and what the clip as a whole says comes from frame 5."""
    decision, said = told(lambda values: two((values * torch.tensor([1, 1, -1, 1, 4, 1, 1])).sum(1) + 9),
                          bright(0, 0, 1, 0, 1, 0, 0))
    assert decision.shapley.values.tolist() == pytest.approx([0, 0, -1, 0, 4, 0, 0])
    assert "owes most to frame 5: 4" in said[0] and "raise it by 3." in said[0]
    assert "frame 5 keeps 133% of this difference" in said[1]
    assert said[2] == ("If frame 5 is replaced by the background, the score of walking falls by 133% of this "
                       "difference; no shorter interval does this.")


def test_several_frames_of_the_same_value():
    _, said = told(lambda values: two(values.sum(1) - 1), bright(1, 0, 1, 0, 0, 1, 0))
    assert "owes most to frame 1: 1, hardly more than 2 other frames;" in said[0]


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


@pytest.mark.parametrize(("bias", "words"), [
    (0.2, "nearer to the clip than to the background from"), (-1, "decided at")])
def test_the_figure_says_what_the_sentence_says(bias, words):
    decision, _ = told(lambda values: two(values.sum(1) + bias), ONE)
    titles = [axes.get_title("left") for axes in when_figure(np.zeros((7, 4, 4), np.uint8), decision, CLASSES).axes]
    assert f"the clip up to each frame, {words} frame 4" in titles


def test_a_prefix_that_is_enough_for_the_class_but_not_for_the_score():
    clip = bright(2, 0, 0, 0, 0, 5, 5)
    _, said = told(lambda values: two(values.sum(1) - 1), clip)
    assert said[1] == "No interval but the whole clip keeps 90% of this difference alone."
    assert said[-1].startswith("Frame 1 is enough for walking if the background follows, and so is every longer "
                               "beginning; this gives the class, not yet 90% of the difference in its score.")
    assert said[2].startswith("If any interval shorter than the whole clip is replaced by the background, the model ")


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


def test_parts_that_exceed_the_difference_are_multiples_not_percentages():
    _, said = told(lambda values: two((values * torch.tensor([1, 1, 1, 1, -1, 1, 1])).sum(1) + 1),
                   bright(0, 0, 4, 0, 3.9, 0, 0))
    assert "frame 3 keeps 40 times this difference" in said[1]


def test_a_still_clip_says_nothing_else():
    _, said = told(lambda values: two(values.sum(1)), bright(*[1] * 7))
    assert said == ["Every frame equals the background of the clip, so no frame can have decided anything."]


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


def test_a_long_clip_says_that_groups_are_compared():
    """Frames 46 and 66 are both needed, so the shortest interval is known: frames 46 to 66."""
    levels = torch.zeros(81)
    levels[[45, 65]] = 2
    decision, said = told(lambda values: two(values[:, 45] * values[:, 65] - 1), bright(*levels.tolist()), pairs=2)
    first, last = decision.intervals.sufficient
    assert first <= 46 and last >= 66 and last - first <= 66 - 46 + 2
    assert "no shorter interval of groups of 2 frames reaches 90%, so its ends are known to within 2 frames." in said[1]
    exact = decide(Head(lambda values: two(values[:, 45] * values[:, 65] - 1)), bright(*levels.tolist()), 1, segment=1,
                   pairs=2)
    assert exact.intervals.sufficient == (46, 66) and "within" not in exact.sentences(CLASSES)[1]


def test_a_short_last_group_makes_a_shorter_interval():
    table = torch.zeros(3, 3, dtype=torch.bool)
    table[0, 1] = table[1, 2] = True  # frames 1 to 8 and 5 to 9
    assert shortest(table, 4, 9) == (5, 9)


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


def test_the_seed_gives_the_map_and_the_decision_the_same_orders():
    clip = bright(*np.random.default_rng(0).uniform(0, 1, 14))
    model = Head(lambda values: two(values.cumsum(1).tanh().prod(1)))
    for seed in (0, 7):
        drawn = shapley_frame(model, clip, 1, pairs=3, seed=seed).evidence.sum((1, 2))
        assert decide(model, clip, 1, pairs=3, seed=seed).shapley.values.tolist() == pytest.approx(drawn.tolist())
    values = [decide(model, clip, 1, pairs=3, seed=seed).shapley.values for seed in (0, 7)]
    assert not torch.equal(*values)


def test_the_limit_of_a_logit_is_that_of_a_probability():
    logits = torch.linspace(-6, 6, 241, dtype=torch.float64)
    before, after = (target_score(torch.stack([each, each * 0], 1), 0, "probability")
                     for each in (logits, logits + 0.04))
    assert 0.0099 < (after - before).max() <= 0.01
    encoded = EncodedClip(Head(lambda values: two(values.sum(1) + 1e6)), ONE, 1)
    assert encoded.limit == pytest.approx(1.0, rel=0.01)  # rounding errors of float32 at such scores
    assert intervals(EncodedClip(Head(lambda values: two(values.sum(1))), ONE, 1)).sufficient == (4, 4)
