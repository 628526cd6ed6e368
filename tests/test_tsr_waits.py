"""The fast arithmetic of TSR waits for a GPU at most once per frame and step, and mixes no devices. Needs no GPU."""

import pytest
import torch

from saliency.tsr import temporal_saliency_rescaling
from saliency.tsr.factored import FactoredRelevance
from tests.toys import smooth

WAITING = ("item", "tolist", "numpy", "nonzero", "unique", "__bool__", "__float__", "__int__", "__index__")
DECOMPOSING = ("eigh", "svd")  # which read an error code from the GPU


class OnHost(torch.Tensor):
    """A tensor that `.cpu()` returned, and what is computed from it. All other tensors count as those of a GPU."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is not torch.Tensor.__getitem__ and function is not torch.Tensor.to:
            others = [each for each in args if isinstance(each, torch.Tensor) and not isinstance(each, OnHost)]
            assert not [each for each in others if each.ndim], f"{function} mixes devices"
        return super().__torch_function__(function, types, args, kwargs or {})


@pytest.fixture
def waits(monkeypatch):
    """A list of the names of the calls that would make the host wait for a GPU."""
    calls, cpu = [], torch.Tensor.cpu

    def counting(name, original):
        def call(tensor, *given, **more):
            if not isinstance(tensor, OnHost):
                calls.append(name)
            return original(tensor, *given, **more)
        return call

    for name in WAITING:
        monkeypatch.setattr(torch.Tensor, name, counting(name, getattr(torch.Tensor, name)))
    for name in DECOMPOSING:
        monkeypatch.setattr(torch.linalg, name, counting(name, getattr(torch.linalg, name)))
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: calls.append("cpu") or cpu(tensor).as_subclass(OnHost))
    prepare = FactoredRelevance.__init__

    def without_windows(engine, *given, **more):
        prepare(engine, *given, **more)
        engine.windows, engine.batch = False, 2048  # as on a GPU

    monkeypatch.setattr(FactoredRelevance, "__init__", without_windows)
    return calls


def test_the_host_waits_at_most_once_per_frame_and_step(waits):
    counts = []
    for frames in (8, 14):
        model, clip = smooth(frames)
        waits.clear()
        found = temporal_saliency_rescaling(model, clip, 0, patch=6, tolerance=1e-5)
        assert found.important.sum() > 2
        counts.append(len(waits))
    assert counts[1] - counts[0] <= 2 * (14 - 8)
    assert counts[1] <= 2 * 14 + 26  # and a few times per step, whatever the number of frames
