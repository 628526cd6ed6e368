"""The comparison of two runs: figures over pairs of clips, recipes, predictions and maps."""

import numpy as np
import pytest

from runtime.files import read_json, write_json
from saliency.results.averages import summarise
from saliency.results.compare import (
    compare,
    csv_rows,
    facts_of_pair,
    paired,
    read_pairs,
    recipe_differences,
    sentences,
    terminal_text,
)
from saliency.results.run import read_run
from tests.report_data import RECIPE, save_clip, save_features, save_metrics, stand_in_maps, walk
from tests.runs import bytes_of, refused, run_command, table


def make_pair(root):
    """Write two runs with four and five clips, three of them in common. B has another method and predicts otherwise.

    Return their folders.
    """
    clips = {f"clip{number:03}": stand_in_maps(walk(number), number) for number in range(6)}
    for run, numbers in (("a", (0, 1, 2, 3)), ("b", (1, 2, 3, 4, 5))):
        own = {f"clip{number:03}": clips[f"clip{number:03}"] for number in numbers}
        save_metrics(root / run, own)
        for number in numbers:
            predicted = "running" if run == "b" and number == 2 else "walking"
            save_clip(root / run, f"clip{number:03}", own[f"clip{number:03}"], predicted=predicted, number=number)
    write_json(root / "a" / "opts.json", RECIPE | {"options": RECIPE["options"] | {"tsr": False, "seed": 1}})
    write_json(root / "b" / "opts.json", RECIPE | {"commit": "fff", "inputs": {"resume_path": "77"}})
    return root / "a", root / "b"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def comparison(folders):
    runs = list(map(read_run, folders))
    return compare(*runs, {pair.name: facts_of_pair(pair) for pair in read_pairs(*runs)})


def test_differences_are_those_of_the_same_clip():
    """Clips differ much more than the runs, so only the interval over pairs shows that B is better."""
    hard = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    cells = paired([({"auc": value}, {"auc": value + 0.02 + 0.001 * number}) for number, value in enumerate(hard)])
    cell = cells["auc"]
    assert cell["a"] == pytest.approx(0.5) and cell["difference"] == pytest.approx(0.022)
    assert cell["b"] - cell["a"] == pytest.approx(cell["difference"])
    assert 0.02 <= cell["low"] < 0.022 < cell["high"] <= 0.024
    expected = summarise([{"d": 0.02 + 0.001 * number} for number in range(5)])["d"]
    assert (cell["low"], cell["high"]) == pytest.approx((expected["low"], expected["high"]))


def test_a_clip_counts_only_if_both_runs_have_the_figure():
    nan = float("nan")
    cells = paired([({"x": 1.0, "only_a": 1.0}, {"x": 3.0}), ({"x": nan}, {"x": 5.0}), ({"x": 2.0}, {"x": None})])
    assert list(cells) == ["x"]
    assert cells["x"]["n"] == 1 and (cells["x"]["a"], cells["x"]["b"]) == (1.0, 3.0)
    assert np.isnan(cells["x"]["low"])


def test_the_clips_of_one_person_are_one_pair():
    """Six clips of three persons have no interval; the same clips of six persons have one."""
    rows = [({"auc": 0.0}, {"auc": 0.1 + 0.01 * number}) for number in range(6)]
    few = paired(rows, ["a", "a", "b", "b", "c", "c"])["auc"]
    assert few["values"] == pytest.approx([0.105, 0.125, 0.145]) and few["n"] == 6
    assert paired(rows)["auc"]["low"] > 0 and paired(rows)["auc"]["groups"] == 6


def test_what_the_runs_share(comparison):
    assert comparison["clips"] == {"common": 3, "only_a": 1, "only_b": 2}
    predictions = comparison["predictions"]
    assert predictions["changed"] == [{"clip": "clip002", "label": "walking", "a": "walking", "b": "running"}]
    assert (predictions["n_changed"], predictions["right_a"], predictions["right_b"]) == (1, 3, 2)
    assert comparison["methods"] == ("gradient", "tsr")


def test_the_map_of_a_is_compared_with_the_map_of_b(comparison, folders):
    rows = [read_json(folder / "metrics.json")["clips"] for folder in folders]
    names = ["clip001", "clip002", "clip003"]
    before, after = (np.mean([clips[name][method]["auc_flow_frame"] for name in names])
                     for clips, method in zip(rows, ("gradient", "tsr"), strict=True))
    cell = comparison["figures"]["main map"]["auc_flow_frame"]
    assert (cell["a"], cell["b"], cell["difference"]) == pytest.approx((before, after, after - before))
    alone = comparison["figures"]["gradient"]["auc_flow_frame"]
    assert alone["difference"] == 0 and alone["values"] == [0, 0, 0] and np.isnan(alone["low"])


def test_runs_of_another_size_are_not_compared_without_a_note(comparison, folders, tmp_path):
    assert comparison["sizes"] == [] and not any("pixels in A" in text for text in sentences(comparison))
    save_metrics(tmp_path, {"clip001": stand_in_maps(walk(1, size=64))})
    save_clip(tmp_path, "clip001", stand_in_maps(walk(1, size=64)), number=1)
    runs = read_run(folders[0]), read_run(tmp_path)
    found = compare(*runs, {pair.name: facts_of_pair(pair) for pair in read_pairs(*runs)})
    start = "Frames have 32 x 32 pixels in A and 64 x 64 in B"
    assert any(text.startswith(start) for text in sentences(found))


def test_recipes(comparison):
    rows = {(part, name): values for part, name, *values in comparison["recipes"]}
    assert rows[("options", "tsr")] == [False, True] and rows[("options", "seed")] == [1, None]
    assert rows[("inputs", "resume_path")] == ["8f3b", "77"]
    assert rows[("inputs", "annotation_path")] == ["11c2", None]
    assert rows[("commit", "commit")][1] == "fff" and ("options", "method") not in rows
    assert recipe_differences(RECIPE, RECIPE) == [] == recipe_differences({}, {})


def test_sentences_and_tables(comparison):
    text = sentences(comparison)
    assert text[0] == ("3 clips in both runs are compared; 1 of A and 2 of B have no counterpart.")
    assert text[1] == "The predicted class differs in 1 of 3 clips: clip002."
    assert text[2] == "A predicts the class of 3, and B of 2, of 3 clips with a label."
    assert "rank correlation" in text[3] and "AUC of the map against the optical flow" in text[4]
    assert text[4].endswith("; 3 clips are too few to tell whether the runs differ in this.")
    printed = terminal_text(comparison | {"sentences": text})
    assert "The recipes differ in " in printed and f"- {text[1]}" in printed
    rows = csv_rows(comparison)
    assert rows[0][:5] == ["section", "figure", "a", "b", "difference"]
    assert any(row[:2] == ["main map", "auc_flow_frame"] for row in rows)


@pytest.mark.parametrize(("low", "high", "n", "words"), [
    (0.01, 0.05, 6, "B agrees more, because the difference of 0.030 has the 95 % interval [0.010, 0.050]."),
    (-0.05, -0.01, 6, "B agrees less"), (-0.01, 0.07, 6, "the runs are not distinguishable in this"),
    (float("nan"), None, 3, "3 clips are too few to tell whether the runs differ in this."),
    (None, None, 1, "1 clip is too few to tell")])
def test_a_verdict_needs_an_interval(comparison, low, high, n, words):
    cell = {"a": 0.7, "b": 0.73, "difference": 0.03, "low": low, "high": high, "n": n, "n_nan": 0, "groups": n}
    *_, text = sentences(comparison | {"figures": {"main map": {"auc_flow_frame": cell}}})
    assert words in text
    assert ("The mean" in sentences(comparison | {"agreement": {name: {"mean": 0.5, "n": n} for name in (
        "rank correlation over the clip", "rank correlation within frames")}})[3]) is (n > 1)


def test_the_command_writes_a_page_and_files(folders, tmp_path, capsys):
    run_command("utils.compare_runs", *folders, "--result_path", tmp_path / "new")
    assert "The predicted class differs in 1 of 3 clips: clip002." in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        ".lock", "report.html", "comparison.json", "comparison.csv"}
    content = read_json(tmp_path / "new" / "comparison.json")
    assert content["predictions"]["n_changed"] == 1 and content["of_clips"]["clip002"]["predicted"][1] == "running"
    rows = table(tmp_path / "new" / "comparison.csv")
    cell = content["figures"]["main map"]["auc_flow_frame"]
    found, = (row for row in rows if (row["section"], row["figure"]) == ("main map", "auc_flow_frame"))
    assert float(found["difference"]) == pytest.approx(cell["difference"])


def test_bad_input_ends_in_one_line_and_leaves_nothing(folders, tmp_path, capsys):
    a, b = folders
    before, new = bytes_of(a.parent), tmp_path / "new"

    def complaint(*arguments, result_path=new):
        return refused(capsys, "utils.compare_runs", *arguments, "--result_path", result_path)

    assert "is no result folder" in complaint(a, tmp_path) and "is no result folder" in complaint(tmp_path / "no", b)
    save_clip(tmp_path / "other", "x", stand_in_maps(walk()), number=77)
    assert "have no clip in common" in complaint(a, tmp_path / "other")
    assert "holds the results of a run" in complaint(a, b, result_path=a)
    save_features(tmp_path / "features/class/clip001/saliency.npz", 8)
    assert "it holds no maps of frames" in complaint(a, tmp_path / "features")
    (tmp_path / "other/class/clip001").mkdir()
    (tmp_path / "other/class/clip001/saliency.npz").write_bytes(b"PK cut short")
    assert "cannot be read" in complaint(a, tmp_path / "other")
    assert bytes_of(a.parent) == before and {path.name for path in new.iterdir()} == {".lock"}
