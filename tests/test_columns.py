"""The table of all metrics: what a run measures is in it, and docs/metrics.md shows it."""

from runtime.files import read_json
from saliency.results.columns import COLUMNS, column
from tests.documents import PAGES
from tests.runs import table, use
from tests.tiny_data import CLIP


def test_the_table_of_the_docs_is_the_table_of_the_code():
    lines = [line for line in PAGES["docs/metrics.md"].splitlines() if line.startswith("| `")]
    shown = {cells[0].strip("` "): [cell.strip() for cell in cells[1:]]
             for cells in (line.strip("|").split("|") for line in lines)}
    expected = {name: [each.question, each.words, each.unit, each.range,
                       "" if each.chance is None else f"{each.chance:g}", each.source]
                for name, each in COLUMNS.items()}
    assert {name: row for name, row in shown.items() if name in expected} == expected


def test_metrics_csv_is_long_and_every_metric_has_its_column(data_set, trained, tmp_path, capsys):
    use("frame_saliency", data_set, trained, tmp_path, "--clips", CLIP, "--no_overlay", "--deletion", "--robustness",
        "--robustness_draws", 1, "--tsr_patch", 16, "--sanity", "--sanity_draws", 1)
    printed = capsys.readouterr().out
    content, rows = read_json(tmp_path / "metrics.json"), table(tmp_path / "metrics.csv")
    assert list(rows[0]) == ["clip", "class", "method", "question", "metric", "value"]
    assert {row["metric"] for row in rows if not column(row["metric"]).question} == set()
    known = {(row["clip"], row["class"], row["method"], row["metric"]): float(row["value"]) for row in rows}
    assert len(known) == len(rows)
    assert known[CLIP, "walking", "gradient", "auc_flow_frame"] == content["clips"][CLIP]["gradient"]["auc_flow_frame"]
    assert known[CLIP, "walking", "decision", "order_flips"] == content["when"]["clips"][CLIP]["order_flips"]
    assert known["", "", "gradient", "random_head"] == content["random_head"]["gradient"]["random_head"]["mean"]
    _, _, end = printed.partition("explained: ")  # the line of the clip; the answers and the page follow
    assert len(end.splitlines()) <= 15 and "auc_flow_frame" not in end and end.rstrip().endswith("report.html")
