"""Pixels are normalised as the original projects do."""

import pytest
import torch

from model.normalisation import MEANS, STD, normalisation
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, normalise


@pytest.mark.parametrize("no_mean_norm", [False, True])
@pytest.mark.parametrize("std_norm", [False, True])
@pytest.mark.parametrize("norm_value", [1, 255])
@pytest.mark.parametrize("unit_pixels", [False, True])
def test_frames_are_prepared_as_the_original_does(no_mean_norm, std_norm, norm_value, unit_pixels):
    frames = torch.randint(256, (2, 8, 8, 3), dtype=torch.uint8)
    theirs = frames.permute(0, 3, 1, 2) / (255 if unit_pixels else norm_value)  # (T, 3, H, W)
    mean, std = torch.tensor(MEANS["kinetics"]) / norm_value, torch.tensor(STD) / norm_value
    if no_mean_norm and not std_norm:
        mean, std = torch.zeros(3), torch.ones(3)
    elif not std_norm:
        std = torch.ones(3)
    theirs = (theirs - mean[:, None, None]) / std[:, None, None]
    ours = normalise(frames.numpy(), *normalisation("kinetics", no_mean_norm, std_norm, norm_value, unit_pixels))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_the_default_normalisation_worked_out_by_hand():
    mean, std = normalisation()
    assert mean == pytest.approx([114.7748 / 255, 107.7354 / 255, 99.4750 / 255])
    assert std == pytest.approx([1 / 255] * 3)


def test_imagenet_s_normalisation_is_the_default_of_training():
    mean, std = normalisation("imagenet", std_norm=True, norm_value=255)
    assert (mean, std) == (pytest.approx(IMAGENET_MEAN), pytest.approx(IMAGENET_STD))
