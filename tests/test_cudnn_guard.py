"""The cuDNN guard: recurrent layers in eval mode have gradients on CUDA, whatever computes them.

cuDNN refuses the backward pass of a recurrent layer in eval mode, so it must be off while such a layer runs and
gradients are recorded. These tests need no GPU: they pretend that weights are on CUDA, and watch the layers.
"""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from model.adapters import ClipModel, FrameModel
from saliency import sanity
from saliency.gradient import feature_gradient, frame_gradient, head_gradient
from saliency.methods import FEATURE_METHODS, METHODS, attribute
from saliency.tsr import feature_rescaling, temporal_saliency_rescaling
from tests.toys import Gru, example


@pytest.fixture
def guarded(monkeypatch):
    """Pretend that all weights are on CUDA, and note for each layer that runs whether cuDNN is off.

    Yields a function of a model that returns [(name of the layer, whether cuDNN was off)], filled as layers run. Its
    attribute `depth` is larger than 0 while cuDNN is off.
    """

    @contextmanager
    def flags(enabled):
        assert not enabled
        watch.depth += 1
        yield
        watch.depth -= 1

    def watch(model):
        noted = []
        for name, layer in model.named_modules():
            if not list(layer.children()):
                def forward(*inputs, name=name, own=layer.forward):
                    noted.append((name, watch.depth > 0))
                    return own(*inputs)

                layer.forward = forward
        return noted

    watch.depth = 0
    monkeypatch.setattr(torch.backends.cudnn, "flags", flags)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    yield watch
    assert watch.depth == 0, "cuDNN was left off"


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_cudnn_is_off_while_a_recurrent_layer_runs_in_eval_mode_and_only_then(guarded, kind, bidirectional):
    model = Gru().eval()
    model.gru = kind(8, 4 if bidirectional else 8, batch_first=True, bidirectional=bidirectional).eval()
    noted = guarded(model)
    clip = torch.randn(2, 3, 12, 12)
    for gradient in (frame_gradient, feature_gradient):
        gradient(model, clip, 0)
    assert len(noted) == 2 * len([layer for layer in model.modules() if not list(layer.children())])
    assert {name for name, off in noted if off} == {"gru"} and ("gru", False) not in noted


class Recurrent(nn.Module):
    """(B, T, D) -> (B, classes): a bidirectional recurrent layer, nested in another module, and a linear layer."""

    def __init__(self, kind, size, classes=2):
        super().__init__()
        self.inner = nn.ModuleDict({"layer": kind(size, 4, num_layers=2, bidirectional=True, batch_first=True)})
        self.scores = nn.Linear(8, classes)

    def forward(self, features):
        return self.scores(self.inner["layer"](features)[0][:, -1])


def recurrent_everywhere(kind):
    """Return a model with a recurrent layer over the rows of each frame, and one over the frames."""
    torch.manual_seed(0)
    return FrameModel(nn.Sequential(nn.Flatten(1, 2), Recurrent(kind, 12, 6)), Recurrent(kind, 6)).eval()


FEATURES = torch.randn(3, 6)
PATHS = {
    "frame_gradient": frame_gradient,
    "feature_gradient": feature_gradient,
    "head_gradient": lambda model, clip, target: head_gradient(model, FEATURES[None], target),
    "tsr": lambda *given: temporal_saliency_rescaling(*given, patch=6, memory_gb=1),
    "tsr, exact": lambda *given: temporal_saliency_rescaling(*given, patch=6, memory_gb=1, tolerance=0),
    "tsr, whole clips": lambda model, *given: temporal_saliency_rescaling(ClipModel(model), *given, patch=6),
    "tsr, features": lambda model, clip, target: feature_rescaling(model, FEATURES, target),
    "sanity": lambda model, clip, target: sanity.check(model, [example()], ["gradient"], draws=1),
    **{f"method {name}": lambda *given, method=method, options={"memory_gb": 1} if name == "tsr" else {}:
       attribute(method, *given, **options) for name, method in METHODS.items() if name != "grad_cam"},
    **{f"method {name} of features": lambda *given, method=method: attribute(method, *given)
       for name, method in FEATURE_METHODS.items() if name not in ("deep_lift", "lrp")},  # which run layers themselves
}


@pytest.fixture
def recurrent_runs(guarded, monkeypatch):
    """Return a list that gets (whether gradients were recorded, whether cuDNN was off) for each run of a layer."""
    runs = []
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        def forward(layer, *inputs, own=kind.forward):
            runs.append((torch.is_grad_enabled(), guarded.depth > 0))
            return own(layer, *inputs)

        monkeypatch.setattr(kind, "forward", forward)
    return runs


@pytest.mark.filterwarnings("ignore:ClipModel has no encode")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_cudnn_is_off_in_every_path_that_takes_gradients(recurrent_runs, kind, path):
    """In the encoder and in the head, bidirectional, in copies of the model too, and never without gradients."""
    PATHS[path](recurrent_everywhere(kind), torch.randn(3, 3, 12, 12), 1)
    assert all(recorded == off for recorded, off in recurrent_runs)
    takes_gradients = any(word in path for word in ("gradient", "smoothgrad", "tsr", "sanity"))
    assert any(recorded for recorded, _ in recurrent_runs) == takes_gradients


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_on_a_gpu(kind):
    model, clip = recurrent_everywhere(kind), torch.randn(3, 3, 12, 12)
    expected = frame_gradient(model, clip, 1)
    torch.testing.assert_close(frame_gradient(model.cuda(), clip.cuda(), 1).cpu(), expected, rtol=1e-2, atol=1e-3)
    assert temporal_saliency_rescaling(model, clip.cuda(), 1, patch=6).tsr.shape == (3, 12, 12)
