"""Frames as a model reads them."""

import numpy as np
import pytest
import torch

from model.preprocessing import check_size, normalise


def test_normalise_by_hand():
    frames = np.zeros((2, 1, 1, 3), np.uint8)
    frames[1, 0, 0] = 0, 51, 255
    values = normalise(frames, [0.5, 0.1, 0.0], [0.5, 0.2, 2.0])
    assert (values.shape, values.dtype) == ((2, 3, 1, 1), torch.float32)
    torch.testing.assert_close(values[:, :, 0, 0], torch.tensor([[-1, -0.5, 0], [-1, 0.5, 0.5]]))


@pytest.mark.parametrize(("duration", "size"), [(30, 1750), (10**9, 9), (1, 2**31 - 1)])
def test_sizes_are_bounded(duration, size):
    check_size(30, 1700)
    with pytest.raises(ValueError, match="give fewer or smaller frames"):
        check_size(duration, size)
