"""model/heads/bilstm.py against two plain LSTMs, one of which reads the reversed clip."""

import pytest
import torch
from torch import nn

from model.heads.bilstm import BiLSTMHead


def one_direction(head, features, suffix=""):
    """Return the states (T, 4) of one of the head's directions on features (T, 3), with an LSTM of its own."""
    lstm = nn.LSTM(3, 4, batch_first=True)
    lstm.load_state_dict({name: head.lstm.get_parameter(f"{name}{suffix}") for name in lstm.state_dict()})
    return lstm(features[None])[0][0]


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("lengths", [None, [6, 4, 1]])
def test_equals_two_lstms(pooling, lengths):
    """The second one reads the true frames only, from the last to the first."""
    torch.manual_seed(0)
    head, features = BiLSTMHead(3, 4, pooling=pooling), torch.randn(3, 6, 3)
    found = head(features, lengths and torch.tensor(lengths))
    for row, length in enumerate(lengths or [6, 6, 6]):
        clip = features[row, :length]
        forwards, backwards = one_direction(head, clip), one_direction(head, clip.flip(0), "_reverse")
        expected = torch.cat([forwards[-1], backwards[-1]])
        if pooling == "mean":
            expected = torch.cat([forwards.mean(0), backwards.mean(0)])
        torch.testing.assert_close(found[row], expected)
