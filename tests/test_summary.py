"""Summaries of a whole run."""

import json

import pytest

from saliency import summary
from saliency.sanity import check
from saliency.summary import checked_methods
from tests.toys import MeanOfBackbone, example


def test_the_printed_tables_hold_every_stage_and_both_correlations():
    report = check(MeanOfBackbone().eval(), [example()], ["gradient"], draws=1)
    text = summary.sanity_tables(report)
    assert all(stage in text for stage in report["sanity"]["stages"])
    head = report["random_head"]["gradient"]
    assert f"{head['within_frames']['mean']:.3f}" in text and f"{head['correlation']['mean']:.3f}" in text


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"gradient": 3}', '{"gradient": {}}',
                                     '{"gradient": {"auc_flow_frame": "0.5"}}',
                                     '{"gradient": {"auc_flow_frame": 1e999}}',
                                     '{"gradient": {"auc_flow_frame": 0.5}, "when": 3}',
                                     '{"gradient": {"auc_flow_frame": 0.5}, "when": {"decided": "4"}}',
                                     '{"when": {"decided": 4}}', '{"\\ud800": {"auc_flow_frame": 0.5}}'])
def test_figures_of_another_form_are_named(tmp_path, content):
    with pytest.raises(ValueError, match=r"clip.metrics.json does not hold the metrics of a clip; remove "):
        checked_methods(json.loads(content), tmp_path / "clip" / "metrics.json")
