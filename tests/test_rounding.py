"""TF32 would break the promise that maps on a GPU equal those on a CPU; float32 keeps it."""

import pytest
import torch

import opts
from model.checkpoint import load_model
from saliency.gradient import frame_gradient
from tests.benchmarks.rounding import relative, round_convolutions, to_bits
from tests.benchmarks.tsr import walker


def test_numbers_are_rounded_to_bits():
    assert to_bits(torch.tensor([1 + 2.0**-10, 1 + 2.0**-12, -3.0, 0.0]), 10).tolist() == [1 + 2.0**-10, 1, -3, 0]


@pytest.mark.parametrize(("bits", "least", "most"), [(10, 2e-2, 1), (23, 0, 1e-3)], ids=["TF32", "float32"])
def test_the_gradient_map_of_the_bundled_model(bits, least, most):
    """Every product of the encoder is rounded, so nothing else on the path of the gradient is as coarse as TF32."""
    exact, clip = load_model(opts.PRETRAINED)[0].double(), walker(6, 64, torch.device("cpu"))
    expected = frame_gradient(exact, clip.double(), 0)
    rounded = round_convolutions(load_model(opts.PRETRAINED)[0], bits)
    assert least <= relative(frame_gradient(rounded, clip, 0), expected) <= most
