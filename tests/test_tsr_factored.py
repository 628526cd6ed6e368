"""The fast arithmetic of TSR keeps within its bounds."""

import copy
import itertools

import pytest
import torch

from model.cnn_lstm import CNNLSTM
from saliency.fills import background
from saliency.methods.gradients import path, times_input
from saliency.patches import patch_boxes
from saliency.tsr import temporal_saliency_rescaling
from saliency.tsr.algorithm import magnitude
from saliency.tsr.factored import FactoredRelevance
from saliency.tsr.frames import filled_up
from saliency.tsr.literal import LiteralRelevance
from saliency.tsr.low_rank import factorised, share_out
from tests.toys import cnn_lstm, smooth


@pytest.mark.parametrize("tolerance", [0, 1e-3, 1e-1])
def test_stays_within_the_error_that_it_states(tolerance):
    torch.manual_seed(3)
    model = CNNLSTM(2, feature_size=60, hidden_size=40).eval()
    clip = torch.randn(3, 3, 32, 32)
    frames = torch.arange(3).repeat_interleave(16)
    boxes = patch_boxes(32, 32, 8)[0].repeat(3, 1)
    fill = background(clip)
    exact, _ = LiteralRelevance(clip, magnitude(model, clip, 0)).changes(frames, boxes, fill)
    fast, bound = FactoredRelevance(model, clip, 0, tolerance=tolerance).changes(frames, boxes, fill)
    assert bound <= max(tolerance, 1e-12)
    assert (fast - exact).abs().max() <= (bound + 2e-5) * exact.max()


def decaying(perturbations=40, variants=3, size=12, seed=0):
    """Return deviations (P, n, D) that are close to low rank, in float64."""
    generator = torch.Generator().manual_seed(seed)
    normal = [torch.randn(variants, size, each, generator=generator, dtype=torch.float64)
              for each in (perturbations, size)]
    strength = torch.logspace(0, -4, size, dtype=torch.float64)
    return torch.einsum("nkp,k,nkd->pnd", normal[0], strength, normal[1])


def set_gain(factors, jacobian):
    """Estimate the gain of a Jacobian (n * D, pixels), as the engine does."""
    products = factors.probes.flatten(1) @ jacobian  # (2, pixels)
    factors.set_gain([products.sum(0).abs().sum().item(), products[1].abs().sum().item()], factors.norms.tolist())


@pytest.mark.parametrize("perturbations", [5, 40])
def test_the_factors_leave_the_residual_that_they_state(perturbations):
    deviations = decaying(perturbations)
    factors, = factorised([deviations.clone()], [1e-6], torch.Generator().manual_seed(0))
    kept = len(factors.directions)
    assert factors.residuals[kept] <= 1e-6 < factors.residuals[kept - 1]
    for rank in (0, 1, 7, kept):
        found = torch.zeros_like(deviations)
        for variant, direction, coefficient in zip(factors.variants[:rank].tolist(), factors.directions,
                                                   factors.coefficients(rank).T if rank else (), strict=False):
            found[:, variant] += coefficient[:, None] * direction
        rests = (deviations - found).flatten(1).norm(dim=1)  # (P,)
        torch.testing.assert_close(factors.residuals[rank], rests.max(), rtol=1e-6, atol=1e-9)


def test_shared_out_errors_keep_within_the_budget_and_bound_the_true_ones():
    generator, factors = torch.Generator().manual_seed(0), []
    for seed in range(3):
        deviations, jacobian = decaying(seed=seed), torch.randn(36, 5000, generator=generator, dtype=torch.float64)
        factors += factorised([deviations.clone()], [0], generator)
        set_gain(factors[-1], jacobian)
        factors[-1].truth = deviations, jacobian
    largest = sum(each.effect for each in factors)
    for budget in (1e-2 * largest, 1e-4 * largest):
        ranks, errors = share_out(factors, budget)
        assert sum(errors) <= budget and 0 < sum(ranks) < 3 * 36
        for each, rank, error in zip(factors, ranks, errors, strict=True):
            deviations, jacobian = each.truth
            rest = deviations.clone()
            for k in range(rank):
                rest[:, each.variants[k]] -= each.coefficients(rank)[:, k:k + 1] * each.directions[k]
            true = (rest.flatten(1) @ jacobian).abs().sum(1).max()
            assert 0.2 * error < true <= error


@pytest.mark.parametrize("variants", [1, 3])
def test_a_second_probe_saves_directions_if_the_jacobian_shrinks_the_later_ones(variants):
    """The encoder enlarges the first features 100 times more than the last ones, as trained encoders do."""
    generator, size = torch.Generator().manual_seed(0), 80
    strength = torch.logspace(0, -4, size, dtype=torch.float64)
    deviations = torch.randn(200, variants, size, generator=generator, dtype=torch.float64) * strength
    jacobian = torch.randn(variants * size, 3000, generator=generator, dtype=torch.float64)
    jacobian *= strength.sqrt().repeat(variants)[:, None]
    factors, = factorised([deviations.clone()], [0], torch.Generator().manual_seed(0))
    set_gain(factors, jacobian)
    budget = 1e-3 * factors.effect
    once, _ = factors.smallest_rank(budget)
    probe = factors.probe(once // 2).flatten()
    factors.set_gain_beyond(once // 2, (probe @ jacobian).abs().sum().item(), probe.norm().item())
    twice, bound = factors.smallest_rank(budget)
    rests, coefficients = deviations.clone(), factors.coefficients(twice)
    for k in range(twice):
        rests[:, factors.variants[k]] -= coefficients[:, k:k + 1] * factors.directions[k]
    true = (rests.flatten(1) @ jacobian).abs().sum(1).max()
    assert once // 2 < twice < 0.85 * once
    assert 0.1 * bound < true <= bound <= budget


def test_perturbations_whose_deviations_do_not_fit_into_memory_are_treated_in_parts(monkeypatch):
    model, clip = smooth()
    boxes, _ = patch_boxes(17, 17, 9)
    frames, boxes = torch.arange(4).repeat_interleave(len(boxes)), boxes.repeat(4, 1)
    engine = FactoredRelevance(model, clip, 0, variants=path(clip, points=2))
    expected, bound = engine.changes(frames, boxes, background(clip))
    engine.memory, sizes, treat = 5 * 8 * engine.feature_gradient.numel(), [], engine._changes  # for 5 perturbations
    monkeypatch.setattr(engine, "_changes", lambda frames, *rest: sizes.append(len(frames)) or treat(frames, *rest))
    found, bound_of_parts = engine.changes(frames, boxes, background(clip))
    assert sizes == [5, 5, 5, 1] and max(bound, bound_of_parts) <= 1e-3
    assert (found - expected).abs().max() <= (bound + bound_of_parts + 1e-9) * expected.max()


@pytest.mark.parametrize("seed", [2, 3])
def test_float32_differs_only_where_the_literal_loop_itself_is_unsure(seed):
    """With seed 2, the input of a ReLU is 1e-7. Its rounding moves the literal loop by 1.5e-3 of the largest change."""
    model, clip = cnn_lstm(torch.float32, (3, 3, 32, 32), seed=seed)
    masked = torch.arange(3), torch.tensor([[0, 32, 0, 32]] * 3)
    loops = []
    for precision in (torch.float32, torch.float64):
        exact_model, exact_clip = copy.deepcopy(model).to(precision), clip.to(precision)
        loop = LiteralRelevance(exact_clip, magnitude(exact_model, exact_clip, 1, variants=times_input))
        loops.append(loop.changes(*masked, background(exact_clip))[0])
    engine = FactoredRelevance(model, clip, 1, variants=times_input(clip))
    found, _ = engine.changes(*masked, background(clip))
    nearest = torch.stack([(found - each).abs() for each in loops]).amin(0)
    assert nearest.max() <= 1e-4 * loops[1].max()


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
