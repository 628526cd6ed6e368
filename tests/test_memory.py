"""Resident memory over many saliency calls in one process."""

import os
import sys

import pytest
import torch

from model.cnn_lstm import CNNLSTM
from model.fast.folding import folded
from saliency.gradient import feature_gradient, frame_gradient
from saliency.tsr import temporal_saliency_rescaling

CALLS = {
    "frame_gradient": frame_gradient,
    "feature_gradient": feature_gradient,
    "tsr, time step": lambda *given: temporal_saliency_rescaling(*given, step="time"),
}


def resident():
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def curve(call, n_calls, every, warm_up):
    """Resident memory in MiB after the warm-up and then after every so many calls."""
    torch.manual_seed(0)
    model = folded(CNNLSTM(2, "squeezenet1_1", feature_size=16, hidden_size=8, classifier_size=8).eval())
    clip = torch.randn(4, 3, 32, 32)
    for _ in range(warm_up):
        call(model, clip, 0)
    found = [resident() / 2**20]
    for done in range(1, n_calls + 1):
        call(model, clip, 0)
        if done % every == 0:
            found.append(resident() / 2**20)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", CALLS)
def test_memory_does_not_grow(kind):
    found = curve(CALLS[kind], 12, 4, 4)
    assert max(found) < 1.02 * found[0], found
