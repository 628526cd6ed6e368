"""Every metric against scikit-learn, scipy or a case worked out by hand; what cannot be measured is NaN."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from saliency.flow import moving_threshold
from saliency.metrics import (
    auc,
    aup,
    aur,
    cc,
    map_metrics,
    mass_accuracy,
    nss,
    rank_accuracy,
    sim,
    sparseness,
    spearman,
)
from tests.toys import measured_clip

BINARY = [auc, nss, mass_accuracy, rank_accuracy]
CURVES = [aup, aur]
GRADED = [cc, sim, spearman]


def sample(shape=(3, 9, 11), seed=0, levels=None):
    """A positive map (with ties where `levels` is given), a reference of about a fifth of it, and a magnitude."""
    rng = np.random.default_rng(seed)
    saliency = rng.random(shape) ** 3 if levels is None else rng.integers(1, levels + 1, shape).astype(float)
    reference = rng.random(shape) < 0.1 + 0.2 * saliency / saliency.max()
    return saliency, reference, rng.gamma(0.5, size=shape)


@pytest.mark.parametrize("levels", [None, 2, 3, 10])
@pytest.mark.parametrize("seed", range(4))
def test_auc_equals_scikit_learn(seed, levels):
    saliency, reference, _ = sample(seed=seed, levels=levels)
    assert auc(saliency, reference) == pytest.approx(roc_auc_score(reference.ravel(), saliency.ravel()), abs=1e-12)


@pytest.mark.parametrize("levels", [None, 2, 5])
def test_correlations_equal_scipy(levels):
    saliency, _, magnitude = sample(levels=levels)
    flat = saliency.ravel(), magnitude.ravel()
    assert cc(saliency, magnitude) == pytest.approx(stats.pearsonr(*flat).statistic, abs=1e-12)
    assert spearman(saliency, magnitude) == pytest.approx(stats.spearmanr(*flat).statistic, abs=1e-12)
    rounded = np.round(magnitude)
    assert spearman(saliency, rounded) == pytest.approx(stats.spearmanr(flat[0], rounded.ravel()).statistic)
    assert spearman(saliency, np.exp(saliency)) == pytest.approx(1)


def test_nss_by_hand():
    saliency = np.array([[0.0, 0, 0], [0, 0, 6]])  # mean 1, variance (5 * 1 + 25) / 6 = 5
    assert nss(saliency, saliency > 0) == pytest.approx(5 / math.sqrt(5))
    assert nss(saliency, [[True, False, False], [False, False, True]]) == pytest.approx((5 - 1) / 2 / math.sqrt(5))
    other, reference, _ = sample()
    assert nss(other, reference) == pytest.approx(stats.zscore(other.ravel())[reference.ravel()].mean())


def test_sim_by_hand():
    assert sim([1, 3], [3, 1]) == pytest.approx(0.5)
    assert sim([0, 0, 5], [2, 2, 0]) == 0
    assert sim([1, 2, 1], [10, 20, 10]) == pytest.approx(1)
    saliency, _, magnitude = sample()
    halves = saliency / saliency.sum(), magnitude / magnitude.sum()
    assert sim(saliency, magnitude) == pytest.approx(1 - np.abs(halves[0] - halves[1]).sum() / 2)  # total variation


def test_mass_accuracy_by_hand():
    assert mass_accuracy([1, 2, 3, 4], [True, False, False, True]) == pytest.approx(5 / 10)
    assert mass_accuracy([1, -2, 3, 4], [True, True, False, False]) == pytest.approx(1 / 8)
    assert mass_accuracy([0, 0, 3, 4], [True, True, False, False]) == 0


def test_rank_accuracy_by_hand():
    assert rank_accuracy([9, 8, 1, 2], [True, False, True, False]) == 0.5
    assert rank_accuracy([9, 8, 1, 2], [True, True, False, False]) == 1
    assert rank_accuracy([1, 2, 8, 9], [True, True, False, False]) == 0
    # Three equal values share the two places that are left: 2/3 each, two of them inside.
    assert rank_accuracy([9, 5, 5, 5, 1], [True, True, True, False, False]) == pytest.approx((1 + 2 * 2 / 3) / 3)


@pytest.mark.parametrize("levels", [None, 4])
@pytest.mark.parametrize("seed", range(2))
def test_aup_and_aur_are_the_integrals_of_scikit_learns_scores(seed, levels):
    saliency, reference, _ = sample((30,), seed, levels)
    scaled = (saliency - saliency.min()) / np.ptp(saliency)
    levels = np.unique(scaled)  # between two of them, no threshold changes anything
    middles, widths = (levels[1:] + levels[:-1]) / 2, np.diff(levels)
    for area, score in ((aup, precision_score), (aur, recall_score)):
        values = [score(reference, scaled >= threshold) for threshold in middles]
        assert area(saliency, reference) == pytest.approx(widths @ values)


def test_sparseness_by_hand_and_by_all_pairs():
    assert sparseness(np.array([0, 0, 0, 5.0])) == pytest.approx(1 - 1 / 4)
    assert sparseness(np.array([1.0, 3.0])) == pytest.approx(0.25)
    assert math.isnan(sparseness(np.ones(4))) and math.isnan(sparseness(np.array([1, np.nan])))
    values = sample((60,))[0]
    pairs = np.abs(values[:, None] - values).mean() / (2 * values.mean())  # half the relative mean difference
    assert sparseness(values) == pytest.approx(pairs)
    ordered = np.sort(values)  # as Hurley and Rickard write the Gini index
    shares = ordered / ordered.sum() * (60 - np.arange(1, 61) + 0.5) / 60
    assert sparseness(values) == pytest.approx(1 - 2 * shares.sum())


SOME = np.array([True, False, False, True])
UNMEASURABLE = [
    ("empty reference", np.arange(4), np.zeros(4, bool)),
    ("full reference", np.arange(4), np.ones(4, bool)),
    ("NaN in the map", np.array([1, 2, np.nan, 4]), SOME),
    ("infinite map", np.array([1, 2, np.inf, 4]), SOME),
    ("one pixel", np.array([1.0]), np.array([True])),
    ("no pixel", np.zeros((0, 4)), np.zeros((0, 4), bool)),
]


@pytest.mark.parametrize("metric", BINARY + CURVES + GRADED)
@pytest.mark.parametrize("case, saliency, reference", UNMEASURABLE, ids=[case for case, *_ in UNMEASURABLE])
def test_what_cannot_be_measured_is_nan(metric, case, saliency, reference):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = metric(saliency, reference)
    assert isinstance(value, float) and math.isnan(value)


@pytest.mark.parametrize("metric", BINARY + GRADED)
def test_shapes_must_agree(metric):
    with pytest.raises(ValueError, match="give both in one shape"):
        metric(np.zeros((2, 3)), np.zeros((3, 2), bool))


def test_a_row_holds_each_metric_by_frame_and_by_clip():
    saliency, flow, masks = measured_clip()
    row = map_metrics(saliency, flow, masks)
    moving = flow > moving_threshold(10)
    for metric in BINARY:
        name = metric.__name__
        by_frame = [metric(saliency[t], moving[t]) for t in (0, 1, 3, 4)]  # frame 2 rests, frame 5 has no flow
        assert row[f"{name}_flow_frame"] == pytest.approx(np.mean(by_frame))
        assert row[f"{name}_flow_clip"] == pytest.approx(metric(saliency[:-1], moving))
        by_frame = [metric(saliency[t], masks[t]) for t in range(5)]
        assert row[f"{name}_mask_frame"] == pytest.approx(np.mean(by_frame))
        assert row[f"{name}_mask_clip"] == pytest.approx(metric(saliency, masks))
    for metric in (cc, sim):
        by_frame = [metric(saliency[t], flow[t]) for t in (0, 1, 3, 4)]
        assert row[f"{metric.__name__}_flow_frame"] == pytest.approx(np.mean(by_frame))
        assert row[f"{metric.__name__}_flow_clip"] == pytest.approx(metric(saliency[:-1], flow))
    assert row["frames_with_reference"] == 4 and row["frames_constant"] == 0
    assert row["mask_share_frame"] == pytest.approx(masks[:5].mean())
    assert row["mask_share_clip"] == pytest.approx(masks.mean())
    assert row["flow_share_clip"] == pytest.approx(moving.mean())
    totals = saliency.sum(axis=(1, 2))
    assert row["time_spearman_flow"] == pytest.approx(stats.spearmanr(totals[:5], flow.sum(axis=(1, 2))).statistic)
    assert row["time_auroc_visible"] == pytest.approx(roc_auc_score([1, 1, 1, 1, 1, 0], totals))
    assert row["time_aup_visible"] == aup(totals, masks.any((1, 2))) and row["sparseness"] == sparseness(saliency)
    assert row["time_aur_visible"] == aur(totals, masks.any((1, 2))) and row["time_sparseness"] == sparseness(totals)
    assert {type(value) for value in row.values()} == {float, int}


def test_last_quarter_by_hand():
    saliency = np.zeros((6, 2, 2))  # the last quarter is half of frame 4 and frame 5
    saliency[0, 0, 0], saliency[4, 0, 0], saliency[5] = 2, 4, 1
    assert map_metrics(saliency, np.zeros((5, 2, 2)))["last_quarter_share"] == pytest.approx((2 + 4) / 10)


@pytest.mark.parametrize("length", [1, 2, 6])
@pytest.mark.parametrize("value", [0.0, 3.0, np.nan, np.inf])
def test_blank_and_broken_clips_give_nan_without_a_warning(length, value):
    masks = np.ones((length, 4, 5), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = map_metrics(np.full((length, 4, 5), value), np.zeros((length - 1, 4, 5)), masks)
    assert row.pop("frames_with_reference") == row.pop("frames_constant") == 0
    assert row.pop("map_is_zero") == (value == 0)
    share = row.pop("last_quarter_share")
    assert share == pytest.approx(0.25) if value == 3 else math.isnan(share)
    assert all(math.isnan(number) for number in row.values())
