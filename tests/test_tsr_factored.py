"""The fast arithmetic of TSR keeps within its bounds."""

import itertools

import pytest
import torch

from model.cnn_lstm import CNNLSTM
from saliency.fills import background
from saliency.tsr.factored import FactoredRelevance
from saliency.tsr.literal import LiteralRelevance
from saliency.tsr.patches import patch_boxes
from tests.toys import cnn_lstm, smooth


@pytest.mark.parametrize("tolerance", [0, 1e-3, 1e-1])
def test_stays_within_the_bound_that_it_states(tolerance):
    torch.manual_seed(3)
    model = CNNLSTM(2, feature_size=60, hidden_size=40).eval()
    clip = torch.randn(3, 3, 32, 32)
    frames = torch.arange(3).repeat_interleave(16)
    boxes = patch_boxes(32, 32, 8)[0].repeat(3, 1)
    fill = background(clip)
    exact, _ = LiteralRelevance(model, clip, 0).changes(frames, boxes, fill)
    fast, bound = FactoredRelevance(model, clip, 0, tolerance=tolerance).changes(frames, boxes, fill)
    assert bound <= max(tolerance, 1e-12)
    assert (fast - exact).abs().max() <= (bound + 2e-5) * exact.max()


def test_order_and_batch_size_do_not_matter():
    model, clip = cnn_lstm(torch.float64, seed=2)
    boxes, _ = patch_boxes(32, 32, 20)
    frames, boxes = torch.arange(4).repeat_interleave(len(boxes)), boxes.repeat(4, 1)
    fill = background(clip)
    expected, _ = FactoredRelevance(model, clip, 0, tolerance=0).changes(frames, boxes, fill)
    order = torch.randperm(len(frames))
    for batch in (1, 7, 1000):
        engine = FactoredRelevance(model, clip, 0, tolerance=0)
        engine.batch = batch
        permuted, _ = engine.changes(frames[order], boxes[order], fill)
        torch.testing.assert_close(permuted, expected[order], rtol=1e-8, atol=1e-10)


def test_out_of_memory_halves_the_batch(monkeypatch):
    model, clip = smooth()
    engine = FactoredRelevance(model, clip, 0, tolerance=0)
    expected, _ = engine.changes(torch.arange(4), torch.tensor([[0, 9, 0, 9]] * 4), background(clip))
    encode, calls, before = engine._encode, itertools.count(), engine.batch

    def encode_or_fail(frames):
        if len(frames) > 1 and next(calls) < 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(frames)

    monkeypatch.setattr(engine, "_encode", encode_or_fail)
    delta, _ = engine.changes(torch.arange(4), torch.tensor([[0, 9, 0, 9]] * 4), background(clip))
    torch.testing.assert_close(delta, expected)
    assert engine.batch < before
