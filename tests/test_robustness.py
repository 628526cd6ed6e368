"""Infidelity and max-sensitivity against captum, and on models whose answer is known."""

import math

import pytest
import torch
from captum import metrics as captum_metrics

from saliency.fills import background
from saliency.gradient import drawn_map, frame_gradient
from saliency.robustness import block_drops, infidelity, max_sensitivity, random_blocks, robustness_metrics
from tests.toys import Linear, MeanOfFrames, OneFrame, score_of, smooth

PATCH = 3


def as_pixels(blocks, shape, patch=PATCH):
    """Return blocks (k, cells) as masks of the pixels (k, T, H, W)."""
    length, _, height, width = shape
    cells = blocks.unflatten(1, (length, -(-height // patch), -(-width // patch)))
    return cells.repeat_interleave(patch, 2).repeat_interleave(patch, 3)[:, :, :height, :width]


@pytest.mark.parametrize("independent", [True, False])
def test_drops_are_those_of_clips_pasted_by_hand(independent):
    torch.manual_seed(0)
    model, clip = MeanOfFrames(), torch.randn(5, 3, 7, 5)
    model.frames_independent = independent
    blocks = random_blocks(clip.shape, PATCH, count=12)
    drops = block_drops(model, clip, 1, blocks, PATCH, "probability")
    for pixels, drop in zip(as_pixels(blocks, clip.shape), drops, strict=True):
        pasted = torch.where(pixels[:, None], background(clip), clip)
        expected = score_of(model, clip, 1, "probability") - score_of(model, pasted, 1, "probability")
        assert drop == pytest.approx(expected, abs=1e-6)


def test_evidence_of_a_linear_model_foretells_every_drop():
    """The exact contributions of a linear model have infidelity 0, in any unit; with the wrong sign they foretell as
    little as a blank map, whose error is the variance of the drops."""
    model, clip = Linear(5, 6), torch.randn(5, 3, 6, 6, dtype=torch.float64)
    exact = (frame_gradient(model, clip, 1) * (clip - background(clip))).sum(1)  # (T, H, W)
    blocks = random_blocks(clip.shape, PATCH)
    drops = block_drops(model, clip, 1, blocks, PATCH)
    assert infidelity(exact, blocks, drops, PATCH) == pytest.approx(0, abs=1e-12)
    assert infidelity(7 * exact, blocks, drops, PATCH) == pytest.approx(0, abs=1e-12)
    assert infidelity(-exact, blocks, drops, PATCH) == infidelity(0 * exact, blocks, drops, PATCH) == 1
    assert infidelity(torch.rand(5, 6, 6), blocks, drops, PATCH) > 0.2
    assert infidelity(torch.zeros(5, 6, 6), blocks, drops, PATCH) == 1
    assert math.isnan(infidelity(torch.full((5, 6, 6), torch.nan), blocks, drops, PATCH))
    assert math.isnan(infidelity(exact, blocks, 0 * drops, PATCH))


def test_infidelity_equals_captums():
    model, clip = smooth(frames=4, size=17)
    values, blocks = torch.randn(4, 17, 17, dtype=torch.float64), random_blocks(clip.shape, PATCH, count=9)
    drops, pixels = block_drops(model, clip, 2, blocks, PATCH), as_pixels(blocks, clip.shape)

    def forward(maps):
        """Score of the clip where the picture of ones (N, T, H, W) says so, and of its background elsewhere."""
        return model(torch.where(maps[:, :, None] > 0.5, clip, background(clip)))[:, 2:3]

    def remove(maps):
        return pixels.double(), maps - pixels.double()

    expected = captum_metrics.infidelity(forward, remove, torch.ones(1, 4, 17, 17, dtype=torch.float64), values[None],
                                         target=0, n_perturb_samples=9, normalize=True)
    relative = float(expected / drops.double().square().mean())  # captum's factor may be negative
    both = infidelity(values, blocks, drops, PATCH), infidelity(-values, blocks, drops, PATCH)
    assert sorted(both) == [pytest.approx(relative, rel=1e-6), 1]


def test_max_sensitivity_equals_captums():
    model, clip = smooth(frames=3, size=9)
    noisy = []

    def maps_of(other):
        noisy.append(other)
        return {"gradient": drawn_map(frame_gradient(model, other, 1)).numpy()}

    own = maps_of(clip)
    found = max_sensitivity(maps_of, clip, own, draws=4, radius=0.05)["gradient"]
    reach = 0.05 * float(clip.max() - clip.min())
    assert len(noisy) == 5 and all(0.9 * reach < (each - clip).abs().max() <= reach for each in noisy[1:])
    waiting = iter(noisy[1:])

    def explained(inputs):
        return drawn_map(frame_gradient(model, inputs[0][0], 1))[None],  # captum misreads a tensor outside a tuple

    def perturbed(inputs, radius):
        return next(waiting)[None],

    expected = max(float(captum_metrics.sensitivity_max(explained, clip[None], perturbed, n_perturb_samples=1))
                   for _ in range(4))
    assert found == pytest.approx(expected, rel=1e-6)


def test_both_metrics_of_all_maps_and_a_model_left_as_it_was():
    model, clip = OneFrame().train(), torch.randn(6, 3, 6, 6)
    maps = {name: torch.rand(6, 6, 6).numpy() for name in ("gradient", "occlusion_frame", "frame_difference")}
    signed = {"occlusion_frame": torch.zeros(6, 6, 6)}
    signed["occlusion_frame"][3] = 1 + 0 * clip[3].sum(0)

    def explain_again(other):
        return {name: maps[name] for name in ("gradient", "occlusion_frame")}

    rows = robustness_metrics(model, clip, 0, maps, signed, explain_again, patch=PATCH, draws=2)
    assert rows["gradient"]["max_sensitivity"] == 0 and "max_sensitivity" not in rows["frame_difference"]
    blocks = random_blocks(clip.shape, PATCH)
    drops = block_drops(model, clip, 0, blocks, PATCH)
    assert rows["occlusion_frame"]["infidelity"] == infidelity(signed["occlusion_frame"], blocks, drops, PATCH)
    assert model.training and model.weight.requires_grad
