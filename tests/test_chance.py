"""A map that is constant where its reference is not has the value of chance, so that all maps count in all frames."""

import math
import warnings

import numpy as np
import pytest

from saliency.flow import moving_threshold
from saliency.metrics import auc, aup, aur, cc, map_metrics, mass_accuracy, nss, rank_accuracy, sim, spearman
from tests.toys import measured_clip

BINARY = [auc, nss, mass_accuracy, rank_accuracy]


@pytest.mark.parametrize("value", [0.0, 0.1, -2.0])
def test_a_constant_map_has_the_value_of_chance(value):
    """0.1 is one of the numbers whose mean over seven pixels is another number, so that a deviation is left over."""
    reference, magnitude = np.arange(7) < 2, np.array([5.0, 2, 2, 0, 0, 0, 1])
    expected = {auc: 0.5, nss: 0, mass_accuracy: 2 / 7, rank_accuracy: 2 / 7}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {metric: metric(np.full(7, value), reference) for metric in BINARY}
        assert found == {metric: pytest.approx(chance) for metric, chance in expected.items()}
        assert cc(np.full(7, value), magnitude) == 0
        assert sim(np.full(7, value), magnitude) == pytest.approx((3 + 0.7) / 7)  # three pixels with 1/7, one with 0.1
        assert all(math.isnan(metric(np.full(7, value), reference)) for metric in (aup, aur, spearman))


def test_a_map_without_positive_values_has_the_accuracies_of_chance():
    assert mass_accuracy(np.array([-1.0, -2, -3, -4]), np.array([True, False, False, True])) == 0.5
    assert sim(np.array([-1.0, -2, -3, -4]), np.array([0.0, 1, 1, 2])) == pytest.approx(0.75)


def test_frames_whose_map_is_constant_count_as_chance():
    """So all maps are measured in the same frames, those whose reference is neither empty nor full."""
    saliency, flow, masks = measured_clip()
    moving = flow > moving_threshold(10)
    saliency[1], saliency[2], saliency[3] = 0, 0, 0.1
    row = map_metrics(saliency, flow, masks)
    assert row["auc_flow_frame"] == pytest.approx(np.mean([auc(saliency[t], moving[t]) for t in (0, 4)] + [0.5, 0.5]))
    assert row["nss_flow_frame"] == pytest.approx(sum(nss(saliency[t], moving[t]) for t in (0, 4)) / 4)
    assert row["cc_flow_frame"] == pytest.approx(sum(cc(saliency[t], flow[t]) for t in (0, 4)) / 4)
    accuracies = [mass_accuracy(saliency[t], moving[t]) for t in (0, 4)] + [moving[1].mean(), moving[3].mean()]
    assert row["mass_accuracy_flow_frame"] == pytest.approx(np.mean(accuracies))
    assert (row["frames_with_reference"], row["frames_constant"], row["map_is_zero"]) == (4, 2, 0)
    saliency[3, 0, 0] = np.nan  # a frame whose map is not finite is no chance, and not left out either
    assert math.isnan(map_metrics(saliency, flow, masks)["auc_flow_frame"])


def test_a_map_of_zeros_is_at_chance_everywhere():
    _, flow, masks = measured_clip()
    row = map_metrics(np.zeros((6, 10, 10)), flow, masks)
    for name, value in row.items():
        metric = name.partition("_flow_")[0].partition("_mask_")[0]
        if metric in ("mass_accuracy", "rank_accuracy"):
            assert value == pytest.approx(row[name.replace(metric + "_", "").replace("_", "_share_")])
        elif metric in ("auc", "time_auroc_visible"):
            assert value == 0.5
        elif metric in ("nss", "cc", "time_spearman"):
            assert value == 0
    assert row["map_is_zero"] == 1 and row["frames_constant"] == row["frames_with_reference"] == 4


def test_a_map_that_is_constant_within_a_frame_has_metrics_over_time_only():
    saliency, flow, masks = measured_clip()
    whole = map_metrics(saliency, flow, masks)
    row = map_metrics(saliency, flow, masks, time_only=True)
    assert row == {name: whole[name] for name in row}
    assert set(row) == {"time_spearman_flow", "last_quarter_share", "peak_frame_moves", "time_sparseness",
                        "map_is_zero", "time_auroc_visible", "time_aup_visible", "time_aur_visible"}
