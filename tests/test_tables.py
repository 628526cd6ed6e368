"""Tables as text."""

from saliency.tables import format_table


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
