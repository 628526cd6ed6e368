"""The fast arithmetic of TSR keeps within its bounds."""

import itertools

import pytest
import torch

from model.cnn_lstm import CNNLSTM
from saliency.fills import background
from saliency.tsr import temporal_saliency_rescaling
from saliency.tsr.factored import FactoredRelevance
from saliency.tsr.frames import filled_up
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


@pytest.mark.parametrize(("count", "most", "expected"), [
    (1, 8, 1), (3, 8, 4), (5, 8, 8), (8, 8, 8), (5, 6, 6), (9, 6, 9)])
def test_frames_are_filled_up_to_few_numbers(count, most, expected):
    frames = torch.randn(count, 3, 2, 2)
    found = filled_up(frames, most)
    assert found.shape == (expected, 3, 2, 2)
    assert torch.equal(found[:count], frames) and not found[count:].any()


def test_filling_up_changes_nothing(case, monkeypatch):
    """The CPU does here what a GPU does: every call of the encoder gets a power of two of frames."""
    model, clip = case
    expected = temporal_saliency_rescaling(model, clip, 1, patch=13)
    sizes, encode = set(), FactoredRelevance._encode

    def filling(engine, frames):
        filled = filled_up(frames, engine.batch)
        sizes.add(len(filled))
        return encode(engine, filled)[:len(frames)]

    monkeypatch.setattr(FactoredRelevance, "_encode", filling)
    found = temporal_saliency_rescaling(model, clip, 1, patch=13)
    torch.testing.assert_close(found.tsr, expected.tsr)
    torch.testing.assert_close(found.time_delta, expected.time_delta)
    assert all(size & (size - 1) == 0 or size == 36 for size in sizes)
