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
                                     '{"gradient": {"last_quarter_share": "0.5"}}',
                                     '{"gradient": {"last_quarter_share": 1e999}}',
                                     '{"gradient": {"last_quarter_share": 0.5}, "when": 3}',
                                     '{"gradient": {"last_quarter_share": 0.5}, "when": {"decided": "4"}}',
                                     '{"when": {"decided": 4}}', '{"\\ud800": {"last_quarter_share": 0.5}}'])
def test_figures_of_another_form_are_named(tmp_path, content):
    with pytest.raises(ValueError, match=r"clip.metrics.json does not hold the metrics of a clip; remove "):
        checked_methods(json.loads(content), tmp_path / "clip" / "metrics.json")


def test_rows_without_agreement_with_pixels_are_read_and_not_drawn(tmp_path):
    rows = {"gradient": {"auc_flow_frame": 0.7, "last_quarter_share": 0.2}, "freeze": {"last_quarter_share": 0.5}}
    assert checked_methods(rows, tmp_path / "metrics.json") == rows
    figure = summary.bars(summary.summarise_clips({"clip": rows}))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["gradient"]
    assert "are baselines" not in summary.tables(summary.summarise_clips({"clip": rows}))


def test_a_map_of_zeros_is_said_once_per_method():
    zero, other = {"map_is_zero": 1.0}, {"map_is_zero": 0.0}
    over_clips = summary.summarise_clips({"a": {"grad_cam": zero, "gradient": other, "frame_difference": zero},
                                          "b": {"grad_cam": zero, "gradient": zero}, "c": {"grad_cam": other}})
    cam, gradient = summary.zero_maps(over_clips)
    assert cam.startswith("the map of grad_cam is 0 everywhere in 2 of 3 clips") and "--layer" in cam
    assert gradient.startswith("the map of gradient is 0 everywhere in 1 of 2 clips") and "--layer" not in gradient
