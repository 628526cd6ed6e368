"""What the tool says in worlds with a known truth: in the terminal, in metrics.json and on the page.

Each world of tests/worlds.py is run once. The first tests know their world. The others hold in every world: they work
out anew, from the network or from metrics.json, what a sentence claims.
"""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from tests import worlds
from tests.runs import refused
from tests.world_told import all_dicts, command, numbers, run_world, sentences, strings, write_world
from tests.worlds import AVERAGE, INTERVAL, ORDER_MATTERS, PASSES, WORLDS

LEAST = 5  # groups, below which nothing is averaged, tested or given an interval
BASELINES = ("random", "centre", "frame_difference")
VERB = (r"\b(is|are|was|were|has|have|had|do|does|did|can|cannot|could|must|would|holds?|keeps?|loses?|gains?|takes?|"
        r"tells?|beats?|lies?|comes?|stands?|owes?|raises?|lowers?|suffices?|needs?|decides?|differs?|equals?|matters?|moves?|"
        r"contributes?|changes?|shows?|gives?|flips?|falls?|rises?|runs?|says?|answers?|measures?|passe?s?|fails?|"
        r"explains?|agrees?|stays?|remains?|depends?|means?|reaches|points?|counts?|seems?)\b")
SPAN = r"frames? (\d+)(?: (?:to|and) (\d+))?"


@pytest.fixture(scope="module")
def tell(tmp_path_factory):
    """A function that runs a world, once, and returns what was Told."""
    kept = {}

    def told(world):
        if world.name not in kept:
            kept[world.name] = run_world(world, tmp_path_factory.mktemp("world"))
        assert not isinstance(kept[world.name], str), f"the run ended early:\n{kept[world.name]}"
        return kept[world.name]

    return told


@pytest.fixture
def told(world, tell):
    return tell(world)


def pytest_generate_tests(metafunc):
    if "claim" in metafunc.fixturenames:
        must = metafunc.function.__name__.endswith("must_be_said")
        cases = [(world, claim) for world in WORLDS for claim in (world.must if must else world.must_not)]
        names = [f"{world.name}: {claim.pattern}" for world, claim in cases]
        metafunc.parametrize(("world", "claim"), cases, ids=names)
    elif "world" in metafunc.fixturenames:
        metafunc.parametrize("world", WORLDS, ids=lambda world: world.name)


def test_what_must_be_said(told, claim):
    silent = [place for place in claim.places if not any(re.search(claim.pattern, text) for text in told.texts[place])]
    assert not silent, f"not said in {silent}: {told.sentences}"


def test_what_must_not_be_said(told, claim):
    assert [text for place in claim.places for text in told.claims[place] if re.search(claim.pattern, text)] == []


def test_one_name_for_one_score_is_refused(tmp_path, capsys):
    world = replace(next(world for world in WORLDS if world.network == "one_score"), classes=("walking",))
    line = refused(capsys, "frame_saliency", *command(world, write_world(world, tmp_path), tmp_path / "results"))
    assert re.search(r"(two|2) (class|name)|second", line), line


def test_one_score_is_a_logit(tell):
    for truth in tell(next(world for world in WORLDS if world.network == "one_score")).truths.values():
        chance = float(truth.class_scores(truth.steps[None])[0, 1].sigmoid())
        assert truth.arrays["predicted"] == "walking"
        assert truth.arrays["probability"] == pytest.approx(chance, abs=0.01)


def test_a_still_clip_and_methods_of_time_have_no_agreement_with_flow(tell):
    still, timed = (tell(next(world for world in WORLDS if world.name == name)).metrics["clips"]
                    for name in ("a still clip", "methods that know only time"))
    rows = [row for clip in still.values() for row in clip.values()]
    rows += [clip[name] for clip in timed.values() for name in worlds.TIME_ONLY]
    assert [row for row in rows if isinstance(row.get("auc_flow_frame"), float)] == []


# In every world

def test_sentences_are_complete(told):
    for text in told.sentences:
        assert re.search(r"\.$", text) and re.search(VERB, text), text
        assert not re.match(r"In 0 of|In the whole clip this", text), text
        assert not re.search(r"NaN|\bnan\b|\binf\b|undefined|n/a|\bNone\b(?! of)|\bnull\b", text), text


def test_percentages_are_possible(told):
    for text in told.sentences:
        shares = [float(share.replace(",", "")) for share in re.findall(r"(?<![\d.])([-−]?[\d.,]*\d) ?%", text)]
        assert all(abs(share) <= told.world.most_percent for share in shares), text
        assert not re.search(r"[-−]0(\.0+)? ?%", text), text
    if told.world.scores == 1:
        assert "(1.00)" not in told.output


def test_few_groups_give_values(told):
    """No mean, no interval, no test passed or failed."""
    if len(set(told.groups)) >= LEAST:
        return
    for text in told.sentences:
        assert not re.search(f"{AVERAGE}|{PASSES}|{INTERVAL}", text), text
    assert not re.search(rf"{INTERVAL}|\d of [1-9]\d* tests", told.output)
    rows = [row for row in all_dicts(told.metrics) if "passed" in row]
    assert [row for row in rows if row["passed"] or row.get("tests")] == []
    assert [cell for cell in all_dicts(told.metrics) if isinstance(cell.get("low"), float)] == []


def surely_positive(values, groups):
    """Return whether the mean of the groups' means is above 0 by Student's interval of 95 percent."""
    means = np.array([np.mean([value for value, own in zip(values, groups, strict=True) if own == group])
                      for group in dict.fromkeys(groups)])
    if len(means) < LEAST:
        return False
    return means.mean() > stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / math.sqrt(len(means))


def test_verdicts_are_those_of_the_intervals(told):
    clips, groups = told.metrics["clips"], told.groups
    for text in told.sentences:
        beats = re.search(r"map of (\w+) beats", text)
        if beats:
            rivals = [[clip[name].get("auc_flow_frame") for clip in clips.values()] for name in BASELINES]
            rivals = max((rival for rival in rivals if None not in rival), key=np.mean)
            own = [clip[beats[1]]["auc_flow_frame"] for clip in clips.values()]
            assert surely_positive(np.subtract(own, rivals), groups), text
        if re.search(ORDER_MATTERS, text):
            lost = [float(truth.share("reverse", truth.steps[:1], truth.steps[-1:])) for truth in told.truths.values()]
            assert surely_positive(lost, groups) or surely_positive(np.negative(lost), groups), text
        if re.search(worlds.FIRST, text):
            assert any(margin.get("low") is not None and margin["low"] > 0 for margin in all_dicts(told.metrics)), text


def test_a_decision_that_is_destroyed_was_there(told):
    """In so many clips, standing still in some interval changes the predicted class, not only the score."""
    for text in told.sentences:
        for count in re.findall(r"still[^.]*?destroys? the decision in (\d+)", text.replace(".0", "")):
            flipped = 0
            for truth in told.truths.values():
                ends = torch.triu_indices(truth.length, truth.length)
                chosen = truth.class_scores(truth.changed("freeze", *ends)).argmax(1)
                flipped += bool((chosen != truth.class_scores(truth.steps[None]).argmax(1)).any())
            assert int(count) <= flipped, text


def test_numbers_are_those_of_the_files(told):
    """Every number with two decimals or more stands in metrics.json, or is a probability of a clip."""
    known = [*numbers(told.metrics), *(float(truth.arrays["probability"]) for truth in told.truths.values())]
    known += [1 - number for number in known]
    for text in sentences(strings(told.metrics)):
        for number in re.findall(r"(?<![\w.])-?\d+\.\d{2,}(?! ?%)", text):
            step = 0.51 * 10 ** -len(number.partition(".")[2])
            assert any(abs(float(number) - other) <= step for other in known), f"{number}: {text}"


def test_frames_that_are_named_exist_and_count(told):
    for text, truth in told.about_frames():
        for first, last in re.findall(r"frames? (?:up to )?(\d+)(?: (?:to|and|or) (\d+))?", text):
            assert 1 <= int(first) <= int(last or first) <= truth.length, text
            if told.world.frames and re.search("owes|keep|background|raise|lower|contribute", text):
                assert {int(first), int(last or first)} <= set(told.world.frames), text


def test_the_frame_that_counts_most_does(told):
    """Its value is the largest in the direction of the difference, and the one in saliency.npz."""
    for text, truth in told.about_frames():
        found = re.search(rf"(?:owes most to|most[^.]*?by|most[^.]*?from) {SPAN}: (-?[\d.]+(?:e-?\d+)?)", text)
        if not found:
            continue
        values = truth.arrays["when_shapley"].astype(float) * (1 if truth.all > truth.none else -1)
        group = (int(found[1]) - 1) // -(-truth.length // len(values))
        assert values[group] == values.max(), text
        assert abs(float(found[3])) == pytest.approx(values[group], rel=0.01, abs=1e-6), text
        if truth.length <= 6:
            assert values[group] == pytest.approx(abs(truth.shapley()).max(), rel=0.02), text


DEEDS = {  # a sentence, and what it says is done to the frames that it names
    "alone": rf"{SPAN} (?:alone )?keeps? (?:[a-z ]*?)(\d+) ?%",
    "background": rf"If {SPAN} (?:is|are) replaced by the background, (?:(\d+) ?%)?",
    "freeze": rf"If {SPAN} stands? still, (?:(\d+) ?%)?", "reverse": rf"If {SPAN} runs? backwards, (?:(\d+) ?%)?",
}


@pytest.mark.parametrize("deed", DEEDS)
def test_shortest_intervals_do_what_is_said_and_no_shorter_one_does(told, deed):
    for text, truth in told.about_frames():
        for first, last, share in re.findall(DEEDS[deed], text):
            ends = [torch.tensor([int(end) - 1]) for end in (first, last or first)]
            found, tolerance = float(truth.share(deed, *ends)), 0.5
            if share:
                assert float(share) == pytest.approx(100 * found, abs=2 * tolerance, rel=0.02), text
            elif not re.search("within", text):
                assert truth.qualifies(deed, *ends).all(), text
            if re.search(r"no shorter", text) and not re.search("within", text):
                size = int(last or first) - int(first)  # one less than the frames
                starts = torch.cat([torch.arange(truth.length - n) for n in range(size)] or [truth.steps[:0]])
                stops = torch.cat([torch.arange(n, truth.length) for n in range(size)] or [truth.steps[:0]])
                assert not truth.qualifies(deed, starts, stops).any(), text


def test_enough_frames_are_enough(told):
    """From the named frame on, the beginning alone, with the background after it, has the predicted class."""
    for text, truth in told.about_frames():
        for frame, name in re.findall(r"frames up to (\d+) are enough for (\w+)", text):
            orders = torch.where(truth.steps[None] <= truth.steps[:, None], truth.steps[None], truth.length)
            chosen = truth.class_scores(orders).argmax(1)[int(frame) - 1:]
            assert (chosen == told.world.classes.index(name)).all(), text
