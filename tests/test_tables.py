"""Tables as text."""

from saliency.tables import fewer_clips, format_table


def test_table_is_aligned_and_sorted():
    rows = [
        {"method": "random", "auc": 0.5, "clips": 7},
        {"method": "constant", "auc": float("nan")},
        {"method": "smoothgrad", "auc": {"mean": 0.91234, "low": 0.88, "high": 0.94, "n": 7, "n_nan": 0}, "clips": 7},
    ]
    assert format_table(rows, ["method", "auc", "clips"]).splitlines() == [
        "method      auc                   clips",
        "smoothgrad  0.912 [0.880, 0.940]  7",
        "random      0.500                 7",
        "constant    -                     -",
    ]
    assert format_table(rows, ["method", "clips"], sort_by="auc").splitlines()[1].startswith("smoothgrad")


def test_few_values_are_listed_and_a_single_one_is_not():
    nan = float("nan")
    few = {"mean": 0.6, "low": nan, "high": nan, "n": 2, "n_nan": 0, "groups": 2, "values": [0.5, 0.7]}
    rows = [{"method": "a", "auc": few}, {"method": "b", "auc": few | {"mean": 0.5, "n": 1, "values": [0.5]}}]
    lines = format_table(rows, ["method", "auc"]).splitlines()
    assert lines[1] == "a       0.600 (0.500, 0.700)" and lines[2] == "b       0.500"


def test_methods_with_fewer_clips_are_named():
    rows = [{"method": name, "auc": {"mean": 0.5, "n": n}, "cc": {"mean": 0, "n": 3}}
            for name, n in (("a", 5), ("b", 3), ("blank", 0))]
    assert fewer_clips(rows, ["auc", "cc", "nss"]).endswith("Clips with a value: auc of b: 3 of 5.")
    assert fewer_clips(rows[:1], ["auc"]) == "" == fewer_clips([{"method": "a", "auc": 0.5}], ["auc"])
