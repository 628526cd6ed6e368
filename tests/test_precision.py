"""TF32 and bfloat16 in training, full float32 in explanations, by the state of PyTorch's flags. Needs no GPU."""

import pytest
import torch

from model import training
from model.checkpoint import ModelInfo, read_checkpoint
from model.vectors import Vectors
from runtime.device import tf32
from saliency.gradient import untouched
from saliency.methods import METHODS, attribute
from tests.toys import Trainable, smooth

CPU = torch.device("cpu")
INFO = ModelInfo("cnnlstm", {}, ["running", "walking"], 32, 6, [0.5] * 3, [0.5] * 3)


def flags():
    """Return whether TF32 is allowed in matrix products and in convolutions."""
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


class Noting(Trainable):
    """A model that notes, for each pass of its head, whether it trains, the flags, and the type of its scores."""

    def __init__(self):
        super().__init__()
        self.noted = set()

    def classify(self, features, lengths=None):
        scores = super().classify(features, lengths)
        self.noted.add((self.training, flags(), scores.dtype))
        return scores


def trained(folder, amp):
    torch.manual_seed(3)
    model, data = Noting(), Vectors(torch.randn(8, 2, 3, 4), torch.arange(8) % 2)
    training.train(model, INFO, data, data, folder, finetune=False, n_epochs=1, batch_size=4, lr_rate=1e-2,
                   weight_decay=0.0, seed=0, device=CPU, amp=amp)
    return model


@pytest.mark.parametrize("amp", [False, True])
def test_training_may_use_tf32_and_bfloat16_and_evaluation_not(tmp_path, amp):
    with tf32(False):  # as in the scripts
        model = trained(tmp_path, amp)
        kind = torch.bfloat16 if amp else torch.float32
        assert model.noted == {(True, (True, True), kind), (False, (False, False), torch.float32)}
    assert {weight.grad.dtype for weight in model.parameters() if weight.grad is not None} == {torch.float32}
    saved = read_checkpoint(tmp_path / "last.pth")
    tensors = [*saved["state_dict"].values(), *(each for state in saved["optimizer"]["state"].values()
                                           for each in state.values())]
    assert not [each for each in tensors if each.dtype not in (torch.float32, torch.int64)]


@pytest.mark.parametrize("allowed", [False, True])
def test_explanations_use_full_float32_and_leave_the_flags_as_they_were(allowed):
    model, clip = smooth(3)
    noted, classify = [], model.classify
    model.classify = lambda *given: noted.append(flags()) or classify(*given)
    with tf32(allowed):
        attribute(METHODS["gradient"], model, clip, 0)
        attribute(METHODS["tsr"], model, clip, 0, step="time")
        assert flags() == (allowed, allowed)
        with pytest.raises(KeyError), untouched(model):
            raise KeyError
        assert flags() == (allowed, allowed)
    assert set(noted) == {(False, False)}
