"""Graphics cards that are not there."""

import pytest
import torch

from tests.bad_cases import SCRIPTS, options_of
from tests.runs import refused


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(("flags", "available", "complaint"), [
    (["--use_cuda"], False, "PyTorch finds no CUDA device here; leave out --use_cuda and --gpu"),
    (["--gpu", "7"], False, "PyTorch finds no CUDA device here"),
    (["--gpu", "7"], True, "GPU 7 was asked for, but the GPUs of this machine are 0 to 0"),
    (["--gpu", "-1"], True, "GPU -1 was asked for"),
])
def test_graphics_cards_that_are_not_there(good, results, capsys, monkeypatch, script, flags, available, complaint):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(available))
    assert complaint in refused(capsys, script, *options_of(script, good, results), *flags)
