"""TSR: the fast arithmetic against an independent loop over captum, and its properties."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from captum.attr import Saliency
from torch import nn

from runtime.errors import UserError
from saliency.fills import FILLS, background
from saliency.gradient import frame_gradient
from saliency.tsr import temporal_saliency_rescaling
from tests.toys import cnn_lstm, smooth


def captum_deltas(model, clip, target, patch, fill):
    """Time and patch deltas by a plain loop over captum's Saliency, written without the project's code."""
    saliency = Saliency(model)

    def relevance(frames):
        return saliency.attribute(frames[None].clone().requires_grad_(True), target=target, abs=True)[0]

    original = relevance(clip)
    time_delta, patch_delta = [], []
    for t in range(len(clip)):
        masked = clip.clone()
        masked[t] = fill
        time_delta.append((relevance(masked) - original).abs().sum().item())
        patch_delta.append([])
        for top in range(0, clip.shape[2], patch):
            patch_delta[t].append([])
            for left in range(0, clip.shape[3], patch):
                masked = clip.clone()
                masked[t, :, top:top + patch, left:left + patch] = fill[:, top:top + patch, left:left + patch]
                patch_delta[t][-1].append((relevance(masked) - original).abs().sum().item())
    return np.array(time_delta), np.array(patch_delta)


@pytest.mark.parametrize(("make", "fill"), [
    *((smooth, fill) for fill in FILLS), (partial(cnn_lstm, torch.float64, seed=2), "background"),
])
def test_equals_an_independent_loop_over_captum(make, fill):
    """Not resnet with a constant fill: its max pooling then has ties, which rounding breaks, and no unique gradient."""
    model, clip = make()
    result = temporal_saliency_rescaling(model, clip, 1, patch=12, fill=fill, tolerance=0)
    time_delta, patch_delta = captum_deltas(model, clip, 1, 12, FILLS[fill](clip))
    contribution = (time_delta - time_delta.min()) / np.ptp(time_delta)
    important = contribution > np.quantile(contribution, 0.55)
    np.testing.assert_allclose(result.time_delta, time_delta, atol=1e-8 * time_delta.max())
    assert result.important.tolist() == important.tolist()
    assert not result.patch_delta[~result.important].any()
    found = result.patch_delta[result.important]
    np.testing.assert_allclose(found, patch_delta[important], atol=1e-8 * patch_delta.max())
    for t in range(len(clip)):
        share = np.full_like(patch_delta[t], 0.1)
        if important[t]:
            share = (patch_delta[t] - patch_delta[t].min()) / np.ptp(patch_delta[t])
        drawn = np.kron(share, np.ones((12, 12)))[:clip.shape[2], :clip.shape[3]] * contribution[t]
        np.testing.assert_allclose(result.tsr[t], drawn, atol=1e-6)


def test_linear_model_never_changes_its_map():
    model, clip = smooth(linear=True)
    with pytest.warns(UserWarning, match="no frame changes the map"):
        result = temporal_saliency_rescaling(model, clip, 0)
    assert result.time_delta.abs().max() < 1e-10 * frame_gradient(model, clip, 0).abs().sum()


def test_frame_that_the_head_ignores_changes_nothing():
    model, clip = smooth(frames=5, frames_ignored=[2])
    result = temporal_saliency_rescaling(model, clip, 0, patch=6, tolerance=0)
    assert result.time_delta[2] == 0
    assert result.time_delta[[0, 1, 3, 4]].min() > 0


def test_constant_clip_gives_zeros_and_says_so():
    model, clip = smooth()
    with pytest.warns(UserWarning, match="no frame changes"):
        result = temporal_saliency_rescaling(model, clip[:1].expand_as(clip).clone(), 0)
    assert not result.time_delta.any()
    assert not result.time_contribution.any() and not result.tsr.any()


def test_one_frame():
    model, clip = smooth(frames=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = temporal_saliency_rescaling(model, clip, 0, fill="zero", patch=6)
    assert result.time_delta.shape == (1,) and result.time_delta[0] > 0
    assert result.time_contribution.tolist() == [0] and result.patch_delta.shape == (1, 3, 3)


def test_time_step_alone():
    model, clip = smooth()
    full = temporal_saliency_rescaling(model, clip, 0, patch=6)
    time = temporal_saliency_rescaling(model, clip, 0, patch=6, step="time")
    torch.testing.assert_close(time.time_delta, full.time_delta)
    assert (time.tsr == time.time_contribution[:, None, None]).all()
    assert time.passes[0] < full.passes[0]
    assert full.patch_delta.shape == (4, 3, 3) and not time.patch_delta.any()


def mixing(model):
    """Return a model of whole clips, in which frames meet."""
    found = nn.Module()
    found.forward = lambda clips: model(clips + clips.mean(1, keepdim=True))
    return found


def test_model_whose_frames_meet_uses_the_literal_loop_and_says_how_long_it_takes(monkeypatch):
    model, clip = smooth()
    with pytest.warns(UserWarning, match="Module has no encode and classify .*, so TSR takes up to 12 maps of"):
        result = temporal_saliency_rescaling(mixing(model), clip, 0, patch=9)
    time_delta, _ = captum_deltas(mixing(model), clip, 0, 9, background(clip))
    np.testing.assert_allclose(result.time_delta, time_delta, rtol=1e-8)
    assert result.passes is None and result.error_bound == 0
    monkeypatch.setattr("saliency.tsr.algorithm.LONGEST", 0)
    with pytest.raises(UserError, match="are refused: give --tsr_step time"):
        temporal_saliency_rescaling(mixing(model), clip, 0, patch=9)


def test_model_is_left_as_it_was():
    model, clip = cnn_lstm(torch.float64, seed=2)
    model.train()
    model.head.lstm.weight_ih_l0.requires_grad_(False)
    model.projection.weight.grad = torch.ones_like(model.projection.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    temporal_saliency_rescaling(model, clip, 0, patch=20)
    assert all(module.training for module in model.modules())
    assert not model.head.lstm.weight_ih_l0.requires_grad and model.projection.weight.requires_grad
    assert (model.projection.weight.grad == 1).all()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "wrong", [{"patch": 0}, {"quantile": 2}, {"fill": "green"}, {"step": "twice"}, {"tolerance": -1}]
)
def test_options_out_of_range(wrong):
    model, clip = smooth()
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        temporal_saliency_rescaling(model, clip, 0, **wrong)


def test_values_that_are_not_finite_are_named():
    model, clip = smooth()
    clip[1, 0, 3, 3] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        temporal_saliency_rescaling(model, clip, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu():
    model, clip = cnn_lstm(seed=2)
    expected = temporal_saliency_rescaling(model, clip, 0, patch=10)
    result = temporal_saliency_rescaling(model.cuda(), clip.cuda(), 0, patch=10)
    assert (result.time_delta - expected.time_delta).abs().max() <= 2e-3 * expected.time_delta.max()
    assert (result.patch_delta - expected.patch_delta).abs().max() <= 2e-3 * expected.patch_delta.max()
