"""The table of saliency/trust.py, with margins worked out by hand."""

import pytest
from torch import nn

from frame_saliency import build_parser, check_model
from runtime.files import read_json
from saliency.findings import findings
from saliency.methods import METHODS
from saliency.trust import HEAD, RULE, trust, trust_table, trusted
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


def test_margins_are_those_over_the_best_baseline():
    found = trust(clips_of(**BASES, sharp=row(0.95, 0.3), weak=row(0.6, 0.05)))
    rows = {each["method"]: each for each in found["rows"]}
    assert rows["sharp"]["margins"]["flow"]["mean"] == pytest.approx(0.05)
    assert rows["sharp"]["margins"]["frames"]["mean"] == pytest.approx(0.2)
    assert rows["weak"]["margins"]["flow"]["mean"] == pytest.approx(-0.3)
    assert rows["random"]["margins"]["flow"]["mean"] == pytest.approx(-0.4)
    assert [rows["frame_difference"]["margins"][test]["mean"] for test in ("flow", "frames")] == [0, 0]
    assert (rows["sharp"]["passed"], rows["sharp"]["tests"], rows["weak"]["passed"]) == (2, 2, 0)
    assert rows["centre"]["tests"] == 1 and rows["sharp"]["mean_margin"] == pytest.approx(0.125)


def test_the_order_is_tests_passed_then_the_mean_margin():
    values = {"one": row(0.95, 0.05), "two": row(0.91, 0.11), "large": row(0.99, 0.09)}
    order = [each["method"] for each in trust(clips_of(**BASES, **values))["rows"]]
    assert order == ["two", "large", "one", "frame_difference", "centre", "random"]


def test_a_margin_whose_interval_holds_0_is_no_pass():
    clips = clips_of(**BASES, unsteady=row(0.95))
    for i, rows in enumerate(clips.values()):
        rows["unsteady"]["auc_flow_frame"] = 0.95 + (0.2 if i % 2 else -0.2)
    unsteady = next(each for each in trust(clips)["rows"] if each["method"] == "unsteady")
    margin = unsteady["margins"]["flow"]
    assert margin["low"] < 0 < margin["mean"] < margin["high"] and unsteady["passed"] == 0
    alone = trust(clips_of(1, **BASES, good=row(0.95)))["rows"]
    assert {each["method"]: each["passed"] for each in alone}["good"] == 1  # one clip has no interval


def test_the_random_head_and_infidelity_are_tests():
    values = {"a": row(0.8, infidelity=0.4), "random": row(0.5, infidelity=0.9), "centre": row(0.7)}
    head = {"a": {"difference": {"mean": 0.1, "low": 0.05, "high": 0.2, "n": 3, "n_nan": 0}},
            "gone": {"difference": {"mean": 0.1}}, "b": {}}
    first = trust(clips_of(**values), head)["rows"][0]
    assert first["method"] == "a" and (first["passed"], first["tests"]) == (3, 3)
    assert first["margins"]["infidelity"]["mean"] == pytest.approx(0.5)
    assert first["margins"][HEAD]["mean"] == 0.1


def test_what_was_not_measured_is_no_test():
    clips = clips_of(**BASES, still={"auc_flow_frame": NAN, "deletion_frame_gain": 0.3, "insertion_frame_gain": 0.3},
                     lost={"auc_flow_frame": None})
    rows = {each["method"]: each for each in trust(clips, {"still": {"difference": {"mean": None}}})["rows"]}
    assert list(rows["still"]["margins"]) == ["frames"] and rows["still"]["passed"] == 1
    assert rows["lost"]["tests"] == 0 and list(rows)[-1] == "lost"
    assert trust({}) == {"rule": RULE, "rows": []} and trusted(trust({})) is None


def test_the_text_has_the_rule_the_baselines_and_every_test():
    found = trust(clips_of(**BASES, sharp=row(0.95, 0.3), weak=row(0.6, 0.05)))
    lines = trust_table(found).splitlines()
    assert lines[0] == RULE and lines[1].split() == ["method", "passed", "mean", "margin", "flow", "frames"]
    assert lines[2].split()[:4] == ["sharp", "2", "of", "2"] and len(lines) == 9
    assert {line.split()[0] for line in lines[2:7]} == {"sharp", "weak", *BASES}
    sentence = "Of 2 methods, sharp comes first: it passes 2 of 2 tests; frame difference passes 0 and random passes 0."
    assert trusted(found) == sentence
    assert {"text": sentence, "section": "comparison"} in findings({"trust": found}, "sharp")
    assert trusted(trust(clips_of(**BASES, one=row(0.8), two=row(0.6)))) == (
        "None of 2 methods passes a test against the baselines; one comes first, with a mean margin of -0.100.")


def test_all_stands_for_every_method_that_explains_the_model():
    for model, left_out in ((MeanOfBackbone(), ()), (nn.Flatten(), ("interval", "shapley_frame"))):
        args = build_parser().parse_args(["--compare", "all", "--path_points", "3", "--no_when"])
        check_model(args, model)
        assert args.compare == [name for name in METHODS if name not in ("tsr", *left_out)]


def test_methods_are_compared_and_put_to_test(data_set, trained, tmp_path, capsys):
    use("frame_saliency", data_set, trained, tmp_path, "--clips", CLIP, "--no_overlay", "--no_when", "--compare",
        *COMPARED, "--deletion", "--robustness", "--robustness_draws", 1, "--tsr_patch", 16)
    printed, content = capsys.readouterr().out, read_json(tmp_path / "metrics.json")
    rows = {row["method"]: row for row in content["trust"]["rows"]}
    assert set(rows) == {"gradient", *COMPARED, "random", "centre", "frame_difference"}
    for name in ("gradient", "random", "frame_difference"):
        assert set(rows[name]["margins"]) == {"flow", "frames", "patches", "infidelity"}
    own, random = (content["clips"][CLIP][name] for name in ("freeze", "random"))
    for name in ("comprehensiveness_frame", "log_odds_patch", "infidelity", "time_sparseness"):
        assert {type(own[name]), type(random[name])} == {float}
    assert own["max_sensitivity"] >= 0 and "max_sensitivity" not in random
    assert "explains the clip 1 more times: about" in printed and RULE in printed
    assert printed.index(RULE) < printed.index("What was found")
    sentences = [finding["text"] for finding in content["findings"]]
    assert any(text.startswith(("Of 3 methods, ", "None of 3 methods ")) for text in sentences)
    with pytest.raises(SystemExit):
        use("frame_saliency", data_set, trained, tmp_path, "--clips", CLIP, "--no_overlay", "--no_when", "--compare",
            *COMPARED, "--deletion")  # the folder holds results with --robustness


def test_one_method_makes_no_table(data_set, trained, tmp_path, capsys):
    use("frame_saliency", data_set, trained, tmp_path, "--clips", CLIP, "--no_overlay", "--no_when")
    assert RULE not in capsys.readouterr().out and "trust" not in read_json(tmp_path / "metrics.json")
