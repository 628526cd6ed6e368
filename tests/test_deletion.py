"""Deletion and insertion curves on models whose answer is known."""

import math

import pytest
import torch

from saliency.deletion import (
    TOP_SHARES,
    deletion_metrics,
    measure,
    patch_probabilities,
)
from saliency.fills import background
from saliency.sequences import Sequences
from tests.toys import MeanOfFrames, OneFrame


def clip_with_light(frames=8, lit=(3,), size=6):
    """All black but for one pixel of the frames `lit`, so that the background is black."""
    clip = torch.zeros(frames, 3, size, size)
    for t in lit:
        clip[t, :, 1, 4] = 1.0
    return clip


def test_frames_go_exactly_when_the_order_says_so():
    clip, high, low = clip_with_light(), torch.tensor(15.0).sigmoid().item(), 0.5
    best = torch.zeros(8, 6, 6)
    best[3, 1, 4] = 1
    worst = torch.ones(8, 6, 6)
    worst[3] = 0
    rows = deletion_metrics(OneFrame(), clip, 0, {"best": best, "worst": worst}, patch=3)
    # nine points; the trapezoid over the step in which the frame goes is half as high as its sides together
    assert rows["best"]["deletion_frame_auc"] == pytest.approx((7 * low + (high + low) / 2) / 8)
    assert rows["worst"]["deletion_frame_auc"] == pytest.approx((7 * high + (high + low) / 2) / 8)
    assert rows["best"]["insertion_frame_auc"] == pytest.approx(rows["worst"]["deletion_frame_auc"])
    assert rows["worst"]["insertion_frame_auc"] == pytest.approx(rows["best"]["deletion_frame_auc"])
    for unit in ("frame", "patch"):
        assert rows["best"][f"deletion_{unit}_gain"] >= 0 >= rows["worst"][f"deletion_{unit}_gain"]
        assert rows["best"][f"insertion_{unit}_gain"] == pytest.approx(
            rows["best"][f"insertion_{unit}_auc"] - rows["random"][f"insertion_{unit}_auc"])
    # 32 patches in 20 steps of 1 or 2: the first step takes the lit one
    counts = torch.linspace(0, 32, 21).round()
    assert rows["best"]["deletion_patch_auc"] == pytest.approx(low + (high - low) / 2 * counts[1].item() / 32)


def kept_weight(deleted):
    """A probability that every unit adds to in proportion to its number, 1 for all units and 0.01 for none."""
    weights = torch.arange(1.0, deleted.shape[1] + 1).double()
    return 0.01 + 0.99 * (~deleted * weights).sum(1) / weights.sum()


def test_comprehensiveness_sufficiency_and_log_odds_by_hand():
    """Ten units that weigh 1 to 10 of 55; the heaviest come first. The shares take 1, 1, 1, 2 and 5 of them."""
    assert TOP_SHARES == (0.01, 0.05, 0.1, 0.2, 0.5)
    found = measure(torch.arange(9, -1, -1), kept_weight)
    top = 0.99 / 55 * torch.tensor([10, 10, 10, 10 + 9, 10 + 9 + 8 + 7 + 6.0])
    assert found["comprehensiveness"] == pytest.approx(top[3].item())
    assert found["sufficiency"] == pytest.approx(1 - 0.01 - top[3].item())
    assert found["log_odds"] == pytest.approx(math.log(1 - top[3].item()))
    assert found["aopc_comprehensiveness"] == pytest.approx(top.mean().item())
    assert found["aopc_sufficiency"] == pytest.approx(1 - 0.01 - top.mean().item())
    worst = measure(torch.arange(10), kept_weight)
    assert worst["comprehensiveness"] == pytest.approx(0.99 * 3 / 55)
    assert worst["sufficiency"] > found["sufficiency"] and worst["log_odds"] > found["log_odds"]


def test_a_curve_by_chance_has_the_mean_over_orders_and_reads_another_order_at_each_point():
    """Deleting k of N units at random leaves the share 1 - k / N of the weight on average: the area is 0.01 + 0.99 / 2.

    A unit that is needed alone loses everything when it goes; one order of it tells nothing about the mean.
    """
    generator, seen = torch.Generator().manual_seed(1), []

    def needed(deleted):
        seen.append(deleted)
        return 1.0 - deleted[:, 7].double()

    found = [measure(torch.arange(37), kept_weight, generator) for _ in range(200)]
    for name in ("deletion_auc", "insertion_auc"):
        values = torch.tensor([each[name] for each in found])
        assert values.mean() == pytest.approx(0.01 + 0.99 / 2, abs=4 * values.std().item() / 200 ** 0.5)
    areas = torch.tensor([measure(torch.arange(30), needed, generator)["deletion_auc"] for _ in range(200)])
    assert areas.mean() == pytest.approx(0.5, abs=0.02) and areas.std() < 0.1  # of single orders: 0.29
    assert all(len(each) >= 20 and not (each[:-1] <= each[1:]).all() for each in seen)


def test_the_error_of_a_gain_is_the_spread_over_the_draws():
    """Gains over random order beside those of other seeds: the error says how far they differ."""
    clip, spread = clip_with_light(12), torch.rand(12, 6, 6)
    rows = [deletion_metrics(OneFrame(), clip, 0, {"map": spread, "flat": torch.ones(12, 6, 6)}, patch=3, seed=seed)
            for seed in range(30)]
    for unit in ("frame", "patch"):
        gains = torch.tensor([row["map"][f"deletion_{unit}_gain"] for row in rows])
        errors = torch.tensor([row["map"][f"deletion_{unit}_gain_error"] for row in rows])
        assert errors.square().mean().sqrt() == pytest.approx(gains.std().item(), rel=0.4)
        both = [row["map"][f"deletion_{unit}_gain"] + row["map"][f"insertion_{unit}_gain"] for row in rows]
        assert torch.tensor(both).std() < 1e-6 and math.isnan(rows[0]["flat"][f"insertion_{unit}_gain_error"])


@pytest.mark.parametrize("independent", [True, False])
def test_the_metrics_of_a_map_are_those_of_clips_that_are_put_together_by_hand(independent):
    torch.manual_seed(3)
    model, clip = MeanOfFrames(), torch.randn(10, 3, 4, 4)
    model.frames_independent = independent
    ranks = torch.randperm(10)
    row = deletion_metrics(model, clip, 1, {"map": ranks[:, None, None].expand(-1, 4, 4).double()}, patch=2)["map"]

    def probability(gone):
        with torch.no_grad():
            shown = torch.where(gone[:, None, None, None], background(clip), clip)
            return model(shown[None]).softmax(1)[0, 1].item()

    whole, without, alone = (probability(gone) for gone in (ranks < 0, ranks >= 8, ranks < 8))
    assert row["comprehensiveness_frame"] == pytest.approx(whole - without, abs=1e-6)
    assert row["sufficiency_frame"] == pytest.approx(whole - alone, abs=1e-6)
    assert row["log_odds_frame"] == pytest.approx(math.log(without / whole), abs=1e-5)


@pytest.mark.parametrize("independent", [True, False])
def test_patches_equal_whole_clips_pasted_by_hand(independent):
    torch.manual_seed(0)
    model, clip, patch = MeanOfFrames(), torch.randn(4, 3, 7, 5), 3
    model.frames_independent = independent
    empty, sequences = background(clip), Sequences(model, clip, 1, "probability")
    deleted = torch.rand(5, 4 * 3 * 2) < 0.5
    deleted[0], deleted[1] = False, True
    with torch.no_grad():
        parts = torch.cat([sequences.describe(clip), sequences.describe(empty[None])])
        fast = patch_probabilities(sequences, clip, empty, parts, patch, deleted)
        for cells, probability in zip(deleted.view(5, 4, 3, 2), fast, strict=True):
            pasted = clip.clone()
            for t, row, column in cells.nonzero().tolist():
                box = (slice(None), slice(row * 3, row * 3 + 3), slice(column * 3, column * 3 + 3))
                pasted[t][box] = empty[box]
            assert probability == pytest.approx(model(pasted[None]).softmax(1)[0, 1].item(), abs=1e-6)


def test_a_map_without_an_order_has_no_area():
    model = OneFrame().train()
    rows = deletion_metrics(model, clip_with_light(), 0, {"flat": torch.ones(8, 6, 6)}, patch=3)
    assert all(math.isnan(value) for value in rows["flat"].values()) and len(rows["flat"]) == 22
    assert model.training and model.weight.requires_grad
