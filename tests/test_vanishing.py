"""The benchmark of vanishing saliency."""

import pytest
import torch

from tests.benchmarks import vanishing as bench_vanishing


def test_the_benchmark_compares_maps_as_the_paper_does():
    mask = torch.zeros(2, 2)
    mask[0] = 1
    maps = torch.tensor([[[1.0, 3.0], [1.0, 2.0]]])  # scaled to 0..1: 0 1 / 0 .5
    result = bench_vanishing.compare(maps, mask)
    assert result["jaccard"] == pytest.approx(1 / 2.5)
    assert result["euclidean"] == pytest.approx((1 + 0.25) ** 0.5 / 2 ** 0.5)
    assert result["inside"] == pytest.approx(4 / 7)
    perfect = bench_vanishing.compare(mask[None], mask)
    assert perfect == {"jaccard": 1.0, "euclidean": 0.0, "inside": 1.0}


def test_the_benchmark_s_boxes_hold_the_class():
    generator = torch.Generator().manual_seed(0)
    inputs, labels = bench_vanishing.sequences(40, bench_vanishing.BOXES["middle"], generator)
    mask = bench_vanishing.reference(bench_vanishing.BOXES["middle"]).bool()
    assert mask.sum() == 3600
    assert inputs[:, mask].mean(1).sign().tolist() == (2 * labels - 1).tolist()
    assert inputs[:, ~mask].mean(1).abs().max() < 0.1
