"""What takes the place of masked parts."""

import numpy as np
import torch

from saliency.fills import FILLS, background


def test_fills():
    clip = torch.arange(24.0).reshape(4, 1, 2, 3)
    np.testing.assert_allclose(FILLS["background"](clip), np.median(clip.numpy(), axis=0))
    assert not FILLS["zero"](clip).any()
    assert (FILLS["first_pixel"](clip + 5) == 5).all()


def test_background_is_the_median():
    clip = torch.tensor([3.0, 1, 2, 9])[:, None, None, None]
    assert background(clip).item() == 2.5
    assert background(clip[:3]).item() == 2
