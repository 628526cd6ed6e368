"""The table of saliency/results/trust.py, with margins worked out by hand."""

import pytest
from torch import nn

from frame_saliency import build_parser, planned
from runtime.files import read_json
from saliency.methods import METHODS
from saliency.results.findings import findings
from saliency.results.trust import HEAD, RULE, trust, trust_table, trusted
from tests.runs import use
from tests.tiny_data import CLIP
from tests.toys import MeanOfBackbone

COMPARED = ["freeze", "occlusion_frame"]
NAN = float("nan")


def row(auc, gain=None, **more):
    gains = {} if gain is None else {f"{curve}_frame_gain": gain for curve in ("deletion", "insertion")}
    return {"auc_flow_frame": auc} | gains | more


def clips_of(number=6, **values):
    """Clips in which every method has values that vary a little from clip to clip, the same for all methods."""
    return {f"clip{i}": {name: {metric: value if value is None else value + 0.001 * i for metric, value in own.items()}
                         for name, own in values.items()} for i in range(number)}


BASES = {"random": row(0.5, 0.0), "centre": row(0.7), "frame_difference": row(0.9, 0.1)}


def answers(*found):
    """Return {question: answer} of `trust`."""
    return {each["question"]: each for each in trust(*found)["questions"]}


def rows_of(answer):
    return {each["method"]: each for each in answer["rows"]}


def test_margins_are_those_over_the_best_baseline():
    found = answers(clips_of(**BASES, sharp=row(0.95, 0.3), weak=row(0.6, 0.05)))
    where, faithful = rows_of(found["where"]), rows_of(found["faithful to the model"])
    assert where["sharp"]["margins"]["flow"]["mean"] == pytest.approx(0.05)
    assert faithful["sharp"]["margins"]["frames"]["mean"] == pytest.approx(0.2)
    assert where["weak"]["mean_margin"] == pytest.approx(-0.3)
    assert where["random"]["margins"]["flow"]["mean"] == pytest.approx(-0.4)
    assert where["frame_difference"]["mean_margin"] == faithful["frame_difference"]["mean_margin"] == 0
    assert (where["sharp"]["passed"], where["sharp"]["tests"], where["weak"]["passed"]) == (1, 1, 0)
    assert "centre" in where and "centre" not in faithful


def test_a_method_is_in_the_tables_of_the_questions_that_it_answers():
    """One that tells frames apart and not pixels has no metrics of pixels; it does not stand below the random map."""
    times = {"last_quarter_share": 0.3, "deletion_frame_gain": 0.3, "insertion_frame_gain": 0.3}
    found = answers(clips_of(**BASES, sharp=row(0.95, 0.2), freeze=times))
    assert set(rows_of(found["where"])) == {"sharp", *BASES}
    assert list(rows_of(found["faithful to the model"]))[:2] == ["freeze", "sharp"]
    assert found["when"]["note"].startswith("not measurable here, because no clip is known to have frames with")
    assert "rows" not in found["when"]
    seen = clips_of(**{name: own | {"time_auroc_visible": 0.5} for name, own in BASES.items()},
                    freeze=times | {"time_auroc_visible": 0.9})
    assert rows_of(answers(seen)["when"])["freeze"]["passed"] == 1
    assert answers(seen)["where"]["note"].startswith("not measurable here")
    assert answers(clips_of(random=row(0.5), sharp=row(0.9)))["faithful to the model"]["note"] == (
        "not measured; --deletion and --robustness do this")


def test_few_people_pass_and_fail_nothing():
    """Three clips, and eight clips of two people, have the same margin in each clip: too few all the same."""
    for number, groups, sample in ((3, None, "3 clips"), (1, None, "1 clip"),
                                   (8, {f"clip{i}": f"person {i % 2}" for i in range(8)}, "8 clips of 2 people")):
        found = trust(clips_of(number, **BASES, good=row(0.95, 0.4), bad=row(0.6, 0.0)), None, groups)
        where = found["questions"][0]
        assert {(each["passed"], each["tests"]) for each in where["rows"]} == {(0, 0)}
        verb = "is" if number == 1 else "are"
        assert where["note"] == f"{sample} {verb} too few to tell: no test is passed or failed."
        assert trusted(found) is None and " 0 of " not in trust_table(found)
    assert rows_of(where)["good"]["margins"]["flow"]["values"] == pytest.approx([0.05, 0.05])


def test_a_margin_whose_interval_holds_0_is_no_pass():
    clips = clips_of(**BASES, unsteady=row(0.95), steady=row(0.93))
    for i, rows in enumerate(clips.values()):
        rows["unsteady"]["auc_flow_frame"] = 0.95 + (0.2 if i % 2 else -0.2)
    where = answers(clips)["where"]
    margin = rows_of(where)["unsteady"]["margins"]["flow"]
    assert margin["low"] < 0 < margin["mean"] < margin["high"] and rows_of(where)["unsteady"]["passed"] == 0
    assert where["beside"] == ["unsteady"] and trusted(trust(clips)) == (
        "Where: of 2 methods, steady comes first: it passes 1 of 1 tests, but it is not distinguishable from unsteady.")


def test_a_constant_map_never_comes_first():
    """Chance level is better than baselines that lie below it, and a blank map has an infidelity of 1."""
    low = {name: row(0.3, infidelity=1.3, sparseness=0.4) for name in BASES}
    clips = clips_of(**low, blank=row(0.5, infidelity=1.0, sparseness=None),
                     sharp=row(0.4, infidelity=1.2, sparseness=0.5))
    found = trust(clips)
    for answer in (found["questions"][0], found["questions"][2]):
        assert "blank" not in rows_of(answer) and "one value everywhere: blank." in answer["note"]
    assert trusted(found) is None
    same = clips_of(**{name: row(0.5, 0.0) for name in BASES}, a=row(0.5, 1e-9), b=row(0.5, 1e-9))  # a constant model
    assert all(each["passed"] == 0 for answer in trust(same)["questions"] for each in answer.get("rows", ()))


def test_the_random_head_and_infidelity_are_tests():
    values = {"a": row(0.8, infidelity=0.4), "random": row(0.5, infidelity=0.9), "centre": row(0.7)}
    difference = {"mean": 0.1, "low": 0.05, "high": 0.2, "n": 6, "n_nan": 0, "groups": 6}
    heads = {"a": {"difference": difference}, "gone": {"difference": difference | {"low": NAN, "high": NAN}}, "b": {}}
    found = answers(clips_of(**values), heads)
    first = found["where"]["rows"][0]
    assert first["method"] == "a" and (first["passed"], first["tests"]) == (2, 2)
    assert first["margins"][HEAD]["mean"] == 0.1
    assert rows_of(found["faithful to the model"])["a"]["margins"]["infidelity"]["mean"] == pytest.approx(0.5)


def test_the_text_has_the_rule_the_baselines_and_every_question():
    found = trust(clips_of(**BASES, sharp=row(0.95, 0.3), weak=row(0.6, 0.05)))
    rule, where, when, faithful = trust_table(found).split("\n\n")
    assert rule == RULE and when.startswith("when: not measurable here")
    assert where.splitlines()[1].split() == ["method", "passed", "mean", "margin", "flow"]
    assert where.splitlines()[2].split()[:4] == ["sharp", "1", "of", "1"] and "frames: mean gain" in faithful
    assert {line.split()[0] for line in where.splitlines()[2:7]} == {"sharp", "weak", *BASES}
    sentence = ("Where: of 2 methods, sharp comes first: it passes 1 of 1 tests. Faithful to the model: of 2 methods, "
                "sharp comes first: it passes 1 of 1 tests.")
    assert trusted(found) == sentence
    assert {"text": sentence, "section": "comparison"} in findings({"trust": found}, "sharp")
    assert trusted(trust(clips_of(**BASES, one=row(0.8), two=row(0.6)))) == (
        "Where: of 2 methods, none passes a test against the baselines.")


def test_all_stands_for_every_method_that_explains_the_model():
    for model, left_out in ((MeanOfBackbone(), ()), (nn.Flatten(), ("interval", "shapley_frame"))):
        args = build_parser().parse_args(["--compare", "all", "--path_points", "3", "--no_when"])
        assert planned(args, model).methods == [name for name in METHODS if name not in ("tsr", *left_out)]


def test_methods_are_compared_and_put_to_test(data_set, trained, tmp_path, capsys):
    use("frame_saliency", data_set, trained, tmp_path, "--clips", CLIP, "--no_overlay", "--no_when", "--compare",
        *COMPARED, "--deletion", "--robustness", "--robustness_draws", 1, "--tsr_patch", 16, "--verbose")
    printed, content = capsys.readouterr().out, read_json(tmp_path / "metrics.json")
    found = {each["question"]: each for each in content["trust"]["questions"]}
    assert set(rows_of(found["where"])) <= {"gradient", "random", "centre", "frame_difference"}  # the others say when
    faithful = rows_of(found["faithful to the model"])
    assert set(faithful) == {"gradient", *COMPARED, "random", "frame_difference"}
    for name in ("gradient", "random", "frame_difference"):
        assert set(faithful[name]["margins"]) == {"frames", "patches", "infidelity"}
    assert found["where"]["note"].startswith("1 clip of 1 person is too few to tell: no test is passed or failed.")
    assert content["groups"] == {CLIP: "person 22"} and "when: not measurable here" in printed
    own, random = (content["clips"][CLIP][name] for name in ("freeze", "random"))
    for name in ("comprehensiveness_frame", "log_odds_patch", "infidelity", "time_sparseness"):
        assert {type(own[name]), type(random[name])} == {float}
    assert own["max_sensitivity"] >= 0 and "max_sensitivity" not in random
    assert "explains the clip 1 more times: about" in printed and RULE in printed
    assert printed.index(RULE) < printed.index("What was found")
    assert not any("comes first" in finding["text"] for finding in content["findings"])
    with pytest.raises(SystemExit):
        use("frame_saliency", data_set, trained, tmp_path, "--clips", CLIP, "--no_overlay", "--no_when", "--compare",
            *COMPARED, "--deletion")  # the folder holds results with --robustness
